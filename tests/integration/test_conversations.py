"""Moments of a call with the real rules and dialogs: once is enough, meant as said, asked about again, forgotten."""

import datetime
from collections.abc import Sequence

import pytest

from carecall.dialog.files import find_dialog
from carecall.dialog.journal import MemoryJournal
from carecall.dialog.manager import DialogManager, Sentence
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.meaning import AnswerReading, Asked, Intent, Understanding
from carecall.dialog.understanding.rules import Rules, rules_for
from carecall.domain.finding import Missing, Ternary
from carecall.domain.report import Outcome
from carecall.domain.triage import Urgency
from carecall.memory.memory import Memory, Topic
from carecall.memory.recall import FollowUp, follow_ups
from carecall.settings import Settings
from carecall.simulation.text_call import TextLine

TODAY = datetime.date(2026, 3, 9)
DIALOGS = Settings().dialogs_dir
YES = {"en": "yes", "ko": "네"}


class Talk:
    """A text call with a dialog of the project."""

    def __init__(self, name: str, recalled: Sequence[FollowUp] = (), rules: Rules | None = None) -> None:
        self.dialog = find_dialog(DIALOGS, name)
        language = self.dialog.language
        self.journal = MemoryJournal()
        self.manager = DialogManager(
            self.dialog,
            load_red_flags(DIALOGS, language),
            rules or rules_for(language),
            self.journal,
            recipient_name={"en": "Ann Hale", "ko": "김순자"}[language],
            today=TODAY,
            follow_ups=recalled,
        )
        self._line = TextLine(self.manager)

    async def start(self) -> list[Sentence]:
        return [sentence async for sentence in self._line.open()]

    async def hear(self, *replies: str) -> str:
        """What is said to the last of the replies."""
        said: list[Sentence] = []
        for reply in replies:
            said = [sentence async for sentence in self._line.hear(reply)]
        return " ".join(sentence.text for sentence in said)

    def value(self, code: str) -> object:
        return next((finding.value for finding in self.manager.report().findings if finding.code == code), None)

    @property
    def asking(self) -> str | None:
        return None if self.manager.asking is None else self.manager.asking.code


async def begun(name: str, recalled: Sequence[FollowUp] = (), rules: Rules | None = None) -> Talk:
    talk = Talk(name, recalled, rules)
    await talk.start()
    await talk.hear(YES[name[-2:]])
    return talk


@pytest.mark.parametrize(
    ("name", "reply", "temperature"),
    [
        ("active-monitoring.en", "yes it was a hundred and two this morning", 102.0),
        ("active-monitoring.en", "yes, 38.5 degrees", 101.3),
        ("active-monitoring.ko", "네 재 보니까 삼십팔 도 오 부예요", 38.5),
    ],
)
async def test_a_temperature_told_with_the_fever_is_not_asked_for(name: str, reply: str, temperature: float) -> None:
    talk = await begun(name)
    await talk.hear(reply)
    assert talk.value("fever") is Ternary.YES
    assert talk.value("temperature") == temperature
    assert talk.asking == "cough"


@pytest.mark.parametrize(
    ("name", "reply"), [("active-monitoring.en", "yes for three days"), ("active-monitoring.ko", "네")]
)
async def test_a_fever_without_a_temperature_is_asked_for_it(name: str, reply: str) -> None:
    talk = await begun(name)
    await talk.hear(reply)
    assert talk.value("fever") is Ternary.YES
    assert talk.asking == "temperature"


