"""How English replies are read by rules, phenomenon by phenomenon."""

import datetime
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carecall.dialog.definition import Choice, Feeling
from carecall.dialog.understanding.english import EnglishRules
from carecall.dialog.understanding.meaning import Asked, Intent, Understanding
from carecall.domain.finding import AnswerType, Ternary, Unit

TODAY = datetime.date(2025, 3, 12)  # a Wednesday
RULES = EnglishRules()


def read(
    reply: str,
    ask: str = "How are you feeling?",
    kind: AnswerType = AnswerType.OPEN,
    unit: Unit | None = None,
    choices: tuple[Choice, ...] = (),
) -> Understanding:
    understanding = RULES.read(reply, Asked(ask, kind, unit, choices), TODAY)
    quotes = [each.quote for each in understanding.volunteered]
    quotes += [each.quote for each in understanding.red_flags]
    if understanding.answer is not None:
        quotes.append(understanding.answer.quote)
    assert all(quote in reply for quote in quotes)
    return understanding


def yes_no(ask: str, reply: str) -> Ternary:
    answer = read(reply, ask, AnswerType.YES_NO).answer
    if answer is None:
        return Ternary.UNKNOWN
    assert isinstance(answer.value, Ternary)
    return answer.value


def volunteered(reply: str, ask: str = "How are you feeling?") -> dict[str, str]:
    return {each.id: each.value.value for each in read(reply, ask).volunteered}


FEVER, COUGH, THROAT = "Do you have a fever?", "Are you coughing?", "Is your throat sore?"
BREATH, EATEN, SLEEP = "Are you short of breath?", "Have you eaten today?", "Did you sleep well last night?"
PILLS, OUT, MOVED = (
    "Have you taken your medication today?",
    "Have you been out today?",
    "Have you been getting any exercise?",
)
FALL, PAIN, DOWN = "Have you had a fall recently?", "Are you in any pain?", "Have you been feeling down lately?"
HEAD, SMELL, LONELY = (
    "Do you have a headache?",
    "Have you lost your sense of smell or taste?",
    "Are you feeling lonely?",
)
DIZZY, WATER, HUNGER = (
    "Have you been feeling dizzy?",
    "Have you been drinking enough water?",
    "Do you have a good appetite?",
)
DOCTOR, CHILLS, RUNS = "Have you seen a doctor today?", "Do you have chills?", "Do you have diarrhea?"

