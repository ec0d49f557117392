"""The dialog manager on a pipecat pipeline: words in, sentences out, and silence when the recipient talks."""

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, BaseTurnParams, EndOfTurnState
from pipecat.frames.frames import (
    AggregatedTextFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndWorkerFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    TTSTextFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import MetricsData
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import SleepFrame, run_test
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.text.base_text_aggregator import TextType

from carecall.dialog.files import find_dialog
from carecall.dialog.journal import MemoryJournal
from carecall.dialog.manager import DialogManager
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.rules import rules_for
from carecall.domain.language import Language
from carecall.domain.report import Outcome
from carecall.domain.turn import Speaker, Turn
from carecall.speech.whisper import NOTHING_RECOGNISED
from carecall.voice.dialog_processor import CallClock, DialogProcessor
from carecall.voice.spoken_processor import SpokenProcessor
from carecall.voice.turn_taking import WholeTurn

DIALOGS = Path(__file__).parents[2] / "dialogs"


class Mouth(FrameProcessor):
    """Stands in for synthesis and line: every sentence is spoken at once."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        match frame:
            case LLMFullResponseStartFrame():
                await self.broadcast_frame(BotStartedSpeakingFrame)
            case AggregatedTextFrame():
                await self.push_frame(TTSTextFrame(frame.text, TextType.SENTENCE))
            case LLMFullResponseEndFrame():
                await asyncio.sleep(0.02)
                await self.broadcast_frame(BotStoppedSpeakingFrame)


class AlwaysComplete(BaseTurnAnalyzer):
    """Takes every pause for the end of the turn."""

    @property
    def speech_triggered(self) -> bool:
        return False

    @property
    def params(self) -> BaseTurnParams:
        return BaseTurnParams()

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        return EndOfTurnState.INCOMPLETE

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, MetricsData | None]:
        return EndOfTurnState.COMPLETE, None

    def update_vad_start_secs(self, vad_start_secs: float) -> None:
        pass

    def clear(self) -> None:
        pass


class Line:
    """A pipeline around a real manager. ``mute``: nothing of what the agent says reaches the line."""

    def __init__(self, dialog: str = "wellbeing.en", *, mute: bool = False) -> None:
        self.mute = mute
        language = Language(dialog.rpartition(".")[2])
        self.journal = MemoryJournal()
        self.manager = DialogManager(
            find_dialog(DIALOGS, dialog),
            load_red_flags(DIALOGS, language),
            rules_for(language),
            self.journal,
            recipient_name="Anna",
            today=datetime.date(2026, 1, 5),
        )
        self.down: list[Frame] = []
        self.up: list[Frame] = []

    async def run(self, *frames: Frame) -> None:
        strategies = UserTurnStrategies(start=[VADUserTurnStartStrategy()], stop=[WholeTurn(AlwaysComplete())])
        clock = CallClock()
        line = [] if self.mute else [Mouth(), SpokenProcessor(self.manager, clock)]
        pipeline = Pipeline([DialogProcessor(self.manager, clock, strategies), *line])
        metadata = STTMetadataFrame(service_name="test", ttfs_p99_latency=4.0)
        down, up = await run_test(pipeline, frames_to_send=[SleepFrame(sleep=0.1), metadata, *frames])
        self.down, self.up = list(down), list(up)

    @property
    def said(self) -> list[str]:
        texts = [frame for frame in self.down if isinstance(frame, AggregatedTextFrame)]
        return [frame.text for frame in texts if not isinstance(frame, TTSTextFrame)]

    @property
    def heard(self) -> list[str]:
        return [turn.text for turn in self.journal.turns if turn.speaker is Speaker.RECIPIENT]


def voice() -> VADUserStartedSpeakingFrame:
    return VADUserStartedSpeakingFrame(start_secs=0.12)


def quiet() -> VADUserStoppedSpeakingFrame:
    return VADUserStoppedSpeakingFrame(stop_secs=0.2)


def words(text: str) -> TranscriptionFrame:
    return TranscriptionFrame(text, "", "2026-01-01T00:00:00Z", finalized=True)


def wait(seconds: float = 0.05) -> SleepFrame:
    return SleepFrame(sleep=seconds)


def turn(text: str) -> list[Frame]:
    """A recipient's turn of one run of speech, and the time that an answer takes."""
    return [voice(), wait(), quiet(), words(text), wait(1.0)]


async def test_the_greeting_comes_first() -> None:
    line = Line()
    await line.run()
    assert len(line.said) == 1
    assert "automated AI call" in line.said[0]
    assert line.manager.report().outcome is Outcome.HUNG_UP


async def test_what_was_said_is_written_down_and_answered() -> None:
    line = Line()
    await line.run(*turn("Yes, this is Anna."))
    assert line.heard == ["Yes, this is Anna."]
    assert line.said[-1] == "Have you eaten today?"


async def test_what_the_agent_said_is_written_down_when_it_has_been_spoken() -> None:
    line = Line()
    await line.run(*turn("Yes, this is Anna."))
    spoken = [turn.text for turn in line.journal.turns if turn.speaker is Speaker.AGENT]
    assert spoken == [line.said[0], " ".join(line.said[1:])]


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(
            lambda: [
                voice(),
                quiet(),
                wait(),
                voice(),
                wait(),
                words("Yes."),
                wait(),
                quiet(),
                wait(),
                words("Anna."),
            ],
            id="the first words come while the recipient speaks again",
        ),
        pytest.param(
            lambda: [
                voice(),
                wait(),
                quiet(),
                voice(),
                wait(),
                quiet(),
                wait(),
                words("Yes."),
                wait(),
                words("Anna."),
            ],
            id="all words come after the second pause",
        ),
    ],
)
async def test_a_pause_in_the_reply_makes_one_turn_of_it(frames: Callable[[], list[Frame]]) -> None:
    line = Line()
    await line.run(*frames(), wait(1.0))
    assert line.heard == ["Yes. Anna."]


