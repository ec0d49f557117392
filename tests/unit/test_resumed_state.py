"""A call whose line dropped: another process takes it up from what was written down, and it ends as it would have."""

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carecall.dialog.definition import Dialog
from carecall.dialog.files import find_dialog
from carecall.dialog.journal import MemoryJournal
from carecall.dialog.manager import DialogManager
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.meaning import Understanding
from carecall.dialog.understanding.rules import rules_for
from carecall.dialog.understanding.stored import parse_understanding
from carecall.domain.finding import FindingValue
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.turn import Speaker, Turn
from carecall.settings import Settings
from carecall.simulation.text_call import TextLine
from carecall.store.codec import dump_understanding

TODAY = datetime.date(2026, 3, 9)
DIALOGS = Settings().dialogs_dir
NAMES = ["wellbeing.en", "wellbeing.ko", "active-monitoring.en", "active-monitoring.ko"]
REPLIES = {
    Language.ENGLISH: [
        *("yes", "no", "", "yes, this is Anna", "well, I think so", "I don't know", "since yesterday", "101.2"),
        *("sorry?", "hold on a moment", "who is this?", "could someone fix my heating?", "can I take two aspirins?"),
        *("I had toast and I slept like a log", "yes and I have a cough as well, but no fever", "I feel lonely"),
        *("I am fine, I watch the television and knit", "I have a bad pain in my chest right now", "goodbye"),
    ],
    Language.KOREAN: [
        *("네", "아니요", "", "네, 제가 김영자예요", "그런 것 같아요", "모르겠어요", "어제부터요", "38.4"),
        *("뭐라고요?", "잠깐만요", "누구세요?", "보일러 좀 고쳐 주세요", "약을 두 알 먹어도 돼요?", "요새 좀 적적해요"),
        *("밥도 먹고 잠도 푹 잤어요", "네 그리고 기침도 나는데 열은 없어요", "텔레비전 보고 화투도 쳐요"),
        *("지금 가슴이 너무 아프고 숨이 안 쉬어져요", "이만 끊을게요"),
    ],
}
ANNA = {Language.ENGLISH: "Anna", Language.KOREAN: "김영자"}


@dataclass
class Call:
    """A call by text, written down as the store does it."""

    dialog: Dialog
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    said: list[str] = field(default_factory=list)
    before: list[int] = field(default_factory=list)  # how many turns there were before each reply

    def __post_init__(self) -> None:
        language = self.dialog.language
        flags, rules = load_red_flags(DIALOGS, language), rules_for(language)
        self.manager = DialogManager(
            self.dialog, flags, rules, self.journal, recipient_name=ANNA[language], today=TODAY
        )
        self.line = TextLine(self.manager)

    async def open(self) -> None:
        self.said = [sentence.text async for sentence in self.line.open()]

    async def hear(self, *replies: str) -> None:
        for reply in replies:
            if self.manager.ended:
                return
            self.before.append(len(self.journal.turns))
            self.said = [sentence.text async for sentence in self.line.hear(reply)]

    async def dropped_after(self, turns: int) -> "Call":
        """The call as another process takes it up, which knows so many turns of it."""
        call = Call(self.dialog)
        kept, understood = self.journal.turns[:turns], self.journal.understandings
        call.journal.turns.extend(kept)
        await call.manager.take_up(kept, {index: _stored(each) for index, each in understood.items() if index < turns})
        await call.open()
        return call


def _stored(understanding: Understanding) -> Understanding:
    """The understanding after it was written to the store and read back."""
    read = parse_understanding(dump_understanding(understanding))
    assert read == understanding
    return read


Found = dict[str, tuple[FindingValue, tuple[str, ...]]]


def found(report: Report) -> tuple[Outcome, Found, list[str], tuple[str, ...]]:
    """What a report says, but for the places in the call."""
    findings = {each.code: (each.value, tuple(words.quote for words in each.evidence)) for each in report.findings}
    return report.outcome, findings, [alert.code for alert in report.alerts], report.notes


async def held(name: str, *replies: str) -> Call:
    call = Call(find_dialog(DIALOGS, name))
    await call.open()
    await call.hear(*replies)
    return call


def indexes(turns: Sequence[Turn]) -> list[int]:
    return [turn.index for turn in turns]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), data=st.data())
