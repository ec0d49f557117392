"""The agenda policy: from what was understood to the next acts. Pure: the same state and turn give the same acts.

What it guarantees: every required question whose condition holds is asked or validly answered before the closing line;
an answer that was volunteered is not asked for again; no question is put more than MOST_PUTS times; no word of health
is said before the recipient is known to be the right person; unknown is never no.
"""

from dataclasses import replace

from carecall.dialog.acts import Acknowledge, Act, Ask, Confirm, Escalate, Line, Speak, StayOnLine
from carecall.dialog.definition import Dialog, Feeling, Question, RedFlag
from carecall.dialog.intake import give_up, take_in
from carecall.dialog.state import Candidate, Heard, Script, Stage, State
from carecall.dialog.understanding.meaning import Intent
from carecall.domain.finding import AnswerType, Findings, Ternary
from carecall.domain.report import Outcome
from carecall.domain.triage import Alert, findings_of, holds

MOST_PUTS = 3  # a required question, its two re-asks included
MOST_PUTS_OPTIONAL = 2
MOST_SILENCES = 2  # gentle prompts before the goodbye
MOST_FAREWELLS = 3  # a goodbye that is talked over is said again
MOST_CUTS = 3  # times a question that was cut off before it was whole does not count as put
BARE = 3  # words of a reply that holds nothing but a yes or no

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

# What anybody may say who picks up, and who need not be the recipient.
_TELLS_NOBODY = {
    Intent.ANSWER,
    Intent.SMALL_TALK,
    Intent.UNCLEAR,
    Intent.WHO_IS_THIS,
    Intent.REPEAT_REQUEST,
    Intent.OUT_OF_SCOPE_QUESTION,
}

Decision = tuple[State, tuple[Act, ...]]


def decide(state: State, heard: Heard, script: Script) -> Decision:
    """The next state and acts after one recipient turn."""
    state = replace(state, silences=0, heard=True)
    earlier = state.findings
    state = _dropped(state, heard, script.dialog)
    state, unsure = take_in(state, heard, script.dialog)
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


def resumed(state: State, script: Script) -> Decision:
    """The same state, and what is said when a line that dropped is back: that it did, and what was last put, again.

    It counts neither as put nor as asked once more. What must be heard whole, as in an emergency, comes without a lead.
    """
    match state.stage:
        case Stage.EMERGENCY:
            assert state.emergency is not None
            return replace(state, unsaid=None), (Escalate(state.emergency),)
        case Stage.CLOSING:
            state, owed = _owed(state)
            return state, (*owed, Speak(state.farewell))
        case Stage.IDENTITY:
            again = Line.IDENTITY_AGAIN if state.introduced else Line.GREETING
            return replace(state, introduced=True), (Speak(Line.RESUMED), Speak(again))
        case Stage.AGENDA:
            question = _open_question(state, script.dialog)
            if question is None or question.code != state.asking:
                state, following = _proceed(state, script.dialog)
            elif state.candidate is not None:
                following = (Confirm(question.code, _words(state.candidate, question)),)
            else:
                wording = min(max(state.puts.get(question.code, 0) - 1, 0), len(question.ask) - 1)
                following = (Ask(question.code, wording),)
            return state, (Speak(Line.RESUMED), *following)


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
        if question.code not in state.findings
        and question.code not in state.dropped
        and (question.when is None or holds(question.when, state.findings))
    )


def _open_question(state: State, dialog: Dialog) -> Question | None:
    return next(iter(open_items(state, dialog)), None)


def _dropped(state: State, heard: Heard, dialog: Dialog) -> State:
    """Follow-ups that the recipient has come to speak of, or does not want remembered, are not put any more."""
    gone = {code for code in heard.speaks_of if not state.puts.get(code)}
    if heard.wants_forgotten and state.asking is not None and dialog.question(state.asking).remembered:
        gone.add(state.asking)
    return replace(state, dropped=state.dropped | gone) if gone else state


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
    answer = understanding.answer.value if understanding.answer is not None else None
    denied = intent is Intent.ANSWER and answer is Ternary.NO
    unknown = answer is not Ternary.YES and not heard.says_name and intent in _TELLS_NOBODY
    if denied and state.identity_puts >= 2:
        return _end(state, *_ENDINGS[Intent.WRONG_PERSON])
    if intent is Intent.WAIT_REQUEST:
        return replace(state, silences=-1), (Speak(Line.WAIT),)
    if denied or unknown or not heard.text.strip():
        if state.identity_puts >= MOST_PUTS:
            return _end(state, *_STRANGER_LEAVES)
        state = replace(state, identity_puts=state.identity_puts + 1)
        if intent is Intent.REPEAT_REQUEST:
            return state, (Speak(Line.REPEAT_LEAD), Speak(Line.GREETING))
        return state, (*_side(heard), Speak(Line.IDENTITY_AGAIN))
    state = replace(state, stage=Stage.AGENDA)
    acts = _side(heard)
    if not acts and understanding.feeling is Feeling.BAD:
        acts = (Acknowledge(Feeling.BAD),)
    state, following = _proceed(state, dialog)
    return state, (*acts, Speak(Line.BEGIN), *following)


def _introduce(state: State, *first: Act) -> Decision:
    return replace(state, introduced=True), (*first, Speak(Line.GREETING))


def _side(heard: Heard) -> tuple[Act, ...]:
    understanding = heard.understanding
    if heard.wants_forgotten:
        return (Speak(Line.FORGET),)
    if understanding.intent is Intent.WHO_IS_THIS and understanding.asks_if_robot:
        return (Speak(Line.ARE_YOU_A_ROBOT),)
    line = _SIDE_LINES.get(understanding.intent)
    return () if line is None else (Speak(line),)


# Agenda


def _agenda(state: State, earlier: Findings, heard: Heard, unsure: Candidate | None, dialog: Dialog) -> Decision:
    understanding = heard.understanding
    intent = understanding.intent
    asked = dialog.question(state.asking) if state.asking is not None else None
    settled = asked is None or asked.code in state.findings or asked.code in state.dropped

    mistaken = intent is Intent.WRONG_PERSON and asked is not None and settled
    if intent in _ENDINGS and not mistaken:
        if intent is Intent.GOODBYE and not any(question.required for question in open_items(state, dialog)):
            return _end(state, Outcome.COMPLETED, Line.CLOSE)
        state, farewell = _end(state, *_ENDINGS[intent])
        return state, (*((Speak(Line.FORGET),) if heard.wants_forgotten else ()), *farewell)
    if intent is Intent.WAIT_REQUEST:
        return replace(state, silences=-1, asking=None if settled else state.asking), (Speak(Line.WAIT),)

    side = _side(heard)
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
        state = give_up(state, question)
    return _end(state, Outcome.COMPLETED, Line.CLOSE)


def _put(state: State, question: Question, *, again: bool) -> tuple[State, Ask]:
    puts = state.puts.get(question.code, 0)
    wording = min(max(puts - 1, 0) if again else puts, len(question.ask) - 1)
    state = replace(state, asking=question.code, candidate=None, puts={**state.puts, question.code: puts + 1})
    return state, Ask(question.code, wording)


def _words(candidate: Candidate, question: Question) -> str:
    if words := question.confirm.get(str(candidate.value)):
        return words
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
