"""Reads a Korean reply: the answer to what was asked, volunteered findings, red flags, intent, feeling."""

import datetime
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kiwipiepy import Token

from carecall.dialog.definition import Feeling
from carecall.dialog.red_flags import load_red_flag_phrases
from carecall.dialog.understanding.korean.choices import choice_in
from carecall.dialog.understanding.korean.clauses import LONGEST, Clause, analyse, clauses_of, plain
from carecall.dialog.understanding.korean.durations import days_in
from carecall.dialog.understanding.korean.findings import HAPPENED, WELCOME, Statement, own_feeling, settled, statements
from carecall.dialog.understanding.korean.intents import intent_of, named_intent, replies_to
from carecall.dialog.understanding.korean.numbers import number_in, temperatures
from carecall.dialog.understanding.korean.polarity import FEVER_FROM_C, Ask, ask_of, yes_or_no
from carecall.dialog.understanding.korean.red_flags import red_flags_beyond, red_flags_in
from carecall.dialog.understanding.korean.standard import standard
from carecall.dialog.understanding.lexicon import load_lexicon
from carecall.dialog.understanding.meaning import (
    AnswerReading,
    Asked,
    FindingReading,
    Intent,
    RedFlagReading,
    Understanding,
)
from carecall.domain.finding import AnswerType, Ternary, Unit
from carecall.domain.language import Language
from carecall.morphology import ANALYSING, analyser
from carecall.settings import settings

_GOOD_NEWS = re.compile(
    r"좋[아은네습]|괜찮|건강|행복|즐[겁거]|신나|최고|멀쩡|말짱|팔팔|거뜬|개운|살 ?만|나았|나아졌|웃|"
    r"기[쁘뻐]|재[미밌](?!.{0,3}없)|편[안해하]|맛있|잘 ?(?:먹|잤|자|지내|있)"
)
_BAD_NEWS = re.compile(
    r"아[프파픈픔팠플픕]|아퍼|힘[들드]|슬[프퍼]|죽었|돌아가[셨시]|수술|입원|다[쳤치쳐친]|못 ?(?:걷|"
    r"일어|움직|먹|자|잤)|거동|괴[롭로]|속상|걱정|무서|불안|눈물|외[롭로]|서러|죽겠|부러|불편|답답|"
    r"안 ?좋|나빠|심해|굶|고생|사고|장례|상[을]? ?당|떠났|보냈"
)
_ABOUT_MEDICINE = re.compile(r"(?<![가-힣])약(?!속|간|국|수|초|혼|과)|[혈감당알]{1}[가-힣]{0,2}약|인슐린|복용|주사기")
_TAKEN_FOR = re.compile(
    r"(?:아파|아프|심해|나서|나[고니]|쑤셔|걸려|때문에|땜에|감기|몸살|두통)[가-힣 ]{0,6}"
    r"\s(?:진통제|해열제|감기약|약)[을를]?\s?(?:한 ?알 )?(?:먹|지어|사)|약[을]? ?먹고 ?나[서니]"
)
_GOES_ON = re.compile(
    r"(?:더|계속|자꾸|여전히|아직도?|심하게|밤에|아침에|조금씩?|가끔|"
    r"많이)\s?[가-힣]{0,3}\s?(?:나[와요고네는와온옵]|하[네고는]|해[요]?|심해|그래|아[프파]|더해)|똑같|"
    r"그대로|여전|심해[졌지]|더해[요졌]?|더 ?심"
)
_NO_LONGER = re.compile(r"(?:이제|인제|인자|이젠|지금은|오늘은|요새는|요즘은)[가-힣 ]{0,5}(?:안|없|읎|괜찮|멀쩡|말짱)")
_EVASIVE = frozenset({
    Intent.REPEAT_REQUEST, Intent.WAIT_REQUEST, Intent.CALL_LATER, Intent.WRONG_PERSON, Intent.STOP_CALLING,
    Intent.WHO_IS_THIS, Intent.WANTS_HUMAN,
    Intent.OUT_OF_SCOPE_QUESTION, Intent.MEDICAL_QUESTION, Intent.SERVICE_REQUEST,
})  # fmt: skip
_FEW_FINDINGS = 3  # a question about more names none that an elliptic answer could mean
_LITTLE_SLEEP_H = 4
_MUCH_PAIN = 4  # of 10
_BAD_CHOICES = frozenset({"worse", "bad", "severe"})
_GOOD_CHOICES = frozenset({"better", "good", "none"})