YES_NO = [
    # the plain word and its kin
    (FEVER, "yes I do", "yes"),
    (FEVER, "afraid so", "yes"),
    (FEVER, "nope not that I know of", "no"),
    (COUGH, "not at all dear", "no"),
    (PAIN, "you bet I am", "yes"),
    (FALL, "no thank God", "no"),
    (COUGH, "I don't think so", "no"),
    (COUGH, "I think so, yes", "yes"),
    (DIZZY, "never", "no"),
    (HEAD, "hardly ever", "no"),
    (CHILLS, "now and then", "yes"),
    # the auxiliary echoes the question
    (EATEN, "I have indeed", "yes"),
    (EATEN, "I haven't yet", "no"),
    (PILLS, "I did", "yes"),
    (PILLS, "i didn't", "no"),
    (LONELY, "I am, a bit", "yes"),
    # other words for the thing
    (FEVER, "I'm boiling hot, thermometer says thirty nine", "yes"),
    (FEVER, "my temperature's perfectly normal", "no"),
    (COUGH, "hacking away all night long", "yes"),
    (THROAT, "it hurts when I swallow", "yes"),
    (THROAT, "throat feels fine", "no"),
    (BREATH, "I have to stop halfway up the stairs to catch my breath", "yes"),
    (BREATH, "breathing's easy as pie", "no"),
    (SLEEP, "I was awake half the night", "no"),
    (SLEEP, "went straight through till seven", "yes"),
    (SLEEP, "my head hit the pillow and I was gone", "yes"),
    (SLEEP, "not a wink", "no"),
    (PILLS, "took them with my breakfast", "yes"),
    (PILLS, "clean forgot", "no"),
    (PILLS, "they're still sitting in the box", "no"),
    (OUT, "went to church this morning", "yes"),
    (OUT, "been stuck indoors all day", "no"),
    (MOVED, "I walk the dog twice a day", "yes"),
    (MOVED, "I just sit in my chair all day", "no"),
    (FALL, "I slipped in the shower on Monday", "yes"),
    (FALL, "nearly fell but I caught myself", "no"),
    (PAIN, "my knees are killing me", "yes"),
    (PAIN, "not a twinge", "no"),
    (DOWN, "I've been crying a lot", "yes"),
    (DOWN, "I'm in fine spirits", "no"),
    (HEAD, "it's pounding", "yes"),
    (SMELL, "coffee tastes of nothing", "yes"),
    (SMELL, "I can smell the toast burning", "no"),
    (LONELY, "nobody ever comes to see me", "yes"),
    (LONELY, "my daughter pops in every day", "no"),
    (DIZZY, "everything starts spinning when I get up", "yes"),
    (WATER, "I've had five glasses so far", "yes"),
    (WATER, "hardly a drop", "no"),
    (HUNGER, "I could eat a horse", "yes"),
    (HUNGER, "I've gone off my food", "no"),
    (DOCTOR, "I went to the clinic this morning", "yes"),
    (RUNS, "I've been on the toilet all morning", "yes"),
    # over, past and only planned
    (COUGH, "it's gone now", "no"),
    (HEAD, "had one yesterday but it's gone", "no"),
    (CHILLS, "they stopped on Sunday", "no"),
    (DOCTOR, "I'm seeing him tomorrow", "no"),
    (OUT, "not yet, I'm going later", "no"),
    (EATEN, "I'm just about to have my lunch", "no"),
    (FALL, "I fell once, but that was years ago", "no"),
    # the word and the meaning disagree
    (FEVER, "no, I've got a temperature", "yes"),
    (PAIN, "no no, just my back aching as usual", "yes"),
    (EATEN, "well yes, if you call a cup of tea eating, I've had nothing else", "no"),
    (COUGH, "yes well, it's all cleared up now", "no"),
    # no answer at all
    (FEVER, "what did you say", "unknown"),
    (FEVER, "I couldn't tell you", "unknown"),
    (PILLS, "I honestly can't remember", "unknown"),
    (DOWN, "I'd rather not talk about it", "unknown"),
    (SLEEP, "hang on there's someone at the door", "unknown"),
    (PAIN, "hard to say", "unknown"),
    (EATEN, "my grandson won his match", "unknown"),
    # another person's trouble is not one's own
    (COUGH, "my husband's coughing something awful", "unknown"),
    (FEVER, "my daughter's got a fever but I haven't", "no"),
]


@pytest.mark.parametrize(("ask", "reply", "expected"), YES_NO)
def test_truth_of_what_was_asked(ask: str, reply: str, expected: str) -> None:
    assert yes_no(ask, reply) == expected


POLITELY_NEGATIVE = [
    ("You haven't fallen, have you?", "yes I have", "yes"),
    ("You haven't fallen, have you?", "no I haven't", "no"),
    ("You haven't fallen, have you?", "yes", "yes"),
    ("You haven't fallen, have you?", "I'm afraid I did, Tuesday", "yes"),
    ("You're not in any pain, are you?", "no", "no"),
    ("You're not in any pain, are you?", "that's right", "no"),
    ("No headache today?", "just a small one", "yes"),
    ("No headache today?", "none", "no"),
    ("You haven't missed any of your pills, have you?", "I missed one on Sunday", "yes"),
    ("You haven't missed any of your pills, have you?", "haven't missed a single one", "no"),
]


@pytest.mark.parametrize(("ask", "reply", "expected"), POLITELY_NEGATIVE)
def test_yes_to_a_politely_negative_question_means_that_it_is_there(ask: str, reply: str, expected: str) -> None:
    assert yes_no(ask, reply) == expected


