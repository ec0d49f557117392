"""The agenda policy: from what was understood to the next acts. Pure: the same state and turn give the same acts.

What it guarantees: every required question whose condition holds is asked or validly answered before the closing line;
an answer that was volunteered is not asked for again; no question is put more than MOST_PUTS times; no word of health
is said before the recipient is known to be the right person; unknown is never no.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from carecall.dialog.acts import Acknowledge, Act, Ask, Confirm, Escalate, Line, Speak, StayOnLine
from carecall.dialog.definition import Dialog, Feeling, Question, RedFlag
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
from carecall.domain.report import Outcome
from carecall.domain.triage import Alert, findings_of, holds

MOST_PUTS = 3  # a required question, its two re-asks included
MOST_PUTS_OPTIONAL = 2
MOST_SILENCES = 2  # gentle prompts before the goodbye
MOST_FAREWELLS = 3  # a goodbye that is talked over is said again
MOST_CUTS = 3  # times a question that was cut off before it was whole does not count as put
ENOUGH_DOUBT = 2  # times that someone says that they do not know
BARE = 3  # words of a reply that holds nothing but a yes or no
SURE = 0.6  # a reading below this confidence is confirmed before it is recorded

_PLAUSIBLE: dict[Unit, tuple[float, float]] = {
    Unit.CELSIUS: (30.0, 45.0),
    Unit.FAHRENHEIT: (86.0, 113.0),
    Unit.HOURS: (0.0, 24.0),
    Unit.MEALS: (0.0, 12.0),
    Unit.SCORE_0_10: (0.0, 10.0),
}
_MOST_DAYS = 3650.0

_ANSWERS_OPEN = {Intent.ANSWER, Intent.SMALL_TALK, Intent.SERVICE_REQUEST, Intent.WANTS_HUMAN, Intent.GOODBYE}
_SIDE_LINES = {
    Intent.MEDICAL_QUESTION: Line.REFUSE_MEDICAL,
    Intent.OUT_OF_SCOPE_QUESTION: Line.REFUSE_OUT_OF_SCOPE,
    Intent.SERVICE_REQUEST: Line.SERVICE_NOTED,
    Intent.WANTS_HUMAN: Line.HUMAN_NOTED,
    Intent.WHO_IS_THIS: Line.WHO_IS_THIS,
}
_NOTED = {
    Intent.MEDICAL_QUESTION,
    Intent.SERVICE_REQUEST,
    Intent.WANTS_HUMAN,
    Intent.CALL_LATER,
    Intent.STOP_CALLING,
}
_ENDINGS = {
    Intent.WRONG_PERSON: (Outcome.WRONG_PERSON, Line.CLOSE_WRONG_PERSON),
    Intent.STOP_CALLING: (Outcome.OPTED_OUT, Line.CLOSE_OPTED_OUT),
    Intent.CALL_LATER: (Outcome.CALL_LATER, Line.CLOSE_LATER),
    Intent.GOODBYE: (Outcome.SAID_GOODBYE, Line.CLOSE_EARLY),
}
_STRANGER_LEAVES = (Outcome.SAID_GOODBYE, Line.CLOSE_LATER)  # whoever it was: no word of what the call is about


class Stage(StrEnum):
    IDENTITY = "identity"  # not yet known whether this is the right person
    AGENDA = "agenda"
    EMERGENCY = "emergency"  # a red flag holds the call, the person is kept on the line
    CLOSING = "closing"  # the goodbye has been decided


@dataclass(frozen=True, slots=True)
class Candidate:
    """An unsure answer that is being confirmed."""

    value: FindingValue
    evidence: Evidence
    layer: Layer


@dataclass(frozen=True, slots=True)
class State:
    """How far the call is. Mappings are never changed in place."""

    stage: Stage = Stage.IDENTITY
    asking: str | None = None  # code of the question that the recipient replies to
    candidate: Candidate | None = None
    puts: Mapping[str, int] = field(default_factory=dict)  # how often each question was put
    cuts: Mapping[str, int] = field(default_factory=dict)  # how often a question was cut off
    introduced: bool = True  # the greeting was heard: who calls, and that it is an AI
    identity_puts: int = 1  # the greeting asks
    findings: Findings = field(default_factory=dict)  # in the order first heard
    unusable: Mapping[str, tuple[Evidence, ...]] = field(default_factory=dict)  # replies that answered nothing
    unsure: Mapping[str, int] = field(default_factory=dict)  # how often someone said that they do not know
    alerts: tuple[Alert, ...] = ()  # red flags raised, in order
    emergency: str | None = None  # the red flag that took over the call
    stayed: int = 0  # how many of its stay_on_line sentences have been said
    unsaid: str | None = None  # a red flag whose text was cut off: it is owed
    notes: tuple[str, ...] = ()
    silences: int = 0  # in a row
    heard: bool = False  # anything at all
    outcome: Outcome | None = None  # None: the closing line is not reached
    farewell: Line = Line.CLOSE
    farewells: int = 0  # how often it was said


@dataclass(frozen=True, slots=True)
class Heard:
    """One recipient turn, understood."""

    turn: int  # index of the turn
    text: str
    understanding: Understanding
    started_s: float | None = None

    def evidence(self, quote: str) -> Evidence:
        """The quote as evidence; the whole turn when the quote does not stand in it."""
        return Evidence(self.turn, quote if quote and quote in self.text else self.text, self.started_s)


@dataclass(frozen=True, slots=True)
class Script:
    """What the policy goes by."""

    dialog: Dialog
    red_flags: Mapping[str, RedFlag]


Decision = tuple[State, tuple[Act, ...]]


def decide(state: State, heard: Heard, script: Script) -> Decision:
    """The next state and acts after one recipient turn."""
    state = replace(state, silences=0, heard=True)
    earlier = state.findings
    state, unsure = _take_in(state, heard, script.dialog)
    if flags := _new_flags(state, heard, script):
        return _escalate(state, heard, flags, script)
    state = _note(state, heard)
    match state.stage:
        case Stage.EMERGENCY:
            return _stay(state, heard.understanding.intent, script)
        case Stage.CLOSING:
            if heard.understanding.intent is Intent.GOODBYE and state.unsaid is None:
                return state, ()
            return _farewell(state)
        case Stage.IDENTITY:
            return _identity(state, heard, script.dialog)
        case Stage.AGENDA:
            return _agenda(state, earlier, heard, unsure, script.dialog)


def silence(state: State, script: Script) -> Decision:
    """The next state and acts when the line has been idle: two gentle prompts, then goodbye."""
    if state.stage is Stage.CLOSING:
        return _farewell(state)
    silences = state.silences + 1
    state = replace(state, silences=silences)
    if silences <= 0:
        return state, (Speak(Line.WAIT),)
    if silences > MOST_SILENCES:
        if state.stage is Stage.EMERGENCY:
            return _end(state, Outcome.EMERGENCY, Line.CLOSE_EMERGENCY)
        return _end(state, Outcome.HUNG_UP if state.heard else Outcome.SILENT, Line.CLOSE_SILENCE)
    prompt = Speak(Line.SILENCE, silences - 1)
    if state.stage is Stage.EMERGENCY:
        state, owed = _owed(state)
        return state, (prompt, *owed)
    if state.stage is Stage.IDENTITY:
        if not state.introduced:
            return _introduce(state, prompt)
        return replace(state, identity_puts=state.identity_puts + 1), (prompt, Speak(Line.IDENTITY_AGAIN))
    question = _open_question(state, script.dialog)
    if question is None or state.puts.get(question.code, 0) >= _limit(question):
        return state, (prompt,)
    state, ask = _put(state, question, again=question.code == state.asking)
    return state, (prompt, ask)


def unheard(state: State, before: State, *, begun: bool) -> State:
    """The state when the question of the last turn did not go out whole: it does not count as put.

    ``before`` is the state before that turn was decided. When the question was not even begun, the recipient still
    replies to what was asked before it.
    """
    code = state.asking
    if code is None or state.stage is not Stage.AGENDA:
        return state
    if state.puts.get(code, 0) > before.puts.get(code, 0) and state.cuts.get(code, 0) < MOST_CUTS:
        state = replace(
            state,
            puts={**state.puts, code: before.puts.get(code, 0)},
            cuts={**state.cuts, code: state.cuts.get(code, 0) + 1},
        )
    return state if begun else replace(state, asking=before.asking, candidate=before.candidate)


def not_introduced(state: State) -> State:
    """The state when the greeting did not go out whole: it is said again before anything else."""
    return replace(state, introduced=False)


def cut_off(state: State, flag: str) -> State:
    """The state when the text of a red flag did not go out whole: it is owed, and comes first in the next turn."""
    return replace(state, unsaid=flag)


def open_items(state: State, dialog: Dialog) -> tuple[Question, ...]:
    """The questions that apply and have no value yet."""
    return tuple(
        question
        for question in dialog.agenda
        if question.code not in state.findings and (question.when is None or holds(question.when, state.findings))
    )


def _open_question(state: State, dialog: Dialog) -> Question | None:
    return next(iter(open_items(state, dialog)), None)


def _limit(question: Question) -> int:
    return MOST_PUTS if question.required else MOST_PUTS_OPTIONAL


# Red flags


def _new_flags(state: State, heard: Heard, script: Script) -> list[RedFlag]:
    raised = {alert.code for alert in state.alerts}
    found = {reading.id for reading in heard.understanding.red_flags} - raised
    flags = [flag for flag in script.red_flags.values() if flag.id in found]
    return sorted(flags, key=lambda flag: flag.urgency.rank)


def _escalate(state: State, heard: Heard, flags: list[RedFlag], script: Script) -> Decision:
    quotes = {reading.id: reading.quote for reading in reversed(heard.understanding.red_flags)}
    alerts = tuple(Alert(flag.id, flag.urgency, flag.title, (heard.evidence(quotes[flag.id]),)) for flag in flags)
    state = replace(state, alerts=(*state.alerts, *alerts), candidate=None)
    first = flags[0]
    escalate = Escalate(first.id, alerts)
    if not first.keep_on_line:
        state, farewell = _end(state, Outcome.EMERGENCY, Line.CLOSE_EMERGENCY)
        return replace(state, emergency=first.id), (escalate, *farewell)
    return replace(state, stage=Stage.EMERGENCY, emergency=first.id, stayed=0, asking=None, outcome=None), (escalate,)


def _owed(state: State) -> Decision:
    if state.unsaid is None:
        return state, ()
    return replace(state, unsaid=None), (Escalate(state.unsaid),)


def _stay(state: State, intent: Intent, script: Script) -> Decision:
    assert state.emergency is not None
    flag = script.red_flags[state.emergency]
    if intent is Intent.REPEAT_REQUEST:
        return replace(state, unsaid=None), (Speak(Line.REPEAT_LEAD), Escalate(flag.id))
    state, acts = _owed(state)
    if acts:
        return state, acts
    if state.stayed >= len(flag.stay_on_line) or intent in _ENDINGS:
        return _end(state, Outcome.EMERGENCY, Line.CLOSE_EMERGENCY)
    stay = StayOnLine(flag.id, state.stayed)
    return replace(state, stayed=state.stayed + 1), (stay,)


# Endings


def _end(state: State, outcome: Outcome, farewell: Line) -> Decision:
    state = replace(
        state,
        stage=Stage.CLOSING,
        outcome=outcome,
        farewell=farewell,
        farewells=0,
        asking=None,
        candidate=None,
        unsaid=None,
    )
    return _farewell(state)


def _farewell(state: State) -> Decision:
    """Says goodbye again, when the goodbye was talked over; an emergency's text comes first when it was cut off."""
    if state.farewells >= MOST_FAREWELLS:
        return state, ()
    state, acts = _owed(state)
    return replace(state, farewells=state.farewells + 1), (*acts, Speak(state.farewell))