class KoreanRules:
    """Reads Korean replies by rules. Holds the analyser, which takes a second or two to load.

    ``dialogs_dir`` holds lexicon.ko.yaml and red-flags.ko.yaml. Safe to call from several threads; never raises for a
    text.
    """

    def __init__(self, dialogs_dir: Path | None = None) -> None:
        folder = dialogs_dir if dialogs_dir is not None else _dialogs_dir()
        self._lexicon = load_lexicon(folder, Language.KOREAN)
        self._flags = load_red_flag_phrases(folder, Language.KOREAN)
        self._kiwi = analyser()
        self._lock = ANALYSING
        self._asks: dict[Asked, Ask] = {}
        self._tokens("네, 잘 들립니다.")

    def _tokens(self, text: str) -> list[Token]:
        with self._lock:
            return analyse(self._kiwi, text)

    def _ask(self, asked: Asked) -> Ask:
        ask = self._asks.get(asked)
        if ask is None:
            ask = ask_of(asked, self._tokens(plain(asked.text)[:LONGEST]), self._lexicon)
            if len(self._asks) < 1000:
                self._asks[asked] = ask
        return ask

    def read(self, reply: str, asked: Asked, today: datetime.date) -> Understanding:
        """What the reply means. ``today`` is the day of the call where the recipient is."""
        text = plain(unicodedata.normalize("NFC", reply))
        spoken = standard(text)
        understood = self._read(spoken[:LONGEST], self._ask(asked), asked, today)
        if len(spoken) > LONGEST:
            known = frozenset(each.id for each in understood.red_flags)
            beyond = red_flags_beyond(spoken, known, self._flags, self._lexicon)
            if beyond:
                understood = replace(understood, red_flags=understood.red_flags + beyond, feeling=Feeling.BAD)
        return understood if spoken == reply else _quoted_from(reply, text, spoken, understood)

    def _read(self, text: str, ask: Ask, asked: Asked, today: datetime.date) -> Understanding:
        tokens = self._tokens(text)
        clauses = clauses_of(text, tokens, self._lexicon)
        stated = self._statements(text, ask, asked, clauses)
        red_flags = red_flags_in(text, clauses, self._flags, self._lexicon)
        named = named_intent(text, asked.text, self._lexicon)
        evasive = named is not None and named[0] in _EVASIVE
        answer = self._answer(text, ask, asked, clauses, stated, tokens, today, evasive=evasive)
        volunteered = _volunteered(text, [each for each in stated if self._reported(each)])
        if not any(each.id == "chest_pain" for each in red_flags) and self._flags["chest_pain"].unless.search(text):
            volunteered = tuple(
                each for each in volunteered if each.id != "chest_pain" or each.value is not Ternary.YES
            )
        bearing = answer
        if asked.type is AnswerType.OPEN:
            bearing = yes_or_no(text, ask, clauses, stated, tokens, self._lexicon, evasive=evasive)
        answers = bearing is not None and bearing.value not in (None, Ternary.UNKNOWN)
        unsure = any(each.unsure for each in clauses)
        intent = intent_of(
            text,
            asked.text,
            tokens,
            self._lexicon,
            answers=answers or unsure,
            on_topic=bool(volunteered or red_flags),
            replies=replies_to(asked.text, ask.words, tokens),
        )
        return Understanding(
            intent=intent,
            answer=answer,
            volunteered=volunteered,
            red_flags=red_flags,
            feeling=_feeling(text, ask, asked, answer, clauses, volunteered, red_flags),
            asks_if_robot=intent is Intent.WHO_IS_THIS and self._lexicon.phrases("robot").search(text) is not None,
        )

    def _none_to_take(self, text: str) -> bool:
        return self._lexicon.phrases("no_medicine").search(text) is not None

    def _reported(self, each: Statement) -> bool:
        return self._lexicon.findings[each.id].kind not in WELCOME

    def _statements(self, text: str, ask: Ask, asked: Asked, clauses: tuple[Clause, ...]) -> list[Statement]:
        usable = frozenset(
            name
            for name, phrases in self._lexicon.findings.items()
            if name in ask.findings or phrases.kind not in WELCOME
        )
        spoken_of = "medication_missed" in ask.findings or _ABOUT_MEDICINE.search(text) is not None
        if not spoken_of or _TAKEN_FOR.search(text) or self._none_to_take(text):
            usable -= {"medication_missed"}
        also = {
            name: (self._lexicon.phrases(f"asked_{name}"), self._lexicon.phrases(f"asked_no_{name}"))
            for name in ask.findings
            if (not ask.negative if name == "pain" else len(ask.findings) <= _FEW_FINDINGS)
        }
        lately = frozenset(ask.findings if ask.lately else ())
        found = statements(self._lexicon.findings, text, clauses, usable=usable, also=also, lately=lately)
        if len(ask.findings) == 1 and clauses and not any(each.clause is clauses[0] for each in found):
            first = clauses[0]
            event = self._lexicon.findings[ask.findings[0]].kind in HAPPENED
            start = first.start + len(first.text) - len(first.text.lstrip())
            if ask.of_trouble and not first.negations and not first.over and _GOES_ON.search(first.text):
                found.insert(0, Statement(ask.findings[0], Ternary.YES, (start, first.end), first))
            elif (_NO_LONGER.search(first.text) or (first.over and not event)) and not first.other:
                found.insert(0, Statement(ask.findings[0], Ternary.NO, (start, first.end), first))
        return found

    def _answer(
        self,
        text: str,
        ask: Ask,
        asked: Asked,
        clauses: tuple[Clause, ...],
        stated: list[Statement],
        tokens: list[Token],
        today: datetime.date,
        *,
        evasive: bool,
    ) -> AnswerReading | None:
        match asked.type:
            case AnswerType.YES_NO:
                return yes_or_no(text, ask, clauses, stated, tokens, self._lexicon, evasive=evasive)
            case AnswerType.NUMBER if asked.unit is not None:
                number = number_in(text, asked.unit)
                return None if number is None else AnswerReading(number[0], text[number[1] : number[2]].strip(), 0.95)
            case AnswerType.DURATION_DAYS:
                days = days_in(text, today)
                return None if days is None else AnswerReading(float(days[0]), text[days[1] : days[2]].strip(), 0.93)
            case AnswerType.CHOICE:
                choice = choice_in(text, asked.choices, clauses, self._lexicon)
                return None if choice is None else AnswerReading(choice[0], text[choice[1] : choice[2]].strip(), 0.88)
            case _:
                return None


