"""Whole calls by voice: the real server in a process of its own, the real models, the real media-stream protocol."""

import asyncio
import audioop
import base64
import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from carecall.app import new_stream_url
from carecall.cli.demo import demo_scenario
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.domain.report import Outcome
from carecall.domain.turn import Speaker
from carecall.settings import Settings
from carecall.simulation.scenario import load_scenario
from carecall.simulation.server import RunningServer, running_server
from carecall.simulation.voice_call import recipient_phrases, run_voice_call
from carecall.store import Store

pytestmark = [pytest.mark.models, pytest.mark.timeout(480)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("voice"), record_calls=True)
    Store.open(settings.database, upgrade=True).close()
    with running_server(settings) as server:
        _wait_for_phrases(server)
        yield server


@pytest.fixture
def store(server: RunningServer) -> Iterator[Store]:
    with Store.open(server.settings.database) as store:
        yield store


def _wait_for_phrases(server: RunningServer) -> None:
    deadline = time.monotonic() + 300
    while server.phrases_missing() != 0 and time.monotonic() < deadline:
        time.sleep(0.5)


async def test_a_whole_call_leaves_the_report_of_what_was_said(server: RunningServer, store: Store) -> None:
    call = await run_voice_call(load_scenario(demo_scenario()), server.settings, store)

    assert call.result.reasons == ()
    assert call.violations == ()
    assert len(call.latencies) == 9
    assert call.result.report.outcome is Outcome.COMPLETED
    for finding in call.result.report.findings:
        for evidence in finding.evidence:
            turn = call.result.turns[evidence.turn]
            assert turn.speaker is Speaker.RECIPIENT
            assert evidence.quote in turn.text

    assert call.recording is not None
    with wave.open(call.recording) as recording:
        assert recording.getnchannels() == 2
        seconds = recording.getnframes() / recording.getframerate()
        samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16).reshape(-1, 2)
    assert seconds > 40
    assert all((np.abs(side) > 1000).mean() > 0.01 for side in samples.T), "both sides are heard"
    assert Path(call.recording).stat().st_mode & 0o077 == 0

    log = server.log.read_text()
    assert "turn_latency" in log
    assert not any(word in log for word in ("Anna", "eggs", "grandson", "stream/")), "nothing personal is logged"


@dataclass
class TwilioClient:
    """A media-stream client that shares no code with the program: it speaks what Twilio documents."""

    socket: ClientConnection
    stream_sid: str = "MZ" + "5" * 32
    heard: bytearray = field(default_factory=bytearray)
    clears: int = 0
    strange: list[str] = field(default_factory=list)
    sequence: int = 1
    chunk: int = 0
    last_voice: float = 0.0
    speaking: list[bytes] = field(default_factory=list)

    async def send(self, event: str, **about: Any) -> None:
        message = {"event": event, "sequenceNumber": str(self.sequence), "streamSid": self.stream_sid, event: about}
        self.sequence += 1
        await self.socket.send(json.dumps(message))

    async def stream(self) -> None:
        began = time.monotonic()
        while True:
            frame = self.speaking.pop(0) if self.speaking else b"\xff" * 160
            payload = base64.b64encode(frame).decode()
            self.chunk += 1
            await self.send(
                "media", track="inbound", chunk=str(self.chunk), timestamp=str(self.chunk * 20), payload=payload
            )
            await asyncio.sleep(max(0, began + self.chunk * 0.02 - time.monotonic()))

    async def listen(self) -> None:
        async for text in self.socket:
            message = json.loads(text)
            if message.get("streamSid") != self.stream_sid:
                self.strange.append(str(text))
            if message["event"] == "media":
                audio = base64.b64decode(message["media"]["payload"], validate=True)
                if len(audio) != 160 or set(message["media"]) != {"payload"}:
                    self.strange.append(str(text))
                self.heard += audio
                if audioop.max(audioop.ulaw2lin(audio, 2), 2) > 400:
                    self.last_voice = time.monotonic()
            elif message["event"] == "clear":
                self.clears += 1
            else:
                self.strange.append(str(text))

    async def say(self, pcm: bytes) -> None:
        encoded = audioop.lin2ulaw(pcm, 2)
        frames = [encoded[at : at + 160].ljust(160, b"\xff") for at in range(0, len(encoded), 160)]
        self.speaking.extend(frames)
        await asyncio.sleep(len(frames) * 0.02)

    async def agent_turn(self, timeout_s: float = 30) -> bool:
        """Whether the agent spoke; waits until it has been silent for a second."""
        since = time.monotonic()
        while time.monotonic() - since < timeout_s:
            await asyncio.sleep(0.05)
            if self.last_voice > since and time.monotonic() - self.last_voice > 1.0:
                return True
        return False