class Unsure:
    """Rules that are never sure of an answer to a question of health."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.asked: list[str] = []

    def read(self, reply: str, asked: Asked, today: datetime.date) -> Understanding:
        self.asked.append(asked.text)
        if reply == "so they say":
            return Understanding(Intent.ANSWER, AnswerReading(Ternary.NO, reply, 0.5))
        return self._rules.read(reply, asked, today)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("wellbeing.en", "you have not eaten today"), ("wellbeing.ko", "오늘 식사를 못 하셨다는 말씀")],
)
async def test_a_confirmation_says_what_was_understood_and_a_yes_agrees_to_it(name: str, meant: str) -> None:
    language = find_dialog(DIALOGS, name).language
    rules = Unsure(rules_for(language))
    talk = await begun(name, rules=rules)
    assert meant in await talk.hear("so they say")
    assert talk.value("ate") is Missing.NOT_ASKED
    await talk.hear(YES[language])
    assert talk.value("ate") is Ternary.NO
    assert meant not in rules.asked[-1]


def recalled(name: str) -> tuple[FollowUp, ...]:
    language = find_dialog(DIALOGS, name).language
    text = {"en": "Has a sore knee.", "ko": "무릎이 아프다."}[language]
    return follow_ups([Memory("a", text, Topic.HEALTH, TODAY - datetime.timedelta(days=7), 3)], TODAY, language)


@pytest.mark.parametrize(
    ("name", "replies"), [("wellbeing.en", ["yes", "I slept fine"]), ("wellbeing.ko", ["먹었어요", "잘 잤어요"])]
)
async def test_a_follow_up_comes_before_the_question_on_its_topic_and_is_recorded(
    name: str, replies: list[str]
) -> None:
    (follow_up,) = recalled(name)
    talk = await begun(name, [follow_up])
    assert follow_up.question in talk.manager.vetted_lines()
    assert (await talk.hear(*replies)).endswith(follow_up.question)
    answer = {"en": "it is about the same I'm afraid", "ko": "그냥 그래요"}[name[-2:]]
    await talk.hear(answer)
    assert talk.value("follow_up_health") == answer
    assert talk.asking != "follow_up_health"


async def test_a_follow_up_that_was_not_heard_is_said_again() -> None:
    (follow_up,) = recalled("wellbeing.en")
    talk = await begun("wellbeing.en", [follow_up])
    await talk.hear("yes", "I slept fine")
    assert (await talk.hear("sorry, what did you say?")).endswith(follow_up.question)


async def test_a_follow_up_that_was_not_answered_is_no_gap_in_the_report() -> None:
    talk = await begun("active-monitoring.en", recalled("active-monitoring.en"))
    assert talk.asking == "follow_up_health"
    report = talk.manager.report()
    assert "follow_up_health" not in {finding.code for finding in report.findings}
    assert report.dialog_hash == find_dialog(DIALOGS, "active-monitoring.en").hash


@pytest.mark.parametrize("reply", ["hello?", "what do you want", "I just got in from the garden"])
async def test_nobody_is_taken_for_the_recipient_without_saying_so(reply: str) -> None:
    talk = Talk("active-monitoring.en")
    await talk.start()
    said = await talk.hear(reply)
    assert talk.asking is None
    assert "feeling" not in said
    assert "fever" not in said


async def test_a_yes_to_the_second_question_of_identity_is_a_yes() -> None:
    for name in ("wellbeing.ko", "wellbeing.en"):
        talk = Talk(name)
        await talk.start()
        for _ in range(2):
            await talk.hear("여보세요" if name.endswith("ko") else "hello?")
        await talk.hear(YES[name[-2:]])
        assert talk.asking == "ate"


@pytest.mark.parametrize(
    ("name", "request_", "said_so"),
    [
        ("wellbeing.en", "don't write that down", "I will not keep that in mind"),
        ("wellbeing.en", "Please don’t remember that.", "I will not keep that in mind"),
        ("wellbeing.ko", "그건 적지 마세요", "기억해 두지 않을게요"),
        ("wellbeing.ko", "그 말은 못 들은 걸로 해 주세요", "기억해 두지 않을게요"),
    ],
)
async def test_a_request_to_forget_is_no_answer_and_is_agreed_to(name: str, request_: str, said_so: str) -> None:
    talk = await begun(name)
    assert said_so in await talk.hear(request_)
    assert talk.value("ate") is Missing.NOT_ASKED
    assert talk.asking == "ate"


@pytest.mark.parametrize(
    ("name", "reply"), [("wellbeing.en", "I always forget my pills"), ("wellbeing.ko", "약을 자꾸 잊어버려요")]
)
async def test_who_forgets_things_asks_for_nothing(name: str, reply: str) -> None:
    talk = await begun(name)
    said = await talk.hear(reply)
    assert not any(text in said for text in talk.dialog.texts.forget)


async def test_danger_beside_a_request_to_forget_is_still_heard() -> None:
    talk = await begun("wellbeing.en")
    await talk.hear("I have a crushing pain in my chest right now, but please forget that")
    report = talk.manager.report()
    assert report.outcome is Outcome.EMERGENCY
    assert report.urgency is Urgency.EMERGENCY


@pytest.mark.parametrize(
    ("name", "story"),
    [
        ("wellbeing.en", "no but you see the neighbour has this cat and it dug up the garden"),
        ("wellbeing.ko", "아니 글쎄 옆집 할머니가 고양이를 키우는데 그 고양이가 화단을 다 파헤쳐 놨지 뭐야"),
    ],
)
async def test_a_no_that_only_opens_a_story_is_not_taken_for_an_answer(name: str, story: str) -> None:
    talk = await begun(name)
    await talk.hear(story)
    assert talk.value("ate") is Missing.NOT_ASKED
    assert talk.asking == "ate"