async def test_a_bare_word_waits_a_moment_for_what_follows() -> None:
    line = Line()
    await line.run(
        voice(), wait(), quiet(), words("Yes."), wait(0.2), voice(), wait(), quiet(), words("Anna."), wait(1.0)
    )
    assert line.heard == ["Yes. Anna."]


async def test_two_replies_are_two_turns() -> None:
    line = Line()
    await line.run(*turn("Yes, this is Anna."), *turn("Yes, I had toast."))
    assert line.heard == ["Yes, this is Anna.", "Yes, I had toast."]


async def test_talking_over_the_agent_interrupts_it() -> None:
    line = Line()
    await line.run(voice(), wait(0.1))
    assert any(isinstance(frame, InterruptionFrame) for frame in line.down)


@pytest.mark.parametrize("text", [NOTHING_RECOGNISED, "  "])
async def test_a_short_noise_is_no_turn_and_the_agent_says_again_what_it_cut_off(text: str) -> None:
    line = Line(mute=True)
    await line.run(voice(), wait(), quiet(), words(text), wait(1.0))
    assert line.heard == []
    assert len(line.said) == 2
    assert line.said[0] == line.said[1]


async def test_a_conversation_that_fails_ends_the_call_instead_of_falling_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line()

    async def broken(_journal: MemoryJournal, _turn: Turn) -> None:
        raise RuntimeError("Anna said something")

    monkeypatch.setattr(MemoryJournal, "recipient_turn", broken)
    await line.run(*turn("Yes, this is Anna."))
    assert any(isinstance(frame, EndWorkerFrame) for frame in line.up)
    assert "the conversation failed: RuntimeError" in caplog.text
    assert "Anna" not in caplog.text


async def test_the_line_is_closed_when_all_is_said() -> None:
    line = Line()
    await line.run(*turn("You have the wrong number, there is no Anna here."))
    assert line.manager.report().outcome is Outcome.WRONG_PERSON
    assert any(isinstance(frame, EndWorkerFrame) for frame in line.up)
