"""The English reader: one reply, everything that it means."""

import datetime
import re
from functools import cached_property

from carecall.dialog.definition import Feeling
from carecall.dialog.red_flags import load_red_flag_phrases
from carecall.dialog.understanding.english.choices import Choices
from carecall.dialog.understanding.english.dangers import Dangers
from carecall.dialog.understanding.english.durations import read_duration
from carecall.dialog.understanding.english.intents import Intents
from carecall.dialog.understanding.english.numbers import read_number
from carecall.dialog.understanding.english.spoken import Spoken
from carecall.dialog.understanding.english.statements import Statement, Statements, When, latest
from carecall.dialog.understanding.english.yes_no import YesNo
from carecall.dialog.understanding.lexicon import FindingKind, Lexicon, load_lexicon
from carecall.dialog.understanding.meaning import AnswerReading, Asked, FindingReading, Intent, Understanding
from carecall.domain.finding import AnswerType, Ternary, Unit
from carecall.domain.language import Language
from carecall.settings import settings

_REPORTED = frozenset(
    [
        "fever",
        "cough",
        "sore_throat",
        "dyspnea",
        "chest_pain",
        "headache",
        "fatigue",
        "myalgia",
        "anosmia",
        "nausea",
        "diarrhea",
        "rhinorrhea",
        "chills",
        "dizziness",
        "poor_appetite",
        "poor_sleep",
        "fall",
        "pain",
        "low_mood",
        "loneliness",
        "medication_missed",
    ]
)
_NOT_ANSWERING = frozenset(Intent) - {Intent.ANSWER, Intent.UNCLEAR, Intent.SMALL_TALK, Intent.GOODBYE}
_CHATTY = frozenset({Intent.SMALL_TALK, Intent.OUT_OF_SCOPE_QUESTION})  # a reply that answers is no mere talk
_THERMOMETER = re.compile(r"\b(?:temperature|thermometer|fever|feverish|degrees|celsius|fahrenheit)\b")
_FEVER = 37.8  # °C; 100 °F
_COLDEST = 35.0  # °C; below it the number is no body temperature
_LONG = 1200  # characters, more than a minute of speech: what is read for more than signs of danger
_DENIES = re.compile(r"\b(?:no|not|nothing|never|none|nowhere|without|hardly any)(?: (?:any|a|of it|really|much))? $")
_DENIAL = 24  # characters: how far back a denial may begin
_CARE = frozenset({"ate", "took_medicine", "enough_food", "warm_home"})  # acts whose lack is bad news