@pytest.mark.parametrize(("ask", "reply", "expected"), [
    ("Did you water your plants?", "I watered them this morning", "yes"),
    ("Did you water your plants?", "sure did", "yes"),
    ("Is your neighbor still visiting you?", "he never visits any more", "no"),
])  # fmt: skip
def test_a_question_about_something_unheard_of_is_answered_in_its_own_words(
    ask: str, reply: str, expected: str
) -> None:
    assert yes_no(ask, reply) == expected


def test_scores_are_a_distribution_that_leans_to_the_answer() -> None:
    answer = read("no I'm fine", FEVER, AnswerType.YES_NO).answer
    assert answer is not None
    assert sum(answer.scores.values()) == pytest.approx(1)
    assert max(answer.scores, key=lambda each: answer.scores[each]) is Ternary.NO


NUMBERS = [
    (Unit.FAHRENHEIT, "ninety eight point six", 98.6),
    (Unit.FAHRENHEIT, "ninety nine four", 99.4),
    (Unit.FAHRENHEIT, "a hundred and two point five", 102.5),
    (Unit.FAHRENHEIT, "one oh one", 101),
    (Unit.FAHRENHEIT, "100.4", 100.4),
    (Unit.FAHRENHEIT, "37.5 celsius", 99.5),
    (Unit.FAHRENHEIT, "it was 101 this morning and now it's 99", 99),
    (Unit.CELSIUS, "thirty seven and a half", 37.5),
    (Unit.CELSIUS, "thirty eight point two", 38.2),
    (Unit.CELSIUS, "100.4 fahrenheit", 38),
    (Unit.CELSIUS, "thirty seven five no sorry thirty eight five", 38.5),
    (Unit.CELSIUS, "I haven't taken it", None),
    (Unit.HOURS, "seven and a half hours", 7.5),
    (Unit.HOURS, "went to bed at eleven and woke at six", 7),
    (Unit.HOURS, "maybe five", 5),
    (Unit.HOURS, "I didn't sleep a wink", 0),
    (Unit.HOURS, "no idea love", None),
    (Unit.MEALS, "two so far", 2),
    (Unit.MEALS, "just breakfast", 1),
    (Unit.MEALS, "breakfast and lunch", 2),
    (Unit.MEALS, "nothing yet", 0),
    (Unit.MEALS, "all three", 3),
    (Unit.SCORE_0_10, "I'd say a seven", 7),
    (Unit.SCORE_0_10, "six out of ten", 6),
    (Unit.SCORE_0_10, "four, no, make that five", 5),
    (Unit.SCORE_0_10, "no pain at all", 0),
    (Unit.SCORE_0_10, "bad enough", None),
]


@pytest.mark.parametrize(("unit", "reply", "expected"), NUMBERS)
def test_numbers_in_the_unit_that_was_asked_for(unit: Unit, reply: str, expected: float | None) -> None:
    answer = read(reply, "How much was it?", AnswerType.NUMBER, unit=unit).answer
    value = None if answer is None else answer.value
    assert value == (None if expected is None else pytest.approx(expected, abs=0.05))


DURATIONS = [
    ("today", 0),
    ("this morning", 0),
    ("yesterday evening", 1),
    ("the day before yesterday", 2),
    ("three days ago", 3),
    ("a couple of days ago", 2),
    ("since Monday", 2),
    ("last Friday", 5),
    ("on Sunday", 3),
    ("about two weeks", 14),
    ("a week ago yesterday", 7),
    ("last night", 1),
    ("it started on the tenth", 2),
    ("March the first", 11),
    ("I've no idea", None),
]


@pytest.mark.parametrize(("reply", "expected"), DURATIONS)
def test_days_since_it_began(reply: str, expected: int | None) -> None:
    answer = read(reply, "When did it start?", AnswerType.DURATION_DAYS).answer
    assert (None if answer is None else answer.value) == expected


