"""A test call in Chromium, whose microphone hears a synthetic voice: the real server answers, in words that show."""

import re
import wave
from pathlib import Path

import pytest
from desks import find_chromium
from looks import looked_at, wrong_with
from playwright.sync_api import Playwright, expect
from pydantic import SecretStr

from carecall.dashboard.passwords import hash_password
from carecall.dashboard.words import Words
from carecall.domain.language import Language
from carecall.domain.viewer import Role
from carecall.settings import Settings
from carecall.simulation.server import running_server
from carecall.simulation.voice_call import recipient_phrases
from carecall.store import Store
from carecall.store.facade import upgrade_database

pytestmark = [pytest.mark.browser, pytest.mark.models]

RATE = 8_000
BEFORE_S, AFTER_S = 10, 30  # of silence: the agent speaks first
PATIENCE_MS = 40_000


def spoken(file: Path) -> Path:
    """What the microphone hears."""
    words = recipient_phrases(Settings(), Language.ENGLISH).render("Yes, this is Anna.", on_disk=True)
    with wave.open(str(file), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        wav.writeframes(bytes(2 * RATE * BEFORE_S) + words + bytes(2 * RATE * AFTER_S))
    return file


def test_a_call_by_microphone_is_answered_shown_and_hung_up(
    playwright: Playwright, tmp_path: Path, pictures: Path
) -> None:
    url, words = f"sqlite:///{tmp_path}/program.sqlite3", Words(Language.ENGLISH)
    upgrade_database(url)
    settings = Settings(data_dir=tmp_path, database_url=url, llm="none", secret_key=SecretStr("a key"))
    with Store.open(url, secret="a key") as store:
        user = store.users.add("worker@here.test", Role.CARE_WORKER, hash_password("a long walk by the river"))
        token = store.users.begin_session(user, verified=True)
    options = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken(tmp_path / 'anna.wav')}",
    ]
    with (
        running_server(settings, CARECALL_SECRET_KEY="a key") as server,
        playwright.chromium.launch(executable_path=find_chromium(), args=options) as browser,
    ):
        address = f"http://127.0.0.1:{server.settings.port}"
        context = browser.new_context(locale="en-GB")
        context.add_cookies([{"name": "carecall", "value": token, "url": address}])
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(f"{address}/talk")
        page.get_by_label(words("talk.dialog"), exact=True).select_option("wellbeing.en")
        page.get_by_label(words("talk.name")).fill("Anna")
        page.get_by_role("button", name=words("talk.begin")).click()
        expect(page.locator("#talk-state")).to_have_text(words("talk.talking"), timeout=PATIENCE_MS)
        turns = page.get_by_role("log")
        expect(turns).to_contain_text("Am I speaking with Anna", timeout=PATIENCE_MS)
        expect(turns.locator(".recipient .text")).to_contain_text(re.compile("Anna", re.I), timeout=PATIENCE_MS)
        page.get_by_role("button", name=words("talk.mute")).click()
        expect(page.locator("#microphone")).to_have_text(words("talk.microphone_shut"))
        assert wrong_with(page) == []
        page.get_by_role("button", name=words("talk.hang_up")).click()
        expect(page.locator("#talk-state")).to_have_text(words("talk.over"))
        looked_at(page, "talk_over.en", pictures)
        page.get_by_role("link", name=words("talk.see_call")).click()
        expect(page.get_by_role("heading", name=words("call.result"))).to_be_visible(timeout=PATIENCE_MS)
        assert troubles == []
