"""The dialog manager: what is written down when, what is said, and what an interruption leaves behind."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from carecall.dialog.definition import RedFlag
from carecall.dialog.files import find_dialog
from carecall.dialog.journal import MemoryJournal
from carecall.dialog.manager import DialogManager, Sentence
from carecall.dialog.understanding.meaning import (
    AnswerReading,
    Asked,
    FindingReading,
    Intent,
    RedFlagReading,
    Understanding,
)
from carecall.domain.finding import AnswerType, Missing, Ternary
from carecall.domain.report import Outcome
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker
from carecall.llm import LanguageModel, Message
from carecall.settings import Settings

TODAY = datetime.date(2026, 3, 2)
DIALOG = find_dialog(Settings().dialogs_dir, "wellbeing.en")
FLAGS = {"chest_pain": RedFlag("chest_pain", Urgency.EMERGENCY, "Chest pain", ("Call 911 now.", "Do not wait."))}
YES, NO = AnswerReading(Ternary.YES, ""), AnswerReading(Ternary.NO, "")


class Scripted:
    """Rules that know these replies."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def read(self, reply: str, asked: Asked, today: datetime.date) -> Understanding:
        self.asked.append(asked)
        match reply.split():
            case ["yes", *_]:
                return Understanding(Intent.ANSWER, YES)
            case ["no", *_]:
                return Understanding(Intent.ANSWER, NO)
            case ["lonely", *_]:
                return Understanding(Intent.ANSWER, None, (FindingReading("loneliness", Ternary.YES, "lonely"),))
            case ["chest", *_]:
                return Understanding(Intent.ANSWER, red_flags=(RedFlagReading("chest_pain", "chest"),))
            case ["bye", *_]:
                return Understanding(Intent.GOODBYE)
            case ["hold", *_]:
                return Understanding(Intent.WAIT_REQUEST)
            case _:
                return Understanding(Intent.UNCLEAR)


class Call:
    """A line that plays whatever the manager says, and can be talked over."""

    def __init__(self, model: LanguageModel | None = None, journal: MemoryJournal | None = None) -> None:
        self.journal = journal or MemoryJournal()
        self.rules = Scripted()
        self.manager = DialogManager(
            DIALOG,
            FLAGS,
            self.rules,
            self.journal,
            recipient_name="Ann",
            today=TODAY,
            language_model=model,
            llm_deadline_s=0.05,
        )
        self.now = 0.0

    async def play(self, sentences: AsyncIterator[Sentence], *, cut_after: str | None = None) -> list[Sentence]:
        said = [sentence async for sentence in sentences]
        text = " ".join(sentence.text for sentence in said)
        if cut_after is not None:
            text = text[: text.index(cut_after) + len(cut_after)]
        if text:
            await self.manager.spoken(text, started_s=self.now, ended_s=self.now + 1, interrupted=cut_after is not None)
        self.now += 2
        return said

    async def open(self) -> list[Sentence]:
        return await self.play(self.manager.open())

    async def say(self, text: str, *, cut_after: str | None = None) -> list[Sentence]:
        return await self.play(self.manager.reply(text, started_s=self.now, ended_s=self.now + 1), cut_after=cut_after)

    def value(self, code: str) -> object:
        return {finding.code: finding.value for finding in self.manager.report().findings}.get(code)


async def confirmed(model: LanguageModel | None = None) -> Call:
    """A call whose first question, whether the recipient has eaten, is open."""
    call = Call(model)
    await call.open()
    await call.say("yes")
    return call


async def test_a_whole_call_asks_everything_and_ends() -> None:
    call = await confirmed()
    for _ in range(20):
        if call.manager.ended:
            break
        await call.say("no")
    report = call.manager.report()
    assert call.manager.ended
    assert report.outcome is Outcome.COMPLETED
    assert {each.code for each in report.findings} >= {each.code for each in DIALOG.agenda if each.required}
    assert report.dialog_hash == DIALOG.hash


async def test_the_open_question_is_known_to_the_line() -> None:
    call = Call()
    await call.open()
    assert call.manager.asking is None
    said = await call.say("yes")
    assert call.manager.asking == DIALOG.question("ate")
    assert said[-1].asks == "ate"


async def test_rules_are_told_what_was_asked() -> None:
    call = await confirmed()
    await call.say("yes")
    greeting, ate = call.rules.asked
    assert greeting.type is AnswerType.YES_NO
    assert "Ann" in greeting.text
    assert ate.text == DIALOG.question("ate").ask[0]


async def test_turns_of_both_sides_are_written_in_order() -> None:
    call = await confirmed()
    await call.say("yes")
    turns = call.journal.turns
    assert [turn.index for turn in turns] == list(range(5))
    assert [turn.speaker for turn in turns] == [Speaker.AGENT, Speaker.RECIPIENT] * 2 + [Speaker.AGENT]
    assert [turn.asked for turn in turns] == [None, None, "ate", "ate", "slept_well"]