COURSE = (Choice("better", "Better"), Choice("same", "About the same"), Choice("worse", "Worse"))
TIMES = (Choice("morning", "Morning"), Choice("afternoon", "Afternoon"), Choice("evening", "Evening"))
PLACES = (
    Choice("knee", "Knee"),
    Choice("back", "Back"),
    Choice("shoulder", "Shoulder"),
    Choice("other", "Somewhere else"),
)


@pytest.mark.parametrize(("choices", "reply", "expected"), [
    (COURSE, "much improved thank you", "better"),
    (COURSE, "no better no worse", "same"),
    (COURSE, "going downhill I'm afraid", "worse"),
    (COURSE, "not any better", "same"),
    (TIMES, "around ten would be lovely", "morning"),
    (TIMES, "after lunch", "afternoon"),
    (TIMES, "not the morning, evenings are best", "evening"),
    (PLACES, "my left knee", "knee"),
    (PLACES, "mostly the ankle", "other"),
    (PLACES, "what do you mean", None),
])  # fmt: skip
def test_choices_by_what_they_are_commonly_called(
    choices: tuple[Choice, ...], reply: str, expected: str | None
) -> None:
    answer = read(reply, "Which is it?", AnswerType.CHOICE, choices=choices).answer
    assert (None if answer is None else answer.value) == expected


VOLUNTEERED = [
    ("no cough, fever or chills", {"cough": "no", "fever": "no", "chills": "no"}),
    ("I've got a headache and a runny nose", {"headache": "yes", "rhinorrhea": "yes"}),
    ("my nose isn't running any more", {"rhinorrhea": "no"}),
    ("the fever broke but I'm still coughing", {"fever": "no", "cough": "yes"}),
    ("my wife has a cough", {}),
    ("I used to get dizzy", {}),
    ("can't stop coughing", {"cough": "yes"}),
    ("the pain won't go away", {"pain": "yes"}),
    ("I'm sick and tired of the news", {}),
    ("that boy is a pain in the neck", {}),
    ("slept like a baby", {"poor_sleep": "no"}),
    ("I forgot my pills yesterday", {"medication_missed": "yes"}),
    ("nobody visits me, I feel so alone", {"loneliness": "yes"}),
    ("my back hurts", {"pain": "yes"}),
    ("terrible pain in my head", {"headache": "yes"}),
    ("no appetite and no energy", {"poor_appetite": "yes", "fatigue": "yes"}),
    ("I'm fine, just a little tired", {"fatigue": "yes"}),
    ("I'm not tired at all", {"fatigue": "no"}),
    ("eating like a horse and sleeping like a top", {"poor_appetite": "no", "poor_sleep": "no"}),
    ("if I had a fever I'd tell you", {}),
    ("I tripped over the rug and my wrist is swollen", {"fall": "yes", "pain": "yes"}),
    ("I get out of breath on the stairs", {"dyspnea": "yes"}),
]


@pytest.mark.parametrize(("reply", "expected"), VOLUNTEERED)
def test_findings_stated_of_oneself(reply: str, expected: dict[str, str]) -> None:
    assert volunteered(reply) == expected