def _note(state: State, heard: Heard) -> State:
    if heard.understanding.intent not in _NOTED or heard.text in state.notes:
        return state
    return replace(state, notes=(*state.notes, heard.text))


# Identity


def _identity(state: State, heard: Heard, dialog: Dialog) -> Decision:
    understanding = heard.understanding
    intent = understanding.intent
    if intent is Intent.GOODBYE:
        return _end(state, *_STRANGER_LEAVES)
    if intent in _ENDINGS:
        return _end(state, *_ENDINGS[intent])
    if not state.introduced:
        return _introduce(state)
    denied = intent is Intent.ANSWER and understanding.answer is not None and understanding.answer.value is Ternary.NO
    if denied and state.identity_puts >= 2:
        return _end(state, *_ENDINGS[Intent.WRONG_PERSON])
    if intent is Intent.WAIT_REQUEST:
        return replace(state, silences=-1), (Speak(Line.WAIT),)
    if denied or not heard.text.strip() or intent in {Intent.WHO_IS_THIS, Intent.REPEAT_REQUEST}:
        if state.identity_puts >= MOST_PUTS:
            return _end(state, *_STRANGER_LEAVES)
        state = replace(state, identity_puts=state.identity_puts + 1)
        if intent is Intent.REPEAT_REQUEST:
            return state, (Speak(Line.REPEAT_LEAD), Speak(Line.GREETING))
        return state, (*_side(understanding), Speak(Line.IDENTITY_AGAIN))
    state = replace(state, stage=Stage.AGENDA)
    acts = _side(understanding)
    if not acts and understanding.feeling is Feeling.BAD:
        acts = (Acknowledge(Feeling.BAD),)
    state, following = _proceed(state, dialog)
    return state, (*acts, Speak(Line.BEGIN), *following)


