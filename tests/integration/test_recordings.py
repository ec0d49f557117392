"""Recordings: of whom one is made, that it lies sealed with its call's own key, and how long it stays."""

import asyncio
import contextlib
import io
import os
import re
import uuid
import wave
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dashboard_office import Office
from sqlalchemy import create_engine, text
from sqlmodel import select
from typer.testing import CliRunner

from carecall.cli import app
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.errors import PersonalDataChanged
from carecall.exchange.person_file import write_person
from carecall.outreach import retention
from carecall.settings import Settings, settings
from carecall.store import Store
from carecall.store.sound_file import SoundFile
from carecall.store.tables import AttemptRow, ConsentSource, HistoryKind, HistoryRow

OLD, NEW = "the-old-key-of-at-least-thirty-two-characters", "the-new-key-of-at-least-thirty-two-characters"
AGREED = datetime(2026, 11, 2, tzinfo=UTC)
SECOND = bytes([1, 2, 3, 4]) * 8000


class Dialog:
    id, language, version, hash = "wellbeing", Language.KOREAN, "1.0", "ab" * 32


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url, secret=OLD, upgrade=True) as opened:
        yield opened


def call_to(store: Store, name: str, *, agrees: bool = True) -> tuple[uuid.UUID, uuid.UUID]:
    """Somebody, and a call to them that has begun."""
    person = store.recipients.add(name, "+82105550101", Language.KOREAN)
    if agrees:
        store.recipients.record_from(person, AGREED)
    campaign = store.recipients.add_campaign(f"of {name}", "wellbeing", store.now().date())
    written = ConsentSource.WRITTEN
    enrollment = store.recipients.enroll(person, campaign, consent_at=store.now(), consent_source=written)
    attempt = store.attempts.create(enrollment, Dialog())
    store.attempts.advance(attempt, AttemptState.DIALING)
    return person, attempt


def recorded(store: Store, attempt: uuid.UUID, folder: Path, *seconds: bytes) -> SoundFile:
    """The call is recorded, and is over."""
    file = store.recordings.begin(attempt, folder)
    assert file is not None
    store.attempts.advance(attempt, AttemptState.IN_PROGRESS, recording_path=str(file.path))
    writer = file.writer(8000)
    for frames in seconds or (SECOND,):
        writer.write(frames)
    writer.close()
    store.attempts.advance(attempt, AttemptState.COMPLETED)
    return file


def heard(file: SoundFile | None) -> bytes:
    assert file is not None
    with file.open() as sound, wave.open(sound) as audio:
        frames: bytes = audio.readframes(audio.getnframes())
        return frames


def test_a_call_is_recorded_only_when_the_person_agreed(store: Store, tmp_path: Path) -> None:
    person, attempt = call_to(store, "Mina Park", agrees=False)
    assert store.recordings.begin(attempt, tmp_path) is None
    store.recipients.record_from(person, AGREED)
    assert store.recordings.begin(attempt, tmp_path) is not None
    store.recipients.record_from(person, None)
    assert store.recordings.begin(attempt, tmp_path) is None
    actions = [row.action for row in store.audit.of(f"recipient:{person}")]
    assert actions[-2:] == ["recipient.recording_agreed", "recipient.recording_withdrawn"]


def test_audio_is_sealed_with_a_key_that_is_its_calls_alone(url: str, store: Store, tmp_path: Path) -> None:
    files = [recorded(store, call_to(store, name)[1], tmp_path) for name in ("Mina Park", "Jun Lee")]
    for file in files:
        content = file.path.read_bytes()
        assert file.key is not None
        assert SECOND[:64] not in content
        assert file.key not in content
        assert heard(file) == SECOND
    one, other = files
    with pytest.raises(PersonalDataChanged):
        SoundFile(one.path, other.key).open()
    engine = create_engine(url)
    with engine.begin() as connection:
        kept = [bytes(row[0]) for row in connection.execute(text("SELECT key FROM recording_key"))]
    engine.dispose()
    assert len(kept) == 2
    assert not any(file.key.hex().encode() in each for file in files if file.key for each in kept)


def test_a_key_that_is_moved_to_another_call_opens_nothing(url: str, store: Store, tmp_path: Path) -> None:
    attempts = [call_to(store, name)[1] for name in ("Mina Park", "Jun Lee")]
    for attempt in attempts:
        recorded(store, attempt, tmp_path)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE recording_key SET key = (SELECT k.key FROM recording_key k LIMIT 1)"))
    engine.dispose()
    opened = 0
    for attempt in attempts:
        with contextlib.suppress(PersonalDataChanged):
            opened += heard(store.recordings.of(attempt)) == SECOND
    assert opened == 1


def test_without_a_key_audio_lies_open_as_text_does(url: str, tmp_path: Path) -> None:
    with Store.open(url, upgrade=True) as store:
        file = recorded(store, call_to(store, "Mina Park")[1], tmp_path)
    assert file.key is None
    assert heard(SoundFile(file.path)) == SECOND


