"""What a turn adds to the findings: the answer to the open question, and everything stated unasked."""

from dataclasses import replace

from carecall.dialog.definition import Dialog, Question
from carecall.dialog.state import Candidate, Heard, State
from carecall.dialog.understanding.meaning import AnswerReading, FindingReading, Intent, Understanding
from carecall.domain.finding import (
    AnswerType,
    Evidence,
    Finding,
    Findings,
    FindingValue,
    Layer,
    Missing,
    Ternary,
    Unit,
)

ENOUGH_DOUBT = 2  # times that someone says that they do not know
_BARE = frozenset(
    ["yes", "yeah", "yep", "no", "nope", "well", "네", "예", "응", "어", "아니", "아니요", "아니오", "아뇨"]
)
_STORY = 8  # words
SURE = 0.6  # a reading below this confidence is confirmed before it is recorded

_PLAUSIBLE: dict[Unit, tuple[float, float]] = {
    Unit.CELSIUS: (30.0, 45.0),
    Unit.FAHRENHEIT: (86.0, 113.0),
    Unit.HOURS: (0.0, 24.0),
    Unit.MEALS: (0.0, 12.0),
    Unit.SCORE_0_10: (0.0, 10.0),
}
_MOST_DAYS = 3650.0

_MAY_ANSWER = {Intent.ANSWER, Intent.SMALL_TALK, Intent.UNCLEAR}
_ANSWERS_OPEN = {Intent.ANSWER, Intent.SMALL_TALK, Intent.SERVICE_REQUEST, Intent.WANTS_HUMAN, Intent.GOODBYE}


def is_doubtful(understanding: Understanding, asked: AnswerType) -> bool:
    """Whether the rules left open what a reply says to the question, though it may say something."""
    if asked is AnswerType.OPEN or understanding.red_flags:
        return False
    answer = understanding.answer
    found = answer is not None and (answer.value not in (None, Ternary.UNKNOWN) or bool(answer.quote))
    sure = answer is not None and found and answer.confidence >= SURE
    return not sure and understanding.intent in _MAY_ANSWER


def take_in(state: State, heard: Heard, dialog: Dialog) -> tuple[State, Candidate | None]:
    """Records what the turn states; an unsure answer to the open question is handed back to be confirmed."""
    state = _further(_volunteered(state, heard, dialog), heard, dialog)
    if state.asking is None or heard.wants_forgotten:
        return state, None
    return _answer(state, heard, dialog.question(state.asking))


def _further(state: State, heard: Heard, dialog: Dialog) -> State:
    """Records numbers that were given before their question was put."""
    for code, reading in heard.further:
        question = dialog.question(code)
        value = _value(reading, question)
        if value is not None and reading.confidence >= SURE:
            state = _record(state, question, value, heard.evidence(reading.quote), reading.layer)
    return state


def _answer(state: State, heard: Heard, asked: Question) -> tuple[State, Candidate | None]:
    reading = heard.understanding.answer
    if heard.understanding.intent is Intent.WAIT_REQUEST and reading is None:
        return state, None
    if (candidate := state.candidate) is not None:
        state = replace(state, candidate=None)
        if _stated(state, heard, asked):
            return state, None
        if reading is not None and reading.value is Ternary.YES:
            state = _record(state, asked, candidate.value, candidate.evidence, candidate.layer)
            return _record(state, asked, candidate.value, heard.evidence(reading.quote), candidate.layer), None
        return state, None
    if asked.type is AnswerType.OPEN:
        again = heard.understanding.intent is Intent.UNCLEAR and (asked.remembered or state.puts.get(asked.code, 0) > 1)
        if heard.text.strip() and (again or heard.understanding.intent in _ANSWERS_OPEN):
            return _record(state, asked, heard.text.strip(), heard.evidence(""), Layer.RULES), None
        return _unusable(state, heard, asked), None
    value = _value(reading, asked)
    if reading is None or value is None:
        if _stated(state, heard, asked):
            return state, None
        return _doubted(_unusable(state, heard, asked), heard, asked), None
    stated = _implied(asked, heard.understanding.volunteered, {})
    if stated is not None and stated[0] is not value and str(stated[0]) in asked.bad:
        return state, None
    if stated is None and (reading.confidence < SURE or _lost_in_talk(reading, heard)):
        state = _unusable(state, heard, asked)
        return state, Candidate(value, heard.evidence(reading.quote), reading.layer)
    return _record(state, asked, value, heard.evidence(reading.quote), reading.layer), None


def _lost_in_talk(reading: AnswerReading, heard: Heard) -> bool:
    """Whether a long story holds no more of an answer than its "well, no": that may open any story."""
    return reading.quote.strip(" .,!?").casefold() in _BARE and len(heard.text.split()) >= _STORY