def _introduce(state: State, *first: Act) -> Decision:
    return replace(state, introduced=True), (*first, Speak(Line.GREETING))


def _side(understanding: Understanding) -> tuple[Act, ...]:
    if understanding.intent is Intent.WHO_IS_THIS and understanding.asks_if_robot:
        return (Speak(Line.ARE_YOU_A_ROBOT),)
    line = _SIDE_LINES.get(understanding.intent)
    return () if line is None else (Speak(line),)


# Agenda


def _agenda(state: State, earlier: Findings, heard: Heard, unsure: Candidate | None, dialog: Dialog) -> Decision:
    understanding = heard.understanding
    intent = understanding.intent
    asked = dialog.question(state.asking) if state.asking is not None else None
    settled = asked is None or asked.code in state.findings

    mistaken = intent is Intent.WRONG_PERSON and asked is not None and settled
    if intent in _ENDINGS and not mistaken:
        if intent is Intent.GOODBYE and not any(question.required for question in open_items(state, dialog)):
            return _end(state, Outcome.COMPLETED, Line.CLOSE)
        return _end(state, *_ENDINGS[intent])
    if intent is Intent.WAIT_REQUEST:
        return replace(state, silences=-1, asking=None if settled else state.asking), (Speak(Line.WAIT),)

    side = _side(understanding)
    acts: list[Act] = []
    feeling = _feeling(state, earlier, heard, asked, dialog)
    if feeling is Feeling.BAD:
        acts += [Acknowledge(feeling, state.asking if settled else None), *side]
    elif side:
        acts += side
    elif intent is Intent.SMALL_TALK and not settled:
        acts.append(Speak(Line.SMALL_TALK))
    elif settled or feeling is Feeling.GOOD or understanding.volunteered:
        acts.append(Acknowledge(feeling, state.asking if settled else None))

    if unsure is not None and asked is not None and state.puts.get(asked.code, 0) < _limit(asked):
        puts = {**state.puts, asked.code: state.puts.get(asked.code, 0) + 1}
        return replace(state, candidate=unsure, puts=puts), (*acts, Confirm(asked.code, _words(unsure, asked)))

    repeat = intent is Intent.REPEAT_REQUEST and not settled
    aside = bool(side) or intent is Intent.SMALL_TALK
    state, following = _proceed(state, dialog, again=repeat)
    same = asked is not None and any(isinstance(act, Ask) and act.question == asked.code for act in following)
    if repeat and same:
        acts.append(Speak(Line.REPEAT_LEAD))
    elif aside and same:
        acts.append(Speak(Line.RESUME))
    return state, (*acts, *following)