def test_a_call_that_is_taken_up_again_keeps_its_key(store: Store, tmp_path: Path) -> None:
    _, attempt = call_to(store, "Mina Park")
    first = store.recordings.begin(attempt, tmp_path)
    again = store.recordings.begin(attempt, tmp_path)
    assert first == again


def test_after_a_change_of_the_key_recordings_open_with_the_new_one_alone(url: str, tmp_path: Path) -> None:
    with Store.open(url, secret=OLD, upgrade=True) as store:
        _, attempt = call_to(store, "Mina Park")
        recorded(store, attempt, tmp_path)
    with Store.open(url, secret=f"{NEW} {OLD}") as store:
        store.keys.rekey("operator")
    with Store.open(url, secret=NEW) as store:
        assert heard(store.recordings.of(attempt)) == SECOND


def test_recordings_from_before_there_was_a_key_are_sealed_with_the_rest(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "recordings"
    with Store.open(url, upgrade=True) as store:
        _, attempt = call_to(store, "Mina Park")
        plain = recorded(store, attempt, folder, SECOND, SECOND)
    old = datetime.now(UTC).timestamp() - 1000
    os.utime(plain.path, (old, old))
    monkeypatch.setenv("CARECALL_DATABASE_URL", url)
    monkeypatch.setenv("CARECALL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CARECALL_SECRET_KEY", NEW)
    settings.cache_clear()
    done = CliRunner().invoke(app, ["db", "rekey"])
    assert "1 recordings on this machine lay open, and are sealed." in done.output
    assert not plain.path.exists()
    with Store.open(url, secret=NEW) as store:
        file = store.recordings.of(attempt)
        assert heard(file) == SECOND * 2
        assert file is not None
        assert file.path.stat().st_mtime == pytest.approx(old, abs=1), "it grows no younger"
        assert store.recordings.seal_open(folder) == 0


def test_a_copy_of_everything_holds_the_audio_opened(store: Store, tmp_path: Path) -> None:
    person, attempt = call_to(store, "Mina Park")
    recorded(store, attempt, tmp_path)
    archive_file = io.BytesIO()
    assert write_person(archive_file, store.rights.copy_of(person, actor="terminal:op")) == []
    archive = zipfile.ZipFile(archive_file)
    with wave.open(io.BytesIO(archive.read(f"recordings/{attempt}.wav"))) as audio:
        assert audio.readframes(audio.getnframes()) == SECOND
    assert b"recording_key" not in archive.read("person.json")
    assert b"2026-11-02" in archive.read("person.json"), "the consent is part of it"


def test_a_copy_of_everything_is_made_also_when_a_recording_was_changed(store: Store, tmp_path: Path) -> None:
    person, attempt = call_to(store, "Mina Park")
    file = recorded(store, attempt, tmp_path, SECOND, SECOND)
    stored = bytearray(file.path.read_bytes())
    stored[-1000] ^= 1
    file.path.write_bytes(stored)
    archive_file = io.BytesIO()
    assert write_person(archive_file, store.rights.copy_of(person, actor="terminal:op")) == [file.path]
    archive = zipfile.ZipFile(archive_file)
    assert archive.read("recordings/not-whole.txt").decode().split() == [file.path.name]
    assert b"Mina Park" in archive.read("person.json")


def test_erasure_takes_the_audio_and_its_key(url: str, store: Store, tmp_path: Path) -> None:
    person, attempt = call_to(store, "Mina Park")
    file = recorded(store, attempt, tmp_path)
    assert store.rights.erase(person, actor="terminal:op").recordings == 1
    assert not file.path.exists()
    assert keys(url) == 0


async def test_audio_that_is_too_old_goes_with_its_key(url: str, store: Store, tmp_path: Path) -> None:
    effective = Settings(database_url=url, data_dir=tmp_path)
    _, attempt = call_to(store, "Mina Park")
    file = recorded(store, attempt, effective.recordings_dir)
    old = (datetime.now(UTC) - timedelta(days=31)).timestamp()
    os.utime(file.path, (old, old))
    await retention.clear(store, effective)
    assert not file.path.exists()
    assert store.recordings.of(attempt) is None
    assert keys(url) == 0


def keys(url: str) -> int:
    engine = create_engine(url)
    with engine.begin() as connection:
        count: int = connection.execute(text("SELECT count(*) FROM recording_key")).scalar_one()
    engine.dispose()
    return count


def kept(office: Office) -> SoundFile:
    """The audio of the urgent call, sealed as the office's calls are."""
    office.store.recipients.record_from(office.ours.urgent, AGREED)
    file = office.store.recordings.begin(office.ours.urgent_call, office.settings.recordings_dir)
    assert file is not None
    writer = file.writer(8000)
    for number in range(3):
        writer.write(bytes([number]) * 32_000)
    writer.close()
    with office.store._database.writing() as session:
        session.get_one(AttemptRow, office.ours.urgent_call).recording_path = str(file.path)
    return file


async def test_the_dashboard_plays_sealed_audio_from_any_moment(office: Office) -> None:
    file = await asyncio.to_thread(kept, office)
    assert file.key is not None
    with file.open() as sound:
        whole = sound.read()
    path = f"/calls/{office.ours.urgent_call}/audio"
    answer = await office.care_worker.get(path)
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["accept-ranges"] == "bytes"
    for asked, start, stop in (
        ("bytes=0-", 0, len(whole)),
        ("bytes=10-19", 10, 20),
        ("bytes=32040-70000", 32040, 70001),
        ("bytes=90000-999999", 90000, len(whole)),
        ("bytes=-50", len(whole) - 50, len(whole)),
    ):
        part = await office.care_worker.get(path, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, whole[start:stop]), asked
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
        assert part.headers["content-length"] == str(stop - start)
    beyond = await office.care_worker.get(path, headers={"Range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    tag = answer.headers["etag"]
    same = await office.care_worker.get(path, headers={"Range": "bytes=0-9", "If-Range": tag})
    assert same.status_code == 206
    other = await office.care_worker.get(path, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert other.status_code == 200
    taken = await office.supervisor.get(f"/calls/{office.ours.urgent_call}/recording.wav")
    assert taken.content == whole
    assert f"carecall-{office.ours.urgent_call}.wav" in taken.headers["content-disposition"]


async def test_the_page_of_a_call_says_when_its_audio_broke_off(office: Office) -> None:
    file = await asyncio.to_thread(kept, office)
    path = f"/calls/{office.ours.urgent_call}"
    assert "breaks off" not in (await office.care_worker.get(path)).text
    file.path.write_bytes(file.path.read_bytes()[:-1])
    page = (await office.care_worker.get(path)).text
    assert "<audio" in page
    assert "The recording breaks off before the end." in page


async def test_a_recording_that_was_changed_is_not_sent_and_the_page_says_why(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    file = await asyncio.to_thread(kept, office)
    stored = bytearray(file.path.read_bytes())
    stored[40] ^= 1  # in the piece with the header
    file.path.write_bytes(stored)
    path = f"/calls/{office.ours.urgent_call}"
    assert "<audio" not in (await office.care_worker.get(path)).text
    answer = await office.care_worker.get(f"{path}/audio")
    assert answer.status_code == 500
    assert "This record was changed from outside" in answer.text
    assert "a record is not shown: A recording was changed" in caplog.text


async def test_recordings_of_a_person_are_deleted_on_their_page(office: Office) -> None:
    file = await asyncio.to_thread(kept, office)
    path = f"/people/{office.ours.urgent}"
    page = (await office.supervisor.get(path)).text
    assert "1 call is recorded." in page
    assert "also when the consent is withdrawn" in page
    assert (await office.care_worker.post(f"{path}/recordings/delete")).status_code == 403
    answer = await office.supervisor.post(f"{path}/recordings/delete")
    assert "Recordings that are deleted: 1." in (await office.supervisor.get(answer.headers["location"])).text
    assert not file.path.exists()
    assert (await office.care_worker.get(f"/calls/{office.ours.urgent_call}/audio")).status_code == 404
    assert "Recordings deleted for good" in (await office.viewer.get(f"/recipients/{office.ours.urgent}")).text
    assert (await office.admin.post(f"/people/{office.others.urgent}/recordings/delete")).status_code == 404


async def test_the_consent_is_given_and_withdrawn_in_the_form(office: Office) -> None:
    path, record = f"/people/{office.ours.fine}", f"/recipients/{office.ours.fine}"
    assert "no call is recorded" in (await office.viewer.get(record)).text

    async def save(day: str) -> None:
        page = (await office.supervisor.get(path)).text
        shown = dict(re.findall(r'<input [^>]*name="(name|phone|time_zone|seen)"[^>]* value="([^"]*)"', page))
        form = {**shown, "language": "ko", "recording_consent": day}
        answer = await office.supervisor.post(path, data=form)
        assert answer.status_code == 303, answer.text

    await save("2026-05-02")
    assert "Agreed on" in (await office.viewer.get(record)).text
    assert 'value="2026-05-02"' in (await office.supervisor.get(path)).text
    await save("2026-05-02")
    await save("")
    with office.store._database.reading() as session:
        query = select(HistoryRow).where(
            HistoryRow.recipient_id == office.ours.fine, HistoryRow.kind == HistoryKind.CONSENT
        )
        told = [row.details["recording"] for row in session.exec(query) if "recording" in row.details]
    assert sorted(told) == ["agreed", "withdrawn"], "what does not change is not told"
    shown = (await office.viewer.get(record)).text
    assert "No longer agrees to be recorded" in shown
    assert "no call is recorded" in shown