async def test_a_call_that_is_cut_and_resumed_finds_what_the_uncut_call_finds(
    name: str, seed: int, data: st.DataObject
) -> None:
    dialog = find_dialog(DIALOGS, name)
    chance = random.Random(seed)
    pool = REPLIES[dialog.language]
    replies = [pool[0], *(chance.choice(pool if chance.random() < 0.6 else pool[:2]) for _ in range(60))]
    whole = await held(name, *replies)

    cut = data.draw(st.integers(1, len(whole.journal.turns)), label="turns before the drop")
    resumed = await whole.dropped_after(cut)
    await resumed.hear(*replies[sum(before < cut for before in whole.before) :])

    assert found(resumed.manager.report()) == found(whole.manager.report())
    assert indexes(resumed.journal.turns) == list(range(len(resumed.journal.turns)))


async def test_it_says_that_the_line_dropped_and_puts_the_open_question_again() -> None:
    english = await held("wellbeing.en", "yes, this is Anna", "yes I have")
    korean = await held("wellbeing.ko", "네 맞아요", "네 먹었어요")

    assert (await english.dropped_after(5)).said == [
        "I am sorry, we were cut off. Let us go on.",
        "Did you sleep well last night?",
    ]
    said = (await korean.dropped_after(5)).said
    assert said[0] == "죄송합니다, 통화가 잠시 끊겼어요. 이어서 여쭤볼게요."
    assert said[1:] == list(korean.dialog.question("slept_well").ask[:1])


async def test_who_is_on_the_line_is_not_asked_again_once_it_is_settled() -> None:
    call = await held("wellbeing.en", "hello?", "yes, this is Anna")

    stranger = await call.dropped_after(3)
    known = await call.dropped_after(4)  # what Anna said was written down, the answer to it never went out

    assert "Anna" in stranger.said[-1]
    assert known.said[-1] == "Have you eaten today?"


async def test_what_was_heard_and_not_yet_understood_is_understood_by_who_takes_the_call_up() -> None:
    call = await held("wellbeing.en", "yes, this is Anna", "I have a bad pain in my chest right now")
    del call.journal.understandings[3]

    resumed = await call.dropped_after(4)

    assert 3 in resumed.journal.understandings
    assert [alert.code for alert in resumed.journal.alerts] == [alert.code for alert in call.journal.alerts] != []
    assert resumed.said == call.said, "the words of an emergency come without a lead"


async def test_a_question_that_was_cut_off_is_put_whole() -> None:
    call = await held("wellbeing.en", "yes, this is Anna")
    last = call.journal.turns.pop()
    question = last.text.rpartition(". ")[2]
    call.journal.turns.append(Turn(last.index, Speaker.AGENT, last.text, 0, 1, last.asked, interrupted=True))

    resumed = await call.dropped_after(3)
    await resumed.hear("yes I have")

    assert question == "Have you eaten today?"
    assert found(resumed.manager.report())[1]["ate"][0] == "yes"


async def test_a_goodbye_that_the_drop_swallowed_is_said_again_and_the_call_ends() -> None:
    call = await held("wellbeing.en", "yes, this is Anna", "please stop calling me")
    assert call.manager.ended

    resumed = await call.dropped_after(4)

    assert resumed.said == call.said
    assert resumed.manager.ended
    assert resumed.manager.report().outcome is Outcome.OPTED_OUT


async def test_a_line_that_drops_twice_is_taken_up_twice() -> None:
    call = await held("wellbeing.en", "yes, this is Anna", "yes I have")
    once = await call.dropped_after(5)
    twice = await once.dropped_after(6)

    await twice.hear("no, badly")

    assert twice.said != once.said
    assert found(twice.manager.report())[1]["slept_well"][0] == "no"
    assert found(twice.manager.report())[1]["ate"][0] == "yes"


async def test_one_who_calls_back_is_thanked_and_asked_who_they_are() -> None:
    dialog = find_dialog(DIALOGS, "wellbeing.en")
    manager = DialogManager(
        dialog, {}, rules_for(dialog.language), MemoryJournal(), recipient_name="Anna", today=TODAY, called_us=True
    )

    said = [sentence.text async for sentence in manager.open()]

    assert len(said) == 1
    assert all(word in said[0] for word in ("calling back", "AI", "Anna", dialog.organisation))
    assert manager.report().dialog_hash == dialog.hash