async def test_evidence_names_the_turn_and_the_moment() -> None:
    call = await confirmed()
    await call.say("yes")
    ate = next(each for each in call.manager.report().findings if each.code == "ate")
    turn = call.journal.turns[3]
    assert (ate.evidence[0].turn, ate.evidence[0].quote, ate.evidence[0].start_s) == (3, "yes", turn.started_s)


class SlowJournal(MemoryJournal):
    """Tells in which order things became safe."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    async def recipient_turn(self, turn: Any) -> None:
        await asyncio.sleep(0)
        self.order.append("turn")

    async def understood(self, index: int, understanding: Understanding) -> None:
        await asyncio.sleep(0)
        self.order.append("understood")

    async def alert(self, alert: Alert) -> None:
        await asyncio.sleep(0)
        self.order.append(f"alert {alert.code}")


async def test_an_alert_is_safe_before_a_word_is_spoken() -> None:
    journal = SlowJournal()
    call = Call(journal=journal)
    await call.open()
    async for sentence in call.manager.reply("chest pain", started_s=1, ended_s=2):
        journal.order.append(sentence.text)
    assert journal.order[:4] == ["turn", "understood", "alert chest_pain", "Call 911 now."]
    assert call.manager.ended
    assert call.manager.report().outcome is Outcome.EMERGENCY


async def test_a_hang_up_leaves_the_rest_unasked() -> None:
    call = await confirmed()
    await call.say("yes")
    report = call.manager.report()
    assert report.outcome is Outcome.HUNG_UP
    assert call.value("ate") is Ternary.YES
    assert call.value("slept_well") is Missing.NOT_ASKED


async def test_volunteered_findings_follow_the_agenda_in_the_report() -> None:
    call = await confirmed()
    await call.say("lonely")
    codes = [finding.code for finding in call.manager.report().findings]
    assert codes[-1] == "loneliness"
    assert call.value("low_mood") is Ternary.YES
    assert "low_mood" in [alert.code for alert in call.manager.report().alerts]


async def test_silence_is_prompted_twice_then_ends() -> None:
    call = Call()
    await call.open()
    for _ in range(3):
        await call.play(call.manager.silence(at_s=call.now))
    assert call.manager.ended
    assert call.manager.report().outcome is Outcome.SILENT


# Interruptions


async def test_a_turn_cancelled_while_it_is_understood_is_not_lost() -> None:
    call = await confirmed()
    turn = call.manager.reply("yes", started_s=5, ended_s=6)
    task = asyncio.ensure_future(anext(turn))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert call.value("ate") is Ternary.YES
    assert call.journal.turns[-1].text == "yes"


async def test_an_unheard_question_is_put_again_and_the_reply_is_to_the_one_before() -> None:
    call = await confirmed()
    await call.play(call.manager.reply("yes", started_s=5, ended_s=6), cut_after="I am")
    said = await call.say("no wait")
    assert call.rules.asked[-1].text == DIALOG.question("ate").ask[0]
    assert call.value("ate") is Ternary.NO
    assert said[-1] == Sentence(DIALOG.question("slept_well").ask[0], vetted=True, asks="slept_well")


async def test_a_question_cut_in_the_middle_is_what_the_reply_is_to() -> None:
    call = await confirmed()
    await call.play(call.manager.reply("yes", started_s=5, ended_s=6), cut_after="Did you sleep")
    await call.say("no")
    assert call.value("slept_well") is Ternary.NO
    assert call.value("ate") is Ternary.YES


async def test_nothing_spoken_means_nothing_heard() -> None:
    call = await confirmed()
    async for _ in call.manager.reply("yes", started_s=5, ended_s=6):
        pass
    said = await call.say("mumble")
    assert said[-1].text == DIALOG.question("slept_well").ask[0]


async def test_a_noise_lets_the_agent_go_on_where_it_was_cut() -> None:
    call = await confirmed()
    said = await call.play(call.manager.reply("yes", started_s=5, ended_s=6), cut_after="Did you")
    again = await call.play(call.manager.resume())
    assert again == said[1:]
    await call.say("no")
    assert call.value("slept_well") is Ternary.NO


async def test_a_noise_after_a_whole_turn_changes_nothing() -> None:
    call = await confirmed()
    assert await call.play(call.manager.resume()) == []


async def test_a_greeting_that_was_talked_over_is_said_again_before_anything_else() -> None:
    call = Call()
    greeting = await call.play(call.manager.open(), cut_after="Hello")
    said = await call.say("hello?")
    assert said[-1] == greeting[0]
    said = await call.say("yes")
    assert said[-1].asks == "ate"


async def test_nobody_is_taken_for_the_right_person_before_the_greeting_went_out() -> None:
    call = Call()
    async for _ in call.manager.open():
        pass
    assert [each.text for each in await call.say("yes")] == list(call.manager.vetted_lines())[:1]


async def test_a_belated_word_of_an_earlier_turn_does_not_count_for_this_one() -> None:
    call = await confirmed()
    async for _ in call.manager.reply("yes", started_s=5, ended_s=6):
        pass
    await call.manager.spoken("Hello, this is an automated AI call", started_s=0, ended_s=4)
    await call.say("no")
    assert call.value("ate") is Ternary.NO


async def test_a_goodbye_that_was_talked_over_is_said_again() -> None:
    call = await confirmed()
    await call.play(call.manager.reply("bye", started_s=5, ended_s=6), cut_after="All")
    assert not call.manager.ended
    said = await call.say("mumble")
    assert said[0].text in DIALOG.texts.close_early
    assert call.manager.ended


async def test_emergency_text_that_was_talked_over_is_said_again() -> None:
    call = await confirmed()
    await call.play(call.manager.reply("chest", started_s=5, ended_s=6), cut_after="Call")
    said = await call.say("mumble")
    assert [each.text for each in said][1:3] == ["Call 911 now.", "Do not wait."]
    assert said[0].text in DIALOG.texts.repeat_lead
    assert len(call.journal.alerts) == 1


# With a language model


class Model:
    """Writes one warm sentence, and one reading."""

    def __init__(self, reading: str = "{}", *, name: str = "model-70b", delay_s: float = 0.0) -> None:
        self.name = name
        self._reading = reading
        self._delay_s = delay_s

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        deadline_s: float,
        max_tokens: int = 64,
        schema: Mapping[str, Any] | None = None,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
    ) -> str:
        await asyncio.sleep(self._delay_s)
        return "Porridge sounds like a good start." if schema is None else self._reading

    async def warm(self, messages: Sequence[Message]) -> None: ...

    async def close(self) -> None: ...


async def test_a_warm_sentence_stands_between_acknowledgement_and_question() -> None:
    call = await confirmed(Model())
    said = await call.say("yes I had porridge")
    assert [sentence.vetted for sentence in said] == [True, False, True]
    assert said[1].text == "Porridge sounds like a good start."


async def test_a_bare_answer_gets_no_warm_sentence() -> None:
    call = await confirmed(Model())
    assert all(sentence.vetted for sentence in await call.say("yes"))


async def test_a_late_model_holds_nothing_up() -> None:
    call = await confirmed(Model(delay_s=30))
    started = asyncio.get_running_loop().time()
    said = await call.say("yes I had porridge")
    assert all(sentence.vetted for sentence in said)
    assert asyncio.get_running_loop().time() - started < 1


async def test_no_task_outlives_a_turn_that_was_cut_off() -> None:
    call = await confirmed(Model(delay_s=30))
    turn = call.manager.reply("yes I had porridge", started_s=5, ended_s=6)
    await anext(turn)
    await turn.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_strong_model_may_answer_what_rules_leave_open() -> None:
    call = await confirmed(Model('{"answer": "yes", "quote": "porridge", "stated": [], "red_flags": []}'))
    await call.say("well porridge it was")
    assert call.value("ate") is Ternary.YES


async def test_a_small_model_is_not_asked_what_a_reply_means() -> None:
    call = await confirmed(Model('{"answer": "no", "quote": "porridge"}', name="qwen2.5-coder-1.5b"))
    said = await call.say("well porridge it was")
    assert said == [Sentence(DIALOG.question("ate").ask[1], vetted=True, asks="ate")]


@pytest.mark.parametrize(
    "reading",
    [
        "nonsense",
        "[]",
        '{"answer": "yes", "quote": "never said"}',
        '{"answer": ["yes"], "quote": "porridge"}',
        '{"answer": "yes", "quote": 7, "red_flags": [{"id": "chest_pain", "quote": "my chest"}]}',
        '{"answer": "yes", "stated": [7, {"id": 3}], "red_flags": {"id": "chest_pain"}}',
    ],
)
async def test_a_reading_that_does_not_stand_in_the_reply_is_void(reading: str) -> None:
    call = await confirmed(Model(reading))
    await call.say("well porridge it was")
    assert call.value("ate") is Missing.NOT_ASKED
    assert call.journal.alerts == []


async def test_a_danger_that_only_the_model_hears_is_escalated() -> None:
    reading = '{"answer": "unknown", "quote": "", "red_flags": [{"id": "chest_pain", "quote": "elephant on my chest"}]}'
    call = await confirmed(Model(reading))
    said = await call.say("there is an elephant on my chest")
    assert said[0].text == "Call 911 now."
    assert call.journal.alerts[0].evidence[0].quote == "elephant on my chest"
