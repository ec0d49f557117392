"""A test call from the browser: a peer that speaks WebRTC talks to the program, and the call is kept like any other."""

import asyncio
import fractions
import html
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest
from aioice import stun
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack
from av import AudioFrame
from dashboard_office import Office, open_office
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from carecall.app import create_app
from carecall.dashboard.passwords import hash_password
from carecall.dashboard.router import Ports
from carecall.dashboard.talk import Talk, TalkRefused, TalkTrouble
from carecall.dialog.files import find_dialog
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.domain.turn import Speaker
from carecall.domain.viewer import Role, Viewer
from carecall.settings import Settings
from carecall.simulation.voice_call import recipient_phrases
from carecall.store import Store
from carecall.store.facade import upgrade_database
from carecall.store.tables import ConsentSource, EnrollmentRow
from carecall.voice.browser_line import BrowserLine

RATE = 8_000
FRAME = RATE // 50
LOUD = 500  # of 32767: more than noise
OFFER = {"dialog": "wellbeing.en", "name": "Anna", "sdp": "v=0"}
OURS = {"Sec-Fetch-Site": "same-origin"}


class Mouth(AudioStreamTrack):
    """A microphone before which something is said now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._began = 0.0
        self._sent = 0
        self._words = np.zeros(0, np.int16)

    def say(self, audio: bytes) -> None:
        """16-bit samples at ``RATE``."""
        self._words = np.frombuffer(audio, np.int16)

    async def recv(self) -> AudioFrame:
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._sent / RATE - time.monotonic()))
        samples, self._words = self._words[:FRAME], self._words[FRAME:]
        frame = AudioFrame.from_ndarray(np.pad(samples, (0, FRAME - len(samples)))[None, :], layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, fractions.Fraction(1, RATE)
        self._sent += FRAME
        return frame


class Browser:
    """What talk.js does, without its page."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._peer = RTCPeerConnection()
        self.mouth = Mouth()
        self.heard_s = 0.0  # of speech
        self.heard_at = 0.0
        self._listening: asyncio.Task[None] | None = None
        self._peer.addTrack(self.mouth)
        self._peer.createDataChannel("line")
        self._peer.on("track", self._listen)

    async def call(self, **changes: str) -> httpx.Response:
        await self._peer.setLocalDescription(await self._peer.createOffer())
        answer = await self._client.post(
            "/talk/offer", json={**OFFER, "sdp": self._peer.localDescription.sdp, **changes}
        )
        if answer.status_code == 200:
            await self._peer.setRemoteDescription(RTCSessionDescription(answer.json()["sdp"], "answer"))
        return answer

    async def agent_turn(self) -> None:
        """Returns once the agent has said something and has been silent for a while."""
        before = self.heard_s
        async with asyncio.timeout(60):
            while self.heard_s < before + 0.5 or time.monotonic() - self.heard_at < 1.0:
                await asyncio.sleep(0.05)

    async def hang_up(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self.mouth.stop()
        await self._peer.close()

    def _listen(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.create_task(self._hear(track))

    async def _hear(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                if np.abs(frame.to_ndarray().astype(int)).max() > LOUD:
                    self.heard_s += frame.samples / frame.sample_rate
                    self.heard_at = time.monotonic()
        except MediaStreamError:
            return


@asynccontextmanager
async def running(folder: Path, **settings: object) -> AsyncIterator[tuple[FastAPI, Store, list[httpx.AsyncClient]]]:
    """The whole program with its models, and the browsers of two care workers."""
    url = f"sqlite:///{folder}/program.sqlite3"
    upgrade_database(url)
    given = Settings(database_url=url, data_dir=folder, llm="none", **settings)  # type: ignore[arg-type]
    app = create_app(given)
    store: Store = app.state.program.store
    clients = []
    for email in ("one@here.test", "two@here.test"):
        user = store.users.add(email, Role.CARE_WORKER, hash_password("a long walk by the river"))
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://carecall.test", headers=OURS, timeout=30
        )
        client.cookies.set("carecall", store.users.begin_session(user, verified=True), domain="carecall.test", path="/")
        clients.append(client)
    async with app.router.lifespan_context(app):
        try:
            yield app, store, clients
        finally:
            for client in clients:
                await client.aclose()


@pytest.mark.models
async def test_a_test_call_is_held_by_microphone_and_kept_like_any_other(tmp_path: Path) -> None:
    words = recipient_phrases(Settings(), Language.ENGLISH).render("Yes, this is Anna.", on_disk=True)
    async with running(tmp_path, max_calls=1) as (_, store, (one, two)):
        browser, second, third = Browser(one), Browser(one), Browser(two)
        answer = await browser.call()
        assert answer.status_code == 200
        attempt_id = uuid.UUID(answer.json()["call"])
        again, full = await second.call(), await third.call()
        assert (again.status_code, full.status_code) == (409, 503)
        assert "already" in again.json()["trouble"]
        await browser.agent_turn()
        browser.mouth.say(words)
        await browser.agent_turn()
        page = await one.get(f"/calls/{attempt_id}/live", headers={"HX-Request": "true"})
        assert "Anna" in page.text
        for peer in (browser, second, third):
            await peer.hang_up()
        async with asyncio.timeout(20):
            while (report := await store.run(store.calls.load_report, attempt_id)) is None:
                await asyncio.sleep(0.1)
        assert report.dialog_id == "wellbeing"
        turns = store.calls.turns(attempt_id)
        assert turns[0].speaker is Speaker.AGENT
        assert "anna" in next(turn.text for turn in turns if turn.speaker is Speaker.RECIPIENT).lower()
        assert turns[-1].speaker is Speaker.AGENT
        assert store.attempts.get(attempt_id).state.terminal
        assert (await one.get(f"/calls/{attempt_id}")).status_code == 200
        assert (await two.get(f"/calls/{attempt_id}")).status_code == 200


async def test_the_page_offers_the_dialogs_of_the_viewers_language_first(tmp_path: Path) -> None:
    async with open_office(tmp_path, Ports(talk=refuses(TalkTrouble.FULL))) as office:
        page = await office.care_worker.get("/talk")
    assert page.status_code == 200
    assert page.text.index("wellbeing.en") < page.text.index("wellbeing.ko")
    assert "talk.js" in page.text


ICE: dict[str, object] = {
    "ice_urls": "stun:stun.here.test:3478, turn:relay.here.test?transport=udp",
    "ice_user": "care",
    "ice_credential": SecretStr('a "secret" & more'),
}


async def test_the_browser_is_told_the_servers_that_help_to_find_it(tmp_path: Path) -> None:
    async with open_office(tmp_path, Ports(talk=refuses(TalkTrouble.FULL)), **ICE) as office:
        page = await office.care_worker.get("/talk")
    told = re.search(r'data-ice-servers="([^"]*)"', page.text)
    assert told
    assert json.loads(html.unescape(told[1])) == [
        {"urls": ["stun:stun.here.test:3478"]},
        {"urls": ["turn:relay.here.test?transport=udp"], "username": "care", "credential": 'a "secret" & more'},
    ]
    assert page.headers["cache-control"] == "no-store"
    assert 'a "secret"' not in repr(office.settings)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ice_urls": "https://stun.here.test"}, "CARECALL_ICE_URLS"),
        ({"ice_urls": "stun:here.test?transport=udp"}, "CARECALL_ICE_URLS"),
        ({"ice_urls": "turn:relay.here.test"}, "CARECALL_ICE_CREDENTIAL"),
    ],
)
def test_servers_that_a_browser_would_not_take_are_refused_at_the_start(wrong: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate(wrong)


class Stun(asyncio.DatagramProtocol):
    """A STUN server to which everybody seems to come from one address of the internet."""

    SEEN = ("203.0.113.7", 40_000)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        asked = stun.parse_message(data)
        answer = stun.Message(asked.message_method, stun.Class.RESPONSE, asked.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = self.SEEN
        self._transport.sendto(bytes(answer), addr)


async def test_the_answer_offers_the_public_address_that_a_stun_server_saw() -> None:
    before = asyncio.all_tasks()
    server, _ = await asyncio.get_running_loop().create_datagram_endpoint(Stun, local_addr=("0.0.0.0", 0))
    host, port = "127.0.0.1", server.get_extra_info("sockname")[1]
    peer = RTCPeerConnection()
    peer.addTrack(Mouth())
    await peer.setLocalDescription(await peer.createOffer())
    try:
        alone = await BrowserLine.answering(peer.localDescription.sdp)
        helped = await BrowserLine.answering(peer.localDescription.sdp, [{"urls": [f"stun:{host}:{port}"]}])
        await alone.close()
        await helped.close()
    finally:
        await peer.close()
        server.close()
        async with asyncio.timeout(10):
            while asyncio.all_tasks() - before:  # the peers' own, which end by themselves
                await asyncio.sleep(0.05)
    assert "203.0.113.7 40000 typ srflx" in helped.answer
    assert "srflx" not in alone.answer


async def test_where_webrtc_is_not_installed_the_page_says_so(office: Office) -> None:
    page = await office.care_worker.get("/talk")
    assert "carecall[webrtc]" in page.text
    assert "talk.js" not in page.text
    answer = await office.care_worker.post("/talk/offer", json=OFFER)
    assert answer.status_code == 503
    assert "not installed" in answer.json()["trouble"]


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (TalkTrouble.TALKING, 409),
        (TalkTrouble.FULL, 503),
        (TalkTrouble.DIALOG, 422),
        (TalkTrouble.OFFER, 422),
    ],
)
async def test_why_there_is_no_call_is_said_in_words(tmp_path: Path, trouble: TalkTrouble, status: int) -> None:
    async with open_office(tmp_path, Ports(talk=refuses(trouble))) as office:
        answer = await office.care_worker.post("/talk/offer", json=OFFER)
    assert answer.status_code == status
    assert answer.json()["trouble"]