class EnglishRules:
    """Reads English replies. Pure; safe for any text."""

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        directory = settings().dialogs_dir
        self._lexicon = lexicon or load_lexicon(directory, Language.ENGLISH)
        self._flags = load_red_flag_phrases(directory, Language.ENGLISH)

    @cached_property
    def _statements(self) -> Statements:
        return Statements(self._lexicon)

    @cached_property
    def _yes_no(self) -> YesNo:
        return YesNo(self._lexicon)

    @cached_property
    def _choices(self) -> Choices:
        return Choices(self._lexicon)

    @cached_property
    def _dangers(self) -> Dangers:
        return Dangers(self._lexicon, self._flags)

    @cached_property
    def _intents(self) -> Intents:
        return Intents(self._lexicon)

    def read(self, reply: str, asked: Asked, today: datetime.date) -> Understanding:
        """What the reply means. ``today`` is the day of the call."""
        whole, ask = Spoken.of(reply), Spoken.of(asked.text)
        spoken = whole if len(reply) <= _LONG else Spoken.of(reply, _LONG)
        if not spoken.text:
            return Understanding(Intent.UNCLEAR)
        about = self._yes_no.about(asked, ask)
        statements = self._statements.read(spoken, about, ask.text.startswith("how "))
        statements += self._temperature(spoken, about)
        flags = self._dangers.read(whole)
        act = self._intents.acts(spoken, ask)
        answer = self._answer(spoken, ask, asked, about, statements, act in _NOT_ANSWERING, today)
        if (
            act in _CHATTY
            and answer is not None
            and answer.value not in (None, Ternary.UNKNOWN)
            and not spoken.question
        ):
            act = Intent.ANSWER
        intent = act or self._intents.otherwise(spoken, ask, answer is not None, bool(statements))
        return Understanding(
            intent=intent,
            answer=answer,
            volunteered=self._volunteered(spoken, statements),
            red_flags=flags,
            feeling=Feeling.BAD if flags else self._feeling(spoken, about, statements, answer),
            asks_if_robot=intent is Intent.WHO_IS_THIS and self._intents.asks_if_robot(spoken),
        )

    def _answer(
        self,
        spoken: Spoken,
        ask: Spoken,
        asked: Asked,
        about: tuple[str, ...],
        statements: tuple[Statement, ...],
        evasive: bool,
        today: datetime.date,
    ) -> AnswerReading | None:
        match asked.type:
            case AnswerType.YES_NO:
                concerned = {*about, *(self._lexicon.findings[name].opposite for name in about)}
                if not evasive and not any(each.id in concerned for each in statements):
                    statements += self._statements.completed(spoken, about)
                return self._yes_no.read(spoken, ask, about, statements, evasive)
            case AnswerType.NUMBER:
                number = read_number(spoken, asked.unit)
                if number is None:
                    return None
                return AnswerReading(round(number.value, 2), spoken.quote(number.start, number.end), 0.95)
            case AnswerType.DURATION_DAYS:
                duration = read_duration(spoken, today)
                if duration is None:
                    return None
                return AnswerReading(float(duration.days), spoken.quote(duration.start, duration.end), 0.92)
            case AnswerType.CHOICE:
                chosen = self._choices.read(spoken, asked.choices)
                if chosen is None:
                    return None
                return AnswerReading(chosen.id, spoken.quote(chosen.start, chosen.end), 0.9)
            case AnswerType.OPEN:
                return None

    def _temperature(self, spoken: Spoken, about: tuple[str, ...]) -> tuple[Statement, ...]:
        """A body temperature said in numbers is a fever or none."""
        if "fever" not in about and not _THERMOMETER.search(spoken.text):
            return ()
        number = read_number(spoken, Unit.CELSIUS)
        if number is None or number.value < _COLDEST:
            return ()
        value = Ternary.YES if number.value >= _FEVER else Ternary.NO
        return (Statement("fever", value, number.start, number.end),)

    def _volunteered(self, spoken: Spoken, statements: tuple[Statement, ...]) -> tuple[FindingReading, ...]:
        return tuple(
            FindingReading(each.id, each.value, spoken.quote(each.start, each.end))
            for each in latest(statements).values()
            if each.id in _REPORTED and each.when is not When.FAR
        )

    def _feeling(
        self, spoken: Spoken, about: tuple[str, ...], statements: tuple[Statement, ...], answer: AnswerReading | None
    ) -> Feeling:
        good = False
        for each in latest(statements).values():
            kind = self._lexicon.findings[each.id].kind
            if each.when is When.FAR or (
                each.id not in about and spoken.text[each.start : each.end].strip() == "nothing"
            ):
                continue
            welcome = kind in (FindingKind.STATE, FindingKind.ACT)
            if (each.value is Ternary.YES) is welcome:
                good = True
            elif not welcome or kind is FindingKind.STATE or each.id in _CARE:
                return Feeling.BAD
        if answer is not None and about and answer.value in (Ternary.YES, Ternary.NO):
            kinds = {self._lexicon.findings[name].kind for name in about}
            unwelcome = bool(kinds & {FindingKind.SYMPTOM, FindingKind.EVENT})
            if unwelcome:
                if answer.value is Ternary.YES:
                    return Feeling.BAD
                good = True
            elif answer.value is Ternary.YES:
                good = True
            elif FindingKind.STATE in kinds or _CARE & set(about):
                return Feeling.BAD
        text = spoken.text
        if self._sorrow(text) or (
            self._lexicon.phrases("bad").search(text) and not self._lexicon.phrases("negations").search(text)
        ):
            return Feeling.BAD
        if answer is not None and isinstance(answer.value, str) and answer.value in ("worse", "bad", "severe"):
            return Feeling.BAD
        return Feeling.GOOD if good or self._lexicon.phrases("joy").search(text) else Feeling.NEUTRAL

    def _sorrow(self, text: str) -> bool:
        """Whether some word of sorrow stands that is not denied: "nothing hurts"."""
        return any(
            not _DENIES.search(text, max(match.start() - _DENIAL, 0), match.start())
            for match in self._lexicon.phrases("sorrow").finditer(text)
        )
