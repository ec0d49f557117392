"""The agenda policy: what it guarantees whatever is said, and what it does with each kind of reply."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carecall.dialog import policy
from carecall.dialog.acts import Acknowledge, Act, Ask, Confirm, Escalate, Line, Speak, StayOnLine
from carecall.dialog.definition import Dialog, Feeling, Question, RedFlag
from carecall.dialog.files import find_dialog
from carecall.dialog.policy import MOST_PUTS
from carecall.dialog.state import Heard, Script, Stage, State
from carecall.dialog.understanding.meaning import (
    AnswerReading,
    FindingReading,
    Intent,
    RedFlagReading,
    Understanding,
)
from carecall.domain.finding import AnswerType, Evidence, Layer, Missing, Ternary, Unit
from carecall.domain.report import Outcome
from carecall.domain.triage import Urgency
from carecall.settings import Settings

CHEST_PAIN = RedFlag("chest_pain", Urgency.EMERGENCY, "Chest pain", ("Please call 911 now.",))
SUICIDE = RedFlag(
    "suicidal_intent",
    Urgency.EMERGENCY,
    "Wants to die",
    ("I am worried about you.", "Please call 988."),
    keep_on_line=True,
    stay_on_line=("Is anyone with you?", "Are you safe right now?"),
)
FLAGS = {flag.id: flag for flag in (CHEST_PAIN, SUICIDE)}
MONITORING = Script(find_dialog(Settings().dialogs_dir, "active-monitoring.en"), FLAGS)
WELLBEING = Script(find_dialog(Settings().dialogs_dir, "wellbeing.en"), FLAGS)


class Call:
    """Plays turns against the policy."""

    def __init__(self, script: Script = WELLBEING, state: State | None = None) -> None:
        self.script = script
        self.state = state or State()
        self.acts: tuple[Act, ...] = ()
        self.all_acts: list[Act] = []
        self.turn = 0

    def hear(self, understanding: Understanding, text: str = "some words") -> tuple[Act, ...]:
        self.turn += 1
        return self._next(policy.decide(self.state, Heard(self.turn, text, understanding, 1.0), self.script))

    def silence(self) -> tuple[Act, ...]:
        return self._next(policy.silence(self.state, self.script))

    def say(self, intent: Intent, text: str = "some words") -> tuple[Act, ...]:
        return self.hear(Understanding(intent), text)

    def answer(self, value: Ternary | float | str | None, text: str = "some words") -> tuple[Act, ...]:
        return self.hear(Understanding(Intent.ANSWER, AnswerReading(value, text)), text)

    def value(self, code: str) -> object:
        finding = self.state.findings.get(code)
        return None if finding is None else finding.value

    def until(self, code: str) -> "Call":
        """Answers plainly until that question is open."""
        self.answer(Ternary.YES)
        for _ in self.script.dialog.agenda:
            if self.state.asking == code:
                return self
            self.answer(_plain(self.script.dialog.question(self.state.asking or "")))
        raise AssertionError(f"{code} is never asked")

    def _next(self, decision: policy.Decision) -> tuple[Act, ...]:
        self.state, self.acts = decision
        self.all_acts += self.acts
        return self.acts


def _plain(question: Question) -> Ternary | float | str:
    """Good news."""
    match question.type:
        case AnswerType.YES_NO:
            return Ternary.NO if "yes" in question.bad else Ternary.YES
        case AnswerType.NUMBER:
            return 98.0
        case AnswerType.DURATION_DAYS:
            return 2.0
        case _:
            return "fine"


def asked(acts: Sequence[Act]) -> list[str]:
    return [act.question for act in acts if isinstance(act, Ask)]


def spoken(acts: Sequence[Act]) -> list[Line]:
    return [act.line for act in acts if isinstance(act, Speak)]


# Whatever is said


def understandings(dialog: Dialog) -> st.SearchStrategy[Understanding]:
    ids = sorted({code for question in dialog.agenda for code in (question.code, *question.about, *question.opposite)})
    values = st.one_of(
        st.none(),
        st.sampled_from(Ternary),
        st.floats(allow_nan=True),
        st.integers(-5, 120).map(float),
        st.text(max_size=5),
    )
    answers = st.builds(
        AnswerReading, values, st.text(max_size=9), st.floats(0, 1), st.sampled_from([Layer.RULES, Layer.LLM])
    )
    volunteered = st.builds(
        FindingReading, st.sampled_from([*ids, "poetry"]), st.sampled_from([Ternary.YES, Ternary.NO]), st.just("words")
    )
    usual = [Intent.ANSWER] * 12 + [
        intent for intent in Intent if intent not in {Intent.GOODBYE, Intent.STOP_CALLING, Intent.WRONG_PERSON}
    ]
    return st.builds(
        Understanding,
        st.one_of(st.sampled_from(usual), st.sampled_from(Intent)),
        st.one_of(st.none(), answers),
        st.lists(volunteered, max_size=3).map(tuple),
        st.one_of(
            st.just(()),
            st.just(()),
            st.just(()),
            st.sampled_from([*FLAGS, "unheard_of"]).map(lambda flag: (RedFlagReading(flag, "words"),)),
        ),
        st.sampled_from(Feeling),
        st.booleans(),
    )


def calls(script: Script) -> st.SearchStrategy[list[tuple[Understanding, str] | None]]:
    turn = st.tuples(understandings(script.dialog), st.text(max_size=20))
    return st.lists(st.one_of(turn, turn, turn, st.none()), min_size=1, max_size=40)


SCRIPTS = pytest.mark.parametrize("script", [MONITORING, WELLBEING], ids=["monitoring", "wellbeing"])


@SCRIPTS
@settings(max_examples=60)
@given(data=st.data())
def test_the_guarantees_hold_whatever_is_said(script: Script, data: st.DataObject) -> None:
    call = Call(script)
    raised: Counter[str] = Counter()
    for turn in data.draw(calls(script)):
        before = call.state
        acts = call.silence() if turn is None else call.hear(*turn)
        for act in acts:
            if isinstance(act, Escalate):
                raised.update(alert.code for alert in act.alerts)
                assert act is acts[0] or spoken(acts)[0] in {Line.REPEAT_LEAD, Line.SILENCE}
        if before.stage is Stage.IDENTITY and call.state.stage is Stage.AGENDA:
            assert Line.BEGIN in spoken(acts)
        if before.stage is not Stage.AGENDA and Line.BEGIN not in spoken(acts):
            assert not asked(acts)
        for code in asked(acts):
            assert code not in call.state.findings
        if call.state.stage is Stage.CLOSING and before.stage is not Stage.CLOSING:
            assert spoken(acts)[-1].startswith("close")
    puts = Counter(act.question for act in call.all_acts if isinstance(act, Ask | Confirm))
    assert all(count <= policy.MOST_PUTS for count in puts.values())
    assert all(count == 1 for count in raised.values())
    if call.state.outcome is Outcome.COMPLETED:
        assert not [each for each in policy.open_items(call.state, script.dialog) if each.required]


@settings(max_examples=60)
@given(data=st.data())
def test_nothing_but_a_spoken_no_becomes_a_no(data: st.DataObject) -> None:
    call = Call(MONITORING)
    for turn in data.draw(calls(MONITORING)):
        if turn is None:
            call.silence()
            continue
        understanding, text = turn
        told_no = any(each.value is Ternary.NO for each in understanding.volunteered) or (
            understanding.answer is not None and understanding.answer.value == Ternary.NO
        )
        confirmed_no = (
            call.state.candidate is not None
            and call.state.candidate.value is Ternary.NO
            and understanding.answer is not None
            and understanding.answer.value is Ternary.YES
        )
        denied = {code for code, finding in call.state.findings.items() if finding.value is Ternary.NO}
        call.hear(understanding, text)
        now = {code for code, finding in call.state.findings.items() if finding.value is Ternary.NO}
        assert now <= denied or told_no or confirmed_no


@settings(max_examples=30)
@given(data=st.data())
def test_the_same_turns_give_the_same_call(data: st.DataObject) -> None:
    turns = data.draw(calls(WELLBEING))
    first, second = Call(WELLBEING), Call(WELLBEING)
    for turn in turns:
        assert (first.silence() if turn is None else first.hear(*turn)) == (
            second.silence() if turn is None else second.hear(*turn)
        )
    assert first.state == second.state


# Identity


@pytest.mark.parametrize("intent", [Intent.SMALL_TALK, Intent.UNCLEAR, Intent.ANSWER, Intent.OUT_OF_SCOPE_QUESTION])
def test_nothing_of_health_is_said_before_the_person_is_known(intent: Intent) -> None:
    call = Call()
    for _ in range(MOST_PUTS - 1):
        assert asked(call.say(intent, "hello?")) == []
        assert Line.IDENTITY_AGAIN in spoken(call.acts)
        assert Line.BEGIN not in spoken(call.acts)
    call.say(intent, "hello?")
    assert call.state.stage is Stage.CLOSING
    assert Line.CLOSE_LATER in spoken(call.acts)


def test_who_says_yes_or_the_name_is_the_right_person() -> None:
    yes = Call()
    assert spoken(yes.answer(Ternary.YES, "yes")) == [Line.BEGIN]
    assert asked(yes.acts) == ["ate"]
    named = Call()
    heard = Heard(1, "Ann here", Understanding(Intent.UNCLEAR), says_name=True)
    _, acts = policy.decide(named.state, heard, named.script)
    assert spoken(acts) == [Line.BEGIN]


def test_sound_without_words_does_not_confirm_who_it_is() -> None:
    call = Call()
    assert spoken(call.say(Intent.UNCLEAR, "")) == [Line.IDENTITY_AGAIN]


def test_who_asks_who_is_calling_is_told_and_asked_again() -> None:
    call = Call()
    assert spoken(call.say(Intent.WHO_IS_THIS)) == [Line.WHO_IS_THIS, Line.IDENTITY_AGAIN]
    robot = Understanding(Intent.WHO_IS_THIS, asks_if_robot=True)
    assert spoken(call.hear(robot)) == [Line.ARE_YOU_A_ROBOT, Line.IDENTITY_AGAIN]


def test_a_bare_no_is_asked_once_more_before_it_counts_as_the_wrong_person() -> None:
    call = Call()
    assert spoken(call.answer(Ternary.NO)) == [Line.IDENTITY_AGAIN]
    assert spoken(call.answer(Ternary.NO)) == [Line.CLOSE_WRONG_PERSON]
    assert call.state.outcome is Outcome.WRONG_PERSON


@pytest.mark.parametrize(
    ("intent", "outcome", "line"),
    [
        (Intent.WRONG_PERSON, Outcome.WRONG_PERSON, Line.CLOSE_WRONG_PERSON),
        (Intent.STOP_CALLING, Outcome.OPTED_OUT, Line.CLOSE_OPTED_OUT),
        (Intent.CALL_LATER, Outcome.CALL_LATER, Line.CLOSE_LATER),
    ],
)
@pytest.mark.parametrize("confirmed", [False, True])
def test_some_replies_end_the_call_at_once(intent: Intent, outcome: Outcome, line: Line, confirmed: bool) -> None:
    call = Call()
    if confirmed:
        call.answer(Ternary.YES)
    assert spoken(call.say(intent, "not today, try at five")) == [line]
    assert call.state.outcome is outcome
    if intent is not Intent.WRONG_PERSON:
        assert call.state.notes == ("not today, try at five",)


def test_who_answers_a_question_is_not_taken_for_somebody_else() -> None:
    call = Call().until("ate")
    acts = call.hear(Understanding(Intent.WRONG_PERSON, AnswerReading(Ternary.YES, "yes")), "yes")
    assert asked(acts) == ["slept_well"]


def test_a_goodbye_before_identity_is_known_is_met_without_a_word_of_health() -> None:
    call = Call()
    assert spoken(call.say(Intent.GOODBYE)) == [Line.CLOSE_LATER]
    assert call.state.outcome is Outcome.SAID_GOODBYE


# Answers


def test_an_answer_is_acknowledged_as_its_news_deserves_and_the_next_question_put() -> None:
    call = Call()
    call.answer(Ternary.YES)
    assert call.answer(Ternary.YES) == (Acknowledge(Feeling.GOOD, "ate"), Ask("slept_well", 0))
    assert call.answer(Ternary.NO) == (Acknowledge(Feeling.BAD, "slept_well"), Ask("health_problem", 0))


def test_there_is_no_relief_while_something_is_amiss() -> None:
    call = Call()
    call.answer(Ternary.YES)
    call.answer(Ternary.NO)
    assert call.answer(Ternary.YES)[0] == Acknowledge(Feeling.NEUTRAL, "slept_well")


def test_a_volunteered_answer_is_not_asked_again() -> None:
    call = Call().until("slept_well")
    lonely = (FindingReading("loneliness", Ternary.YES, "lonely"),)
    call.hear(Understanding(Intent.ANSWER, AnswerReading(Ternary.YES, "yes"), lonely), "yes but I am lonely")
    assert call.value("low_mood") is Ternary.YES
    assert call.value("loneliness") is Ternary.YES
    while call.state.stage is not Stage.CLOSING:
        call.answer(_plain(WELLBEING.dialog.question(call.state.asking or "")))
    assert "low_mood" not in asked(call.all_acts)


def test_the_opposite_finding_answers_the_question() -> None:
    call = Call().until("ate")
    call.hear(
        Understanding(Intent.ANSWER, AnswerReading(Ternary.YES), (FindingReading("poor_sleep", Ternary.YES, "x"),))
    )
    assert call.value("slept_well") is Ternary.NO


def test_denying_one_of_many_symptoms_does_not_deny_them_all() -> None:
    call = Call().until("ate")
    no_headache = (FindingReading("headache", Ternary.NO, "no headache"),)
    call.hear(Understanding(Intent.ANSWER, AnswerReading(Ternary.YES), no_headache), "yes and no headache")
    assert call.value("health_problem") is None
    assert call.value("headache") is Ternary.NO


def test_bad_news_in_the_words_outweighs_a_leading_no() -> None:
    call = Call().until("health_problem")
    back = (FindingReading("pain", Ternary.YES, "my back aches"),)
    acts = call.hear(Understanding(Intent.ANSWER, AnswerReading(Ternary.NO, "no"), back), "no, only my back aches")
    assert call.value("health_problem") is Ternary.YES
    assert acts[0] == Acknowledge(Feeling.BAD, "health_problem")


def test_a_correction_replaces_the_answer_and_keeps_the_earlier_words() -> None:
    call = Call(MONITORING).until("cough")
    call.answer(Ternary.NO, "no cough")
    cough = (FindingReading("cough", Ternary.YES, "I do cough"),)
    call.hear(Understanding(Intent.ANSWER, AnswerReading(Ternary.NO, "no"), cough), "no, but I do cough at night")
    finding = call.state.findings["cough"]
    assert finding.value is Ternary.YES
    assert [evidence.quote for evidence in finding.evidence] == ["no cough", "I do cough"]


def test_a_branch_opens_only_while_its_condition_holds() -> None:
    call = Call(MONITORING)
    call.answer(Ternary.YES)
    assert asked(call.answer(Ternary.YES)) == ["temperature"]
    other = Call(MONITORING)
    other.answer(Ternary.YES)
    assert asked(other.answer(Ternary.NO)) == ["cough"]


def test_a_temperature_is_kept_in_the_unit_of_the_question() -> None:
    call = Call(MONITORING).until("fever")
    call.answer(Ternary.YES)
    call.answer(38.5, "thirty eight point five")
    finding = call.state.findings["temperature"]
    assert finding.value == pytest.approx(101.3)
    assert finding.unit is Unit.FAHRENHEIT


def test_an_impossible_number_is_no_answer() -> None:
    call = Call(MONITORING).until("fever")
    call.answer(Ternary.YES)
    assert asked(call.answer(250.0)) == ["temperature"]


def test_what_is_said_to_an_open_question_is_kept_word_for_word() -> None:
    call = Call().until("small_talk")
    call.answer(None, "I look after my roses")
    assert call.value("small_talk") == "I look after my roses"


def test_what_stays_unclear_of_an_open_question_is_kept_all_the_same() -> None:
    call = Call().until("small_talk")
    assert asked(call.say(Intent.UNCLEAR, "I knit")) == ["small_talk"]
    call.say(Intent.UNCLEAR, "knitting")
    assert call.value("small_talk") == "knitting"


def test_what_a_bare_no_means_is_the_dialogs_to_say() -> None:
    call = Call().until("medication_missed")
    acts = call.hear(Understanding(Intent.ANSWER, AnswerReading(Ternary.NO, "no"), feeling=Feeling.BAD), "no")
    assert acts[0] == Acknowledge(Feeling.GOOD, "medication_missed")
    acts = call.hear(Understanding(Intent.ANSWER, AnswerReading(Ternary.NO, "no"), feeling=Feeling.BAD), "no")
    assert acts[0] == Acknowledge(Feeling.NEUTRAL, "went_out")


def test_a_quote_that_was_not_said_is_not_evidence() -> None:
    call = Call().until("ate")
    call.hear(Understanding(Intent.ANSWER, AnswerReading(Ternary.YES, "made up")), "yes I did")
    assert call.state.findings["ate"].evidence == (Evidence(2, "yes I did", 1.0),)


# Replies that answer nothing


def test_an_unclear_reply_is_asked_again_in_other_words_at_most_twice() -> None:
    call = Call().until("ate")
    assert call.say(Intent.UNCLEAR) == (Ask("ate", 1),)
    assert call.say(Intent.UNCLEAR) == (Ask("ate", 2),)
    assert call.say(Intent.UNCLEAR) == (Ask("slept_well", 0),)
    assert call.value("ate") is Missing.NO_ANSWER
    assert len(call.state.findings["ate"].evidence) == 3


def test_who_says_twice_that_they_do_not_know_is_not_asked_a_third_time() -> None:
    call = Call().until("ate")
    assert asked(call.answer(Ternary.UNKNOWN, "I don't know")) == ["ate"]
    assert asked(call.answer(Ternary.UNKNOWN, "really not sure")) == ["slept_well"]
    assert call.value("ate") is Ternary.UNKNOWN


def test_who_did_not_hear_gets_the_same_words_again() -> None:
    call = Call().until("ate")
    assert call.say(Intent.REPEAT_REQUEST) == (Speak(Line.REPEAT_LEAD), Ask("ate", 0))


def test_a_medical_question_is_refused_noted_and_led_back() -> None:
    call = Call().until("ate")
    acts = call.say(Intent.MEDICAL_QUESTION, "can I take two of these?")
    assert acts == (Speak(Line.REFUSE_MEDICAL), Speak(Line.RESUME), Ask("ate", 1))
    assert call.state.notes == ("can I take two of these?",)


def test_an_answer_with_a_side_question_is_taken_and_not_asked_again() -> None:
    call = Call().until("ate")
    acts = call.hear(
        Understanding(Intent.OUT_OF_SCOPE_QUESTION, AnswerReading(Ternary.YES, "yes")), "yes, will it rain?"
    )
    assert acts == (Speak(Line.REFUSE_OUT_OF_SCOPE), Ask("slept_well", 0))


@pytest.mark.parametrize(
    ("intent", "line"), [(Intent.SERVICE_REQUEST, Line.SERVICE_NOTED), (Intent.WANTS_HUMAN, Line.HUMAN_NOTED)]
)
def test_a_wish_is_noted_and_said_so(intent: Intent, line: Line) -> None:
    call = Call().until("ate")
    assert spoken(call.say(intent, "send me masks"))[0] is line
    assert call.state.notes == ("send me masks",)


def test_who_asks_to_wait_is_waited_for() -> None:
    call = Call().until("ate")
    assert call.say(Intent.WAIT_REQUEST) == (Speak(Line.WAIT),)
    assert call.silence() == (Speak(Line.WAIT),)
    assert spoken(call.silence()) == [Line.SILENCE]
    call.answer(Ternary.YES)
    assert call.value("ate") is Ternary.YES


def test_an_unsure_reading_is_confirmed_before_it_is_recorded() -> None:
    unsure = Understanding(Intent.ANSWER, AnswerReading(Ternary.NO, "not so much", 0.5, Layer.LLM))
    call = Call().until("ate")
    assert call.hear(unsure, "well not so much") == (Confirm("ate", "you have not eaten today"),)
    assert call.value("ate") is None
    call.answer(Ternary.YES, "that is right")
    assert call.value("ate") is Ternary.NO
    assert [each.quote for each in call.state.findings["ate"].evidence] == ["not so much", "that is right"]


def test_a_refused_confirmation_is_asked_again() -> None:
    unsure = Understanding(Intent.ANSWER, AnswerReading(Ternary.NO, "hm", 0.5))
    call = Call().until("ate")
    call.hear(unsure, "hm")
    assert asked(call.answer(Ternary.NO, "no")) == ["ate"]
    assert call.value("ate") is None


def test_an_unsure_reading_is_never_recorded_unconfirmed() -> None:
    unsure = Understanding(Intent.ANSWER, AnswerReading(Ternary.NO, "hm", 0.5))
    call = Call().until("ate")
    for _ in range(6):
        call.hear(unsure, "hm")
    assert call.value("ate") is Missing.NO_ANSWER


# Silence


def test_two_gentle_prompts_then_goodbye() -> None:
    call = Call()
    assert spoken(call.silence()) == [Line.SILENCE, Line.IDENTITY_AGAIN]
    assert spoken(call.silence()) == [Line.SILENCE, Line.IDENTITY_AGAIN]
    assert spoken(call.silence()) == [Line.CLOSE_SILENCE]
    assert call.state.outcome is Outcome.SILENT


def test_silence_after_words_is_a_call_that_was_left() -> None:
    call = Call().until("ate")
    assert call.silence() == (Speak(Line.SILENCE, 0), Ask("ate", 0))
    call.silence()
    call.silence()
    assert call.state.outcome is Outcome.HUNG_UP


# Endings


def test_goodbye_before_the_end_leaves_the_rest_unasked() -> None:
    call = Call().until("ate")
    assert spoken(call.say(Intent.GOODBYE)) == [Line.CLOSE_EARLY]
    assert call.state.outcome is Outcome.SAID_GOODBYE
    assert "ate" in {question.code for question in policy.open_items(call.state, WELLBEING.dialog)}


def test_goodbye_when_all_that_is_required_is_answered_completes_the_call() -> None:
    call = Call().until("small_talk")
    assert spoken(call.say(Intent.GOODBYE, "no that's all bye now")) == [Line.CLOSE]
    assert call.state.outcome is Outcome.COMPLETED


def test_a_goodbye_that_was_talked_over_is_said_again_but_not_for_ever() -> None:
    call = Call().until("ate")
    call.say(Intent.GOODBYE)
    assert spoken(call.say(Intent.SMALL_TALK)) == [Line.CLOSE_EARLY]
    assert call.say(Intent.GOODBYE) == ()
    for _ in range(4):
        call.say(Intent.SMALL_TALK)
    assert call.acts == ()


# Red flags


def flagged(*ids: str, intent: Intent = Intent.ANSWER) -> Understanding:
    return Understanding(intent, red_flags=tuple(RedFlagReading(each, "it hurts") for each in ids))


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_red_flag_takes_over_and_says_nothing_else(confirmed: bool) -> None:
    call = Call()
    if confirmed:
        call.answer(Ternary.YES)
    escalate, farewell = call.hear(flagged("chest_pain"), "it hurts in my chest")
    assert isinstance(escalate, Escalate)
    assert [alert.code for alert in escalate.alerts] == ["chest_pain"]
    assert escalate.alerts[0].evidence[0].quote == "it hurts"
    assert farewell == Speak(Line.CLOSE_EMERGENCY)
    assert call.state.outcome is Outcome.EMERGENCY


def test_who_is_in_despair_is_kept_on_the_line_a_sentence_a_turn() -> None:
    call = Call().until("low_mood")
    assert [type(act) for act in call.hear(flagged("suicidal_intent"))] == [Escalate]
    assert call.say(Intent.UNCLEAR) == (StayOnLine("suicidal_intent", 0),)
    assert call.hear(flagged("suicidal_intent")) == (StayOnLine("suicidal_intent", 1),)
    assert spoken(call.say(Intent.ANSWER)) == [Line.CLOSE_EMERGENCY]
    assert call.state.outcome is Outcome.EMERGENCY


def test_despair_heard_in_the_goodbye_takes_the_call_back() -> None:
    call = Call().until("ate")
    call.say(Intent.GOODBYE)
    call.hear(flagged("suicidal_intent"))
    assert call.state.stage is Stage.EMERGENCY
    assert call.state.outcome is None


def test_every_flag_of_a_turn_raises_its_alert() -> None:
    call = Call()
    escalate = call.hear(flagged("suicidal_intent", "chest_pain"))[0]
    assert isinstance(escalate, Escalate)
    assert {alert.code for alert in escalate.alerts} == {"chest_pain", "suicidal_intent"}


def test_an_answer_in_the_same_breath_as_a_red_flag_is_kept() -> None:
    call = Call().until("ate")
    call.hear(replace(flagged("chest_pain"), answer=AnswerReading(Ternary.NO, "no")), "no, my chest hurts")
    assert call.value("ate") is Ternary.NO


def test_emergency_text_that_was_cut_off_is_said_again() -> None:
    call = Call()
    call.hear(flagged("chest_pain"))
    call.state = policy.cut_off(call.state, "chest_pain")
    assert call.say(Intent.GOODBYE) == (Escalate("chest_pain"), Speak(Line.CLOSE_EMERGENCY))


# Interruptions


def test_a_question_that_was_not_begun_leaves_the_one_before_it_open() -> None:
    call = Call().until("ate")
    before = call.state
    call.answer(Ternary.YES)
    state = policy.unheard(call.state, before, begun=False)
    assert state.asking == "ate"
    assert state.findings["ate"].value is Ternary.YES
    call.state = state
    assert asked(call.answer(Ternary.YES)) == ["slept_well"]
    assert call.acts[-1] == Ask("slept_well", 0)


def test_a_question_that_was_cut_off_stays_open_and_does_not_count() -> None:
    call = Call().until("ate")
    before = call.state
    call.answer(Ternary.YES)
    state = policy.unheard(call.state, before, begun=True)
    assert state.asking == "slept_well"
    assert state.puts.get("slept_well", 0) == 0


def test_a_question_that_is_always_cut_off_is_given_up_in_the_end() -> None:
    call = Call().until("ate")
    for _ in range(policy.MOST_PUTS + policy.MOST_CUTS + 1):
        before = call.state
        call.say(Intent.UNCLEAR)
        call.state = policy.unheard(call.state, before, begun=True)
    assert call.value("ate") is Missing.NO_ANSWER