def _stated(state: State, heard: Heard, asked: Question) -> bool:
    """Whether this very turn settled the question in its own words."""
    finding = state.findings.get(asked.code)
    return finding is not None and any(evidence.turn == heard.turn for evidence in finding.evidence)


def _unusable(state: State, heard: Heard, asked: Question) -> State:
    known = state.unusable.get(asked.code, ())
    return replace(state, unusable={**state.unusable, asked.code: (*known, heard.evidence(""))})


def _doubted(state: State, heard: Heard, asked: Question) -> State:
    """Who says twice that they do not know is not asked a third time: unknown is an answer."""
    reading = heard.understanding.answer
    if heard.understanding.intent is not Intent.ANSWER or reading is None:
        return state
    if reading.value is not Ternary.UNKNOWN or not reading.quote:
        return state
    state = replace(state, unsure={**state.unsure, asked.code: state.unsure.get(asked.code, 0) + 1})
    return give_up(state, asked) if state.unsure[asked.code] >= ENOUGH_DOUBT else state


def _value(reading: AnswerReading | None, asked: Question) -> FindingValue | None:
    """The reading's value when it is a possible answer to the question, in the question's unit."""
    if reading is None:
        return None
    value = reading.value
    match asked.type:
        case AnswerType.YES_NO:
            return Ternary(value) if value in (Ternary.YES, Ternary.NO) else None
        case AnswerType.CHOICE:
            return next((choice.id for choice in asked.choices if choice.id == value), None)
        case AnswerType.NUMBER:
            return _number(value, asked.unit)
        case AnswerType.DURATION_DAYS:
            return float(value) if isinstance(value, int | float) and 0 <= value <= _MOST_DAYS else None
        case AnswerType.OPEN:
            return None


def _number(value: Ternary | float | str | None, unit: Unit | None) -> float | None:
    if not isinstance(value, int | float):
        return None
    if unit is None:
        return float(value)
    if unit is Unit.CELSIUS and _within(value, Unit.FAHRENHEIT):
        value = (value - 32) / 1.8
    elif unit is Unit.FAHRENHEIT and _within(value, Unit.CELSIUS):
        value = value * 1.8 + 32
    return round(float(value), 1) if _within(value, unit) else None


def _within(value: float, unit: Unit) -> bool:
    low, high = _PLAUSIBLE[unit]
    return low <= value <= high


def _volunteered(state: State, heard: Heard, dialog: Dialog) -> State:
    """Takes in everything that the turn states, asked or not."""
    readings = heard.understanding.volunteered
    codes = {question.code for question in dialog.agenda}
    for reading in readings:
        if reading.id not in codes:
            state = _store(state, reading.id, reading.value, heard.evidence(reading.quote), reading.layer, None)
    for question in dialog.agenda:
        if (implied := _implied(question, readings, state.findings)) is not None:
            value, reading = implied
            state = _record(state, question, value, heard.evidence(reading.quote), reading.layer)
    return state


def _implied(
    question: Question, readings: tuple[FindingReading, ...], findings: Findings
) -> tuple[Ternary, FindingReading] | None:
    """What the readings say to the question. A no needs every finding that the question is about to be denied."""
    if question.type is not AnswerType.YES_NO:
        return None
    about = question.about or (question.code,)
    of = {reading.id: reading for reading in readings}
    for code, against in [*((code, False) for code in about), *((code, True) for code in question.opposite)]:
        reading = of.get(code)
        if reading is not None and (reading.value is Ternary.YES) is not against:
            return Ternary.YES, reading
    for code in question.opposite:
        if code in of and of[code].value is Ternary.YES:
            return Ternary.NO, of[code]
    denied = [code for code in about if code in of and of[code].value is Ternary.NO]
    known = [code for code in about if code in findings and findings[code].value == Ternary.NO]
    if denied and set(about) <= {*denied, *known}:
        return Ternary.NO, of[denied[0]]
    return None


def _record(state: State, question: Question, value: FindingValue, evidence: Evidence, layer: Layer) -> State:
    unit = question.unit if isinstance(value, float) else None
    return _store(state, question.code, value, evidence, layer, unit)


def _store(state: State, code: str, value: FindingValue, evidence: Evidence, layer: Layer, unit: Unit | None) -> State:
    """The latest statement wins; the words of the earlier ones stay beside it."""
    earlier = state.findings.get(code)
    kept = () if earlier is None else tuple(each for each in earlier.evidence if each.turn != evidence.turn)
    finding = Finding(code, value, (*kept, evidence), layer, unit)
    return replace(state, findings={**state.findings, code: finding})


def give_up(state: State, question: Question) -> State:
    value = Ternary.UNKNOWN if state.unsure.get(question.code) else Missing.NO_ANSWER
    finding = Finding(question.code, value, state.unusable.get(question.code, ()), Layer.POLICY)
    return replace(state, findings={**state.findings, question.code: finding})