def _proceed(state: State, dialog: Dialog, *, again: bool = False) -> Decision:
    """Puts the next open question, or closes. A question put as often as allowed is given up first."""
    while (question := _open_question(state, dialog)) is not None:
        if state.puts.get(question.code, 0) < _limit(question):
            state, ask = _put(state, question, again=again and question.code == state.asking)
            return state, (ask,)
        state = _give_up(state, question)
    return _end(state, Outcome.COMPLETED, Line.CLOSE)


def _put(state: State, question: Question, *, again: bool) -> tuple[State, Ask]:
    puts = state.puts.get(question.code, 0)
    wording = min(max(puts - 1, 0) if again else puts, len(question.ask) - 1)
    state = replace(state, asking=question.code, candidate=None, puts={**state.puts, question.code: puts + 1})
    return state, Ask(question.code, wording)


def _give_up(state: State, question: Question) -> State:
    value = Ternary.UNKNOWN if state.unsure.get(question.code) else Missing.NO_ANSWER
    finding = Finding(question.code, value, state.unusable.get(question.code, ()), Layer.POLICY)
    return replace(state, findings={**state.findings, question.code: finding})


def _words(candidate: Candidate, question: Question) -> str:
    for choice in question.choices:
        if choice.id == candidate.value:
            return choice.label
    if isinstance(candidate.value, float):
        return f"{candidate.value:g}"
    return candidate.evidence.quote