@asynccontextmanager
async def twilio(url: str) -> AsyncIterator[TwilioClient]:
    async with connect(url) as socket:
        client = TwilioClient(socket)
        await socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        await client.send(
            "start",
            streamSid=client.stream_sid,
            accountSid="AC" + "1" * 32,
            callSid="CA" + "2" * 32,
            tracks=["inbound"],
            mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            customParameters={},
        )
        tasks = [asyncio.create_task(client.stream()), asyncio.create_task(client.listen())]
        try:
            yield client
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError | ConnectionClosed | None) for each in results)


async def test_an_independent_client_is_answered_every_turn_and_may_talk_over_the_agent(
    server: RunningServer, store: Store
) -> None:
    phrases = recipient_phrases(server.settings, Language.ENGLISH)
    answers = [
        "Yes, this is Martha.",
        "No, I do not have a fever.",
        "Yes, I have been coughing since yesterday.",
        "No, my throat is fine.",
        "No, I can breathe well.",
    ]
    spoken = {text: await asyncio.to_thread(phrases.render, text, on_disk=True) for text in answers}
    over = await asyncio.to_thread(phrases.render, "Sorry, could you say that again please?", on_disk=True)
    url, attempt_id = await asyncio.to_thread(new_stream_url, server.settings, store, "active-monitoring.en", "Martha")
    async with twilio(url) as client:
        assert await client.agent_turn()
        for text in answers:
            await client.say(spoken[text])
            assert await client.agent_turn(), f"no speech after {text}"
        await client.say(spoken["Yes, I have been coughing since yesterday."])
        before = client.clears
        while time.monotonic() - client.last_voice > 0.2:  # until the agent has begun to answer
            await asyncio.sleep(0.02)
        await asyncio.sleep(2.0)  # past "That sounds hard.", into the question that follows it
        await client.say(over)
        assert client.clears > before, "talking over the agent clears what it was saying"
        assert await client.agent_turn(), "it answers what was said over it"
        assert client.strange == []
    for _ in range(100):
        if (await asyncio.to_thread(store.attempts.get, attempt_id)).state.terminal:
            break
        await asyncio.sleep(0.1)
    report = await asyncio.to_thread(store.calls.load_report, attempt_id)
    assert report is not None
    assert report.outcome is Outcome.HUNG_UP
    assert {finding.code: finding.value for finding in report.findings}["fever"] == "no"
    turns = await asyncio.to_thread(store.calls.turns, attempt_id)
    assert any(turn.interrupted for turn in turns if turn.speaker is Speaker.AGENT)


async def test_finished_turns_outlive_kill_9_and_the_next_start_closes_the_call(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, llm="none")
    Store.open(settings.database, upgrade=True).close()
    finished = []
    with Store.open(settings.database) as store:
        with running_server(settings) as server:
            phrases = recipient_phrases(server.settings, Language.ENGLISH)
            url, attempt_id = await asyncio.to_thread(new_stream_url, server.settings, store, "wellbeing.en", "Anna")
            try:
                async with twilio(url) as client:
                    for text in ("Yes, this is Anna.", "Yes, I had breakfast."):
                        assert await client.agent_turn()
                        await client.say(await asyncio.to_thread(phrases.render, text, on_disk=True))
                    assert await client.agent_turn()
                    await client.say(await asyncio.to_thread(phrases.render, "I slept badly.", on_disk=True))
                    finished = await asyncio.to_thread(store.calls.turns, attempt_id)
                    server.process.send_signal(signal.SIGKILL)
            except ConnectionClosed:
                pass
        assert len(finished) >= 5
        assert (await asyncio.to_thread(store.attempts.get, attempt_id)).state is AttemptState.IN_PROGRESS
        with running_server(settings):
            pass
        kept = await asyncio.to_thread(store.calls.turns, attempt_id)
        assert kept[: len(finished)] == finished
        assert (await asyncio.to_thread(store.attempts.get, attempt_id)).state is AttemptState.INTERRUPTED
        report = await asyncio.to_thread(store.calls.load_report, attempt_id)
        assert report is not None
        assert report.outcome is Outcome.INTERRUPTED
        assert {finding.code: finding.value for finding in report.findings}["ate"] == "yes"


def test_a_missing_model_is_one_clear_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carecall", "serve", "--port", "0"],
        env={**os.environ, "CARECALL_MODELS_DIR": str(tmp_path), "CARECALL_LLM": "none"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "carecall: Not on this machine: whisper-base, en_US-joe-medium. Run 'carecall models fetch' or 'carecall up'."
    ]


def test_a_port_in_use_is_one_clear_line(server: RunningServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carecall", "serve", "--port", str(server.settings.port)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"carecall: Port {server.settings.port} on 127.0.0.1")
    assert "Traceback" not in done.stderr