async def test_who_only_looks_may_not_talk(office: Office) -> None:
    assert (await office.viewer.get("/talk")).status_code == 403
    assert (await office.viewer.post("/talk/offer", json=OFFER)).status_code == 403


async def test_a_call_from_the_page_of_somebody_else_is_refused(office: Office) -> None:
    answer = await office.care_worker.post("/talk/offer", json=OFFER, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize("wrong", [{"name": " "}, {"sdp": "x" * 70_000}, {"name": "a" * 101}])
async def test_an_offer_that_is_none_is_not_read_on(office: Office, wrong: dict[str, str]) -> None:
    assert (await office.care_worker.post("/talk/offer", json={**OFFER, **wrong})).status_code == 422


@pytest.mark.parametrize("sdp", ["", "v=0", "m=audio", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF x\r\n"])
async def test_an_offer_that_cannot_be_answered_leaves_no_attempt_and_no_place_taken(tmp_path: Path, sdp: str) -> None:
    url = f"sqlite:///{tmp_path}/program.sqlite3"
    upgrade_database(url)
    program = create_app(Settings(database_url=url, data_dir=tmp_path, llm="none")).state.program
    viewer = Viewer(uuid.uuid4(), uuid.uuid4(), Role.CARE_WORKER, Language.ENGLISH, "UTC")
    for _ in range(2):  # the second is refused for the same reason, not because the first is still there
        with pytest.raises(TalkRefused) as refused:
            await program.browser_calls.begin(viewer, "wellbeing.en", "Anna", sdp)
        assert refused.value.trouble is TalkTrouble.OFFER
    assert await program.gate.emptied(0.1)
    program.close()


async def test_a_test_call_belongs_to_the_viewers_organisation_and_is_a_trial(office: Office) -> None:
    store = office.store
    ours, theirs = office.ours.users[Role.CARE_WORKER], office.others.users[Role.CARE_WORKER]
    dialog = find_dialog(office.settings.dialogs_dir, "wellbeing.en")
    for viewer in (ours, theirs):
        first = store.attempts.ad_hoc(dialog, "Anna", dialog.language, viewer=viewer)
        assert store.care.call(viewer, first).recipient_name == "Anna"
        store.attempts.advance(first, AttemptState.FAILED)
        second = store.attempts.ad_hoc(dialog, "Anna", dialog.language, viewer=viewer)
        assert store.attempts.get(first).recipient_id == store.attempts.get(second).recipient_id
        with store._database.reading() as session:
            enrollment = session.get_one(EnrollmentRow, store.attempts.get(first).enrollment_id)
        assert enrollment.consent_source is ConsentSource.TRIAL
    assert (await office.care_worker.get(f"/calls/{first}")).status_code == 404
    assert store.audit.of(f"attempt:{second}")[0].action == "call.tried"


def refuses(trouble: TalkTrouble) -> Talk:
    async def talk(*_: object) -> tuple[uuid.UUID, str]:
        raise TalkRefused(trouble)

    return talk