def _feeling(state: State, earlier: Findings, heard: Heard, asked: Question | None, dialog: Dialog) -> Feeling:
    """How the turn is to be met. One piece of bad news outweighs all else; no relief while something is amiss."""
    mood = heard.understanding.feeling
    amiss = [rule for rule in dialog.triage if holds(rule.when, state.findings)]
    matters = {code for rule in dialog.triage for code in findings_of(rule.when)}
    value = state.findings[asked.code].value if asked is not None and asked.code in state.findings else None
    bare = len(heard.text.split()) <= BARE and not heard.understanding.volunteered
    if bare and value in (Ternary.YES, Ternary.NO):
        mood = Feeling.NEUTRAL  # what a bare yes or no means is the dialog's to say
    if (
        mood is Feeling.BAD
        or any(not holds(rule.when, earlier) for rule in amiss)
        or any(each.value is Ternary.YES and each.id in matters for each in heard.understanding.volunteered)
        or (asked is not None and isinstance(value, str) and str(value) in asked.bad)
    ):
        return Feeling.BAD
    good = mood is Feeling.GOOD
    if asked is not None and asked.type is AnswerType.YES_NO and asked.bad and value in (Ternary.YES, Ternary.NO):
        good = True
    return Feeling.GOOD if good and not amiss else Feeling.NEUTRAL


# Findings


def _take_in(state: State, heard: Heard, dialog: Dialog) -> tuple[State, Candidate | None]:
    """Records what the turn states; an unsure answer to the open question is handed back to be confirmed."""
    state = _volunteered(state, heard, dialog)
    return (state, None) if state.asking is None else _answer(state, heard, dialog.question(state.asking))


def _answer(state: State, heard: Heard, asked: Question) -> tuple[State, Candidate | None]:
    reading = heard.understanding.answer
    if heard.understanding.intent is Intent.WAIT_REQUEST and reading is None:
        return state, None
    if (candidate := state.candidate) is not None:
        state = replace(state, candidate=None)
        if reading is not None and reading.value is Ternary.YES:
            state = _record(state, asked, candidate.value, candidate.evidence, candidate.layer)
            return _record(state, asked, candidate.value, heard.evidence(reading.quote), candidate.layer), None
        return state, None
    if asked.type is AnswerType.OPEN:
        again = heard.understanding.intent is Intent.UNCLEAR and state.puts.get(asked.code, 0) > 1
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
    if reading.confidence < SURE and stated is None:
        state = _unusable(state, heard, asked)
        return state, Candidate(value, heard.evidence(reading.quote), reading.layer)
    return _record(state, asked, value, heard.evidence(reading.quote), reading.layer), None


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
    return _give_up(state, asked) if state.unsure[asked.code] >= ENOUGH_DOUBT else state


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
