"""Runs a scenario by text, sentence by sentence through the real dialog manager, and judges what came of it."""

import datetime
import re
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from carecall.call_memory import changes
from carecall.dialog.files import find_dialog
from carecall.dialog.follow_ups import with_follow_ups
from carecall.dialog.journal import Journal, MemoryJournal
from carecall.dialog.manager import DialogManager, Sentence
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.meaning import Understanding
from carecall.dialog.understanding.rules import rules_for
from carecall.domain.finding import FindingValue, Missing, Ternary
from carecall.domain.report import Report
from carecall.domain.triage import Alert
from carecall.domain.turn import Speaker, Turn
from carecall.errors import SimulationError
from carecall.llm import LanguageModel
from carecall.memory.extraction import topic_of
from carecall.memory.memory import Memory
from carecall.memory.recall import follow_ups
from carecall.simulation.persona import Persona
from carecall.simulation.scenario import Expected, Scenario

CHARACTERS_A_SECOND = 14.0  # how fast the clock of a text call runs: about the pace of calm speech
PAUSE_S = 0.5  # before the other side speaks
IDLE_S = 7.0
TOLERANCE = 0.05  # of an expected number
_WEEK = datetime.timedelta(days=7)
MOST_TURNS = 200  # a call that goes on longer has lost its way


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a simulated call."""

    name: str
    reasons: tuple[str, ...]  # why it failed
    report: Report
    turns: tuple[Turn, ...]

    @property
    def passed(self) -> bool:
        return not self.reasons


class TextLine:
    """A line without sound: what the agent says counts as spoken at once, time passes by the length of the text."""

    def __init__(self, manager: DialogManager) -> None:
        self._manager = manager
        self._now_s = 0.0

    async def open(self) -> AsyncIterator[Sentence]:
        """The agent's first turn."""
        async for sentence in self._speak(self._manager.open()):
            yield sentence

    async def hear(self, text: str) -> AsyncIterator[Sentence]:
        """The agent's turn after the recipient's words; empty words are silence."""
        self._now_s += PAUSE_S
        if text.strip():
            started_s = self._now_s
            self._now_s += len(text) / CHARACTERS_A_SECOND
            answer = self._manager.reply(text, started_s=started_s, ended_s=self._now_s)
        else:
            self._now_s += IDLE_S
            answer = self._manager.silence(at_s=self._now_s)
        async for sentence in self._speak(answer):
            yield sentence

    async def _speak(self, sentences: AsyncIterator[Sentence]) -> AsyncIterator[Sentence]:
        self._now_s += PAUSE_S
        started_s, said = self._now_s, list[str]()
        async for sentence in sentences:
            said.append(sentence.text)
            self._now_s += len(sentence.text) / CHARACTERS_A_SECOND
            yield sentence
        await self._manager.spoken(" ".join(said), started_s=started_s, ended_s=self._now_s)


class _Kept:
    """Passes everything on to a journal, and keeps the turns to judge the call by."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.turns: list[Turn] = []

    async def recipient_turn(self, turn: Turn) -> None:
        self.turns.append(turn)
        await self._journal.recipient_turn(turn)

    async def understood(self, index: int, understanding: Understanding) -> None:
        await self._journal.understood(index, understanding)

    async def agent_turn(self, turn: Turn) -> None:
        self.turns.append(turn)
        await self._journal.agent_turn(turn)

    async def alert(self, alert: Alert) -> None:
        await self._journal.alert(alert)


async def run_text_call(
    scenario: Scenario,
    dialogs_dir: Path,
    *,
    today: datetime.date,
    language_model: LanguageModel | None = None,
    journal: Callable[[], Journal] = MemoryJournal,
) -> Result:
    """Holds the scenario's call and judges it. Raises DialogFileError, SimulationError or StoreError."""
    dialog = find_dialog(dialogs_dir, scenario.dialog)
    memories = [
        Memory(str(uuid.uuid4()), text, topic_of(text, dialog.language), today - _WEEK)
        for text in scenario.recipient.remembered
    ]
    followed_up = follow_ups(memories, today, dialog.language)
    codes = [question.code for question in with_follow_ups(dialog, followed_up).agenda]
    if strange := [code for code in scenario.recipient.answers if code not in codes]:
        known = ", ".join(codes)
        raise SimulationError(f"{scenario.name}: {scenario.dialog} has no question {strange[0]}; it has {known}")
    kept = _Kept(journal())
    manager = DialogManager(
        dialog,
        load_red_flags(dialogs_dir, dialog.language),
        rules_for(dialog.language),
        kept,
        recipient_name=scenario.recipient.name,
        today=today,
        language_model=language_model,
        follow_ups=followed_up,
    )
    line, persona = TextLine(manager), Persona(scenario.recipient)
    async for _ in line.open():
        pass
    while not manager.ended and len(kept.turns) < MOST_TURNS:
        reaction = persona.react(None if manager.asking is None else manager.asking.code)
        if reaction.hangs_up:
            break
        async for _ in line.hear(reaction.text):
            pass
    report = manager.report()
    reasons = judge(scenario.expect, report, kept.turns)
    if scenario.expect.remembered is not None:
        after = changes(kept.turns, report, memories, followed_up, today).after
        if sorted(after) != sorted(scenario.expect.remembered):
            reasons = (*reasons, f"what is remembered is: {' '.join(after) or 'nothing'}")
    return Result(scenario.name, reasons, report, tuple(kept.turns))


def judge(expected: Expected, report: Report, turns: list[Turn]) -> tuple[str, ...]:
    """Why the call was not as expected; empty when it was."""
    reasons: list[str] = []
    if expected.outcome is not None and report.outcome is not expected.outcome:
        reasons.append(f"outcome is {report.outcome}, not {expected.outcome}")
    values = {finding.code: finding.value for finding in report.findings}
    for code, wanted in expected.findings.items():
        value = values.get(code)
        if not _same(value, wanted):
            reasons.append(f"{code} is {'absent' if value is None else value}, not {wanted}")
    alerts = [alert.code for alert in report.alerts]
    if expected.alerts is not None and sorted(set(alerts)) != sorted(set(expected.alerts)):
        reasons.append(f"alerts are {', '.join(alerts) or 'none'}, not {', '.join(expected.alerts) or 'none'}")
    reasons += [f"nothing noted like {each}" for each in expected.noted if not _in_any(each, report.notes)]
    if expected.max_turns is not None and len(turns) > expected.max_turns:
        reasons.append(f"{len(turns)} turns, more than {expected.max_turns}")
    spoken = [turn.text for turn in turns if turn.speaker is Speaker.AGENT]
    reasons += [f"never said {each}" for each in expected.said if not _in_any(each, spoken)]
    reasons += [f"said {each}" for each in expected.never_said if _in_any(each, spoken)]
    return tuple(reasons)


def _same(value: FindingValue | None, wanted: float | str) -> bool:
    match value:
        case float():
            return isinstance(wanted, float) and abs(value - wanted) < TOLERANCE
        case Ternary() | Missing():
            return str(value) == wanted
        case str():
            return isinstance(wanted, str) and wanted in value
        case None:
            return False


def _in_any(pattern: str, texts: list[str] | tuple[str, ...]) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for text in texts)