def _dialogs_dir() -> Path:
    return settings().dialogs_dir


def _volunteered(text: str, stated: list[Statement]) -> tuple[FindingReading, ...]:
    """The findings that the reply's own words state of the recipient, the latest word on each."""
    mine = [each for each in stated if (not each.clause.other or own_feeling(each, text)) and not each.clause.asking]
    latest: dict[str, Statement] = {}
    for name in dict.fromkeys(each.id for each in mine):
        verdict = settled([each for each in mine if each.id == name])
        if verdict is not None and not verdict.weak:
            latest[name] = verdict
    pain = latest.get("pain")
    if pain is not None:
        for name in ("headache", "sore_throat", "chest_pain", "myalgia"):
            near = latest.get(name)
            if near is not None and near.span[0] < pain.span[1] and pain.span[0] < near.span[1]:
                latest.pop("pain", None)
    if "fever" not in latest and (degrees := [each for each in temperatures(text) if each[0] < 60]):
        value, start, end = degrees[-1]
        if value >= FEVER_FROM_C:
            return (
                *(_reading(text, each) for each in latest.values()),
                FindingReading("fever", Ternary.YES, text[start:end].strip()),
            )
    return tuple(_reading(text, each) for each in latest.values())


def _reading(text: str, each: Statement) -> FindingReading:
    return FindingReading(each.id, each.value, text[each.span[0] : each.span[1]].strip())


def _feeling(
    text: str,
    ask: Ask,
    asked: Asked,
    answer: AnswerReading | None,
    clauses: Sequence[Clause],
    volunteered: tuple[FindingReading, ...],
    red_flags: tuple[RedFlagReading, ...],
) -> Feeling:
    """How the reply is to be met: anything symptomatic or sad is bad, whatever else is said."""
    if red_flags or any(each.value is Ternary.YES for each in volunteered):
        return Feeling.BAD
    value = None if answer is None else answer.value
    if _sad(text, clauses) or (isinstance(value, float) and _worrying(value, asked.unit)):
        return Feeling.BAD
    if isinstance(value, Ternary) and value is not Ternary.UNKNOWN:
        bad = Ternary.YES if ask.of_trouble else Ternary.NO
        if ask.findings and value is bad:
            return Feeling.BAD
        return Feeling.GOOD if ask.findings else Feeling.NEUTRAL
    if value in _BAD_CHOICES:
        return Feeling.BAD
    if value in _GOOD_CHOICES or volunteered or _GOOD_NEWS.search(text):
        return Feeling.GOOD
    return Feeling.NEUTRAL


def _sad(text: str, clauses: Sequence[Clause]) -> bool:
    """Whether a clause tells of something bad that is neither denied nor over."""
    return any(
        _BAD_NEWS.search(text, *each.span) is not None
        for each in clauses
        if not (each.negations or each.over or each.fine or each.supposed)
    )


def _worrying(value: float, unit: Unit | None) -> bool:
    match unit:
        case Unit.CELSIUS:
            return value >= FEVER_FROM_C
        case Unit.FAHRENHEIT:
            return value >= FEVER_FROM_C * 9 / 5 + 32
        case Unit.HOURS:
            return value <= _LITTLE_SLEEP_H
        case Unit.MEALS:
            return value <= 1
        case Unit.SCORE_0_10:
            return value >= _MUCH_PAIN
        case _:
            return False


def _quoted_from(reply: str, text: str, spoken: str, understood: Understanding) -> Understanding:
    """The same understanding with every quote as it stands in the reply, of which ``spoken`` is the standard form."""

    def quote(words: str) -> str:
        at = spoken.find(words)
        said = text[at : at + len(words)]
        return said if said in reply else reply.strip()

    answer = understood.answer
    return replace(
        understood,
        answer=None if answer is None else replace(answer, quote=quote(answer.quote)),
        volunteered=tuple(replace(each, quote=quote(each.quote)) for each in understood.volunteered),
        red_flags=tuple(replace(each, quote=quote(each.quote)) for each in understood.red_flags),
    )
