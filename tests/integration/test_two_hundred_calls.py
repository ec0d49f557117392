"""Two hundred calls by text with people of all kinds: what holds of every one of them, whatever is said."""

import datetime
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from carecall.dialog.definition import Dialog
from carecall.dialog.files import find_dialog
from carecall.dialog.journal import MemoryJournal
from carecall.dialog.manager import DialogManager, Sentence
from carecall.dialog.policy import MOST_PUTS
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.summary import unsupported
from carecall.dialog.understanding.rules import rules_for
from carecall.domain.finding import AnswerType, Missing
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import holds
from carecall.domain.turn import Speaker
from carecall.memory.memory import Memory, Topic
from carecall.memory.recall import FollowUp, follow_ups
from carecall.settings import Settings

TODAY = datetime.date(2026, 3, 9)
DIALOGS = Settings().dialogs_dir
CALLS = 100  # a language
MOST_TURNS = 80

EN, KO = Language.ENGLISH, Language.KOREAN
IDENTITY = {
    EN: ["yes", "yes speaking", "this is she", "that's me, yes", "hello?", "who is this?", "what", "yes it's me"],
    KO: ["네", "네 맞아요", "전데요", "여보세요", "누구세요?", "예 접니다", "응 맞아", "그런데요"],
}
YES_NO = {
    EN: ["yes", "no", "yes I do", "not really", "oh a little", "no, not at all", "I think so", "I don't know", "never"],
    KO: ["네", "아니요", "네 그래요", "별로요", "조금요", "아니 전혀", "그런 것 같아요", "모르겠어요", "응", "없어요"],
}
NUMBER = {
    EN: ["ninety nine", "101.2", "I have no thermometer", "about a hundred"],
    KO: ["삼십칠 도 이 부", "38.4", "안 재 봤어요"],
}
DURATION = {
    EN: ["since yesterday", "three days ago", "last Friday", "hard to say"],
    KO: ["어제부터요", "사흘 됐어요", "글쎄요"],
}
OPEN = {
    EN: ["nothing special", "I watch the television and knit", "my grandson visits on Sundays", "no that is all"],
    KO: ["별거 없어요", "텔레비전 보고 화투도 쳐요", "손주가 일요일마다 와요", "그게 다예요"],
}
VOLUNTEERED = {
    EN: [
        "I had toast and I slept like a log",
        "yes and I have a cough as well, but no fever",
        "no but my back has been hurting since Monday",
        "I take a walk every morning and I feel fine",
        "I have been a bit lonely and I did not sleep",
    ],
    KO: [
        "밥도 먹고 잠도 푹 잤어요",
        "네 그리고 기침도 나는데 열은 없어요",
        "아니 근데 월요일부터 허리가 아파요",
        "아침마다 걷고 몸은 괜찮아요",
        "요새 좀 적적하고 잠도 못 잤어요",
    ],
}
RAMBLING = {
    EN: [
        "well you know my neighbour Edith she has this cat and the cat got into my garden and dug up all the tulips and"
        " I said to her Edith you have to do something about that cat",
        "when I was young we did not have telephones like these, we had one in the shop down the road and you waited",
    ],
    KO: [
        "아니 글쎄 옆집 할머니가 고양이를 키우는데 그 고양이가 우리 화단을 다 파헤쳐 놨지 뭐야 그래서 내가 한마디 했지",
        "우리 젊을 때는 전화가 어디 있어요 동네 가게에 하나 있는 걸 다 같이 썼지 줄을 서서 기다렸다니까",
    ],
}
ASIDE = {
    EN: [
        "is it going to rain?",
        "can I take two aspirins?",
        "could someone fix my heating?",
        "are you a robot?",
        "sorry?",
    ],
    KO: ["내일 비 와요?", "약을 두 알 먹어도 돼요?", "보일러 좀 고쳐 주세요", "로봇이에요?", "뭐라고요?", "잠깐만요"],
}
MEMORIES = {
    EN: [
        ("Has a sore hip.", Topic.HEALTH),
        ("Has trouble sleeping.", Topic.SLEEP),
        ("Walks every day.", Topic.EXERCISE),
    ],
    KO: [("무릎이 아프다.", Topic.HEALTH), ("잠을 잘 못 잔다.", Topic.SLEEP), ("매일 걷는다.", Topic.EXERCISE)],
}


@dataclass
class Call:
    """A call that has been held."""

    dialog: Dialog
    journal: MemoryJournal
    report: Report
    sentences: list[tuple[str, bool]] = field(default_factory=list)  # in order, and whether it went out whole