INTENTS = [
    (EATEN, "could you repeat that please", Intent.REPEAT_REQUEST),
    (EATEN, "you're too quiet I can't hear you", Intent.REPEAT_REQUEST),
    (EATEN, "just a minute, let me sit down", Intent.WAIT_REQUEST),
    (EATEN, "I'm busy, can you call back this evening", Intent.CALL_LATER),
    ("Is this Ruth?", "no, she's out shopping, I'm her daughter", Intent.WRONG_PERSON),
    ("Is this Ruth?", "you've got the wrong number", Intent.WRONG_PERSON),
    ("Is this Ruth?", "nobody called Ruth here", Intent.WRONG_PERSON),
    (EATEN, "please stop calling me", Intent.STOP_CALLING),
    (EATEN, "I don't want any more of these calls", Intent.STOP_CALLING),
    (EATEN, "should I take an aspirin for that", Intent.MEDICAL_QUESTION),
    (EATEN, "is it safe to mix these two medicines", Intent.MEDICAL_QUESTION),
    (EATEN, "will it rain tomorrow", Intent.OUT_OF_SCOPE_QUESTION),
    (EATEN, "what's on television tonight", Intent.OUT_OF_SCOPE_QUESTION),
    (EATEN, "could someone bring me some groceries", Intent.SERVICE_REQUEST),
    (EATEN, "I need a lift to the hospital on Friday", Intent.SERVICE_REQUEST),
    (EATEN, "can I talk to a nurse", Intent.WANTS_HUMAN),
    (EATEN, "I'd rather speak to a human being", Intent.WANTS_HUMAN),
    (EATEN, "bye bye now", Intent.GOODBYE),
    (EATEN, "I have to go now", Intent.GOODBYE),
    (EATEN, "who am I speaking to", Intent.WHO_IS_THIS),
    (EATEN, "are you a robot", Intent.WHO_IS_THIS),
    (EATEN, "my cat had kittens last week", Intent.SMALL_TALK),
    (EATEN, "it's so nice of you to call", Intent.SMALL_TALK),
    (EATEN, "blue the of under seven", Intent.UNCLEAR),
    (EATEN, "mmm", Intent.UNCLEAR),
    (EATEN, "yes a big bowl of oatmeal", Intent.ANSWER),
    (EATEN, "no not yet", Intent.ANSWER),
]


@pytest.mark.parametrize(("ask", "reply", "expected"), INTENTS)
def test_what_a_reply_does(ask: str, reply: str, expected: Intent) -> None:
    assert read(reply, ask, AnswerType.YES_NO).intent is expected


def test_who_wants_to_know_whether_it_is_a_machine_is_heard() -> None:
    assert read("am I talking to a machine").asks_if_robot
    assert not read("who is calling please").asks_if_robot


@pytest.mark.parametrize(("ask", "reply", "expected"), [
    (FEVER, "yes I have", Feeling.BAD),
    (FEVER, "no", Feeling.GOOD),
    (SLEEP, "no", Feeling.BAD),
    (SLEEP, "like a log", Feeling.GOOD),
    (EATEN, "my sister died on Sunday", Feeling.BAD),
    (EATEN, "what did you say", Feeling.NEUTRAL),
])  # fmt: skip
def test_bad_news_is_never_met_with_relief(ask: str, reply: str, expected: Feeling) -> None:
    assert read(reply, ask, AnswerType.YES_NO).feeling is expected


def test_missing_punctuation_and_apostrophes_do_no_harm() -> None:
    assert volunteered("um no i havent got a cough its my head thats hurting") == {"cough": "no", "headache": "yes"}
    assert yes_no(COUGH, "i dont") == "no"
    assert yes_no(THROAT, "throats fine") == "no"


@settings(max_examples=200)
@given(st.text(max_size=400))
def test_any_text_is_read(reply: str) -> None:
    read(reply, FEVER, AnswerType.YES_NO)


@pytest.mark.parametrize(
    "reply", ["", "   ", "\x00\x07", "a" * 10_000, "no " * 4_000, "열이 나요 fever 없어요", "?!…--", "İıß"]
)
def test_odd_texts_are_read(reply: str) -> None:
    for kind in AnswerType:
        read(reply, FEVER, kind)


@pytest.mark.parametrize(
    "piece", ["my knee hurts and my back aches and I can not sleep ", "no ", "and I was so cold in my chest "]
)
def test_a_very_long_turn_is_read_in_time(piece: str) -> None:
    reply = (piece * 5_000)[:10_000]
    read(reply, EATEN, AnswerType.YES_NO)
    begin = time.process_time()
    read(reply, EATEN, AnswerType.YES_NO)
    assert time.process_time() - begin < 1.0  # seconds; generous for a slow machine


def test_a_reply_is_read_in_time() -> None:
    replies = [reply for _, reply, _ in YES_NO]
    begin = time.perf_counter()
    for reply in replies:
        read(reply, FEVER, AnswerType.YES_NO)
    assert (time.perf_counter() - begin) / len(replies) < 0.05  # seconds; generous for a busy machine