class Person:
    """Answers as people of this seed do: some plainly, some with everything at once, some hardly at all."""

    def __init__(self, language: Language, chance: random.Random) -> None:
        self._language = language
        self._chance = chance
        self.volunteers, self.rambles, self.strays, self.silent, self.interrupts, self.leaves = (
            chance.choice((0.0, 0.0, 0.15, 0.4)) for _ in range(6)
        )
        self.leaves /= 10
        self.knows = IDENTITY[language][: 4 if chance.random() < 0.7 else None]

    def reply(self, asked: AnswerType | None) -> str:
        language, chance = self._language, self._chance
        if chance.random() < self.silent / 2:
            return ""
        for often, pool in ((self.volunteers, VOLUNTEERED), (self.rambles, RAMBLING), (self.strays, ASIDE)):
            if asked is not None and chance.random() < often:
                return chance.choice(pool[language])
        match asked:
            case None:
                return chance.choice(self.knows)
            case AnswerType.YES_NO:
                return chance.choice(YES_NO[language])
            case AnswerType.NUMBER:
                return chance.choice(NUMBER[language])
            case AnswerType.DURATION_DAYS:
                return chance.choice(DURATION[language])
            case _:
                return chance.choice(OPEN[language])


async def hold(language: Language, seed: int) -> Call:
    chance = random.Random(f"{language} {seed}")
    dialog = find_dialog(DIALOGS, f"{('wellbeing', 'active-monitoring')[seed % 2]}.{language}")
    person, journal = Person(language, chance), MemoryJournal()
    manager = DialogManager(
        dialog,
        load_red_flags(DIALOGS, language),
        rules_for(language),
        journal,
        recipient_name={EN: "Edna Moss", KO: "김순자"}[language],
        today=TODAY,
        follow_ups=recalled(language, chance),
    )
    call = Call(dialog, journal, manager.report())
    turn = manager.open()
    for now in range(MOST_TURNS):
        await speak(call, manager, turn, float(now), cut=chance.random() < person.interrupts / 2)
        if manager.ended or chance.random() < person.leaves:
            break
        text = person.reply(None if manager.asking is None else manager.asking.type)
        at = now + 0.5
        turn = manager.reply(text, started_s=at, ended_s=at) if text else manager.silence(at_s=at)
    call.report = manager.report()
    return call


def recalled(language: Language, chance: random.Random) -> tuple[FollowUp, ...]:
    week_ago = TODAY - datetime.timedelta(days=7)
    known = chance.sample(MEMORIES[language], chance.randrange(3))
    return follow_ups([Memory(text, text, topic, week_ago, 1) for text, topic in known], TODAY, language)


async def speak(call: Call, manager: DialogManager, turn: AsyncIterator[Sentence], now: float, *, cut: bool) -> None:
    """Lets the turn be heard; of one that is cut off the last sentence goes out by half."""
    said = [sentence.text async for sentence in turn]
    if not said:
        return
    heard = [*said[:-1], said[-1][: len(said[-1]) // 2]] if cut else said
    call.sentences += [(text, not cut or place < len(said) - 1) for place, text in enumerate(said)]
    await manager.spoken(" ".join(heard), started_s=now, ended_s=now + 0.4, interrupted=cut)


@pytest.mark.parametrize("language", [EN, KO])
async def test_what_holds_of_every_call(language: Language) -> None:
    ends: Counter[Outcome] = Counter()
    for seed in range(CALLS):
        call = await hold(language, seed)
        ends[call.report.outcome] += 1
        name = f"{call.dialog.name} {seed}"
        assert repeated(call) == [], name
        assert most_put(call) <= MOST_PUTS, name
        assert misquoted(call) == [], name
        assert unsupported(call.report.summary, call.journal.turns) == [], name
        if call.report.outcome is Outcome.COMPLETED:
            assert left_out(call) == [], name
    assert ends[Outcome.COMPLETED] >= CALLS / 3, ends
    assert len(ends) >= 3, ends


def repeated(call: Call) -> list[str]:
    """Sentences that were said twice in a row."""
    return [text for (text, whole), (again, _) in pairwise(call.sentences) if whole and text == again]


def most_put(call: Call) -> int:
    """How often the question was put that was put most often; one that was cut off was not."""
    puts = Counter(turn.asked for turn in call.journal.turns if turn.speaker is Speaker.AGENT and not turn.interrupted)
    return max((count for code, count in puts.items() if code), default=0)


def misquoted(call: Call) -> list[str]:
    """Evidence that does not stand in its turn."""
    texts = {turn.index: turn.text for turn in call.journal.turns if turn.speaker is Speaker.RECIPIENT}
    findings = [each for finding in call.report.findings for each in finding.evidence]
    alerts = [each for alert in call.report.alerts for each in alert.evidence]
    return [each.quote for each in (*findings, *alerts) if each.quote not in texts.get(each.turn, "")]


def left_out(call: Call) -> list[str]:
    """Required questions that were neither asked nor answered, though they applied."""
    findings = {finding.code: finding for finding in call.report.findings}
    asked = {turn.asked for turn in call.journal.turns if turn.speaker is Speaker.AGENT}
    return [
        question.code
        for question in call.dialog.agenda
        if question.required
        and (question.when is None or holds(question.when, findings))
        and (
            question.code not in findings
            or findings[question.code].value is Missing.NOT_ASKED
            or (question.code not in asked and not findings[question.code].evidence)
        )
    ]
