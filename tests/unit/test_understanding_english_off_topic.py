"""Words that answer, alarm or opt out elsewhere, said of something else."""

import datetime

import pytest

from carecall.dialog.definition import Feeling
from carecall.dialog.understanding.english import EnglishRules
from carecall.dialog.understanding.meaning import Asked, Intent, Understanding
from carecall.domain.finding import AnswerType, Ternary

TODAY = datetime.date(2025, 3, 12)
RULES = EnglishRules()

MISSED = "Have you missed any of your medicine lately?"
TAKEN = "Have you taken your medicine today?"
REDUCER = "Have you taken anything to bring the fever down?"
MOOD = "Have you been feeling down or lonely lately?"
FEVER = "Do you have a fever right now?"
COUGH = "Are you coughing?"
FALL = "Have you had a fall lately?"
HEALTH = "Is anything hurting or bothering you?"
EATEN = "Have you eaten today?"
OUT = "Have you been out of the house today or yesterday?"
SLEEP = "Did you sleep well last night?"
EXERCISE = "Have you been getting any exercise?"
DAYS = "How do you spend your days at the moment?"
ELSE = "Is anything else bothering you? It could be aches, chills, a headache, or not being able to smell."


def read(ask: str, reply: str, kind: AnswerType = AnswerType.YES_NO) -> Understanding:
    return RULES.read(reply, Asked(ask, kind), TODAY)


def chat(reply: str) -> Understanding:
    return read(DAYS, reply, AnswerType.OPEN)


@pytest.mark.parametrize(("ask", "reply"), [
    (MISSED, "been awful"),
    (MISSED, "my hip's been awful"),
    (MISSED, "it has been awful this hip"),
    (MISSED, "the garden's been awful this year"),
    (MISSED, "I missed my daughter's birthday"),
    (MISSED, "I missed the bus"),
    (MISSED, "I forgot your name"),
    (TAKEN, "I took my temperature"),
    (TAKEN, "I have my breakfast every morning"),
    (MISSED, "I never miss my program on TV"),
    (MISSED, "I stopped the newspaper"),
    (MISSED, "I gave up smoking years ago"),
    (MISSED, "I take a walk every morning"),
    (MISSED, "never mind, forget it"),
    (TAKEN, "I take a walk every morning"),
    (TAKEN, "I took a walk"),
    (TAKEN, "I took the dog out"),
    (TAKEN, "I have my grandchildren every weekend"),
    (TAKEN, "I had the plumber in"),
    (REDUCER, "I take a walk every morning"),
    (FEVER, "my hip's been awful"),
    (FEVER, "the weather has been terrible"),
    (FEVER, "the kettle is boiling"),
    (COUGH, "my garden is looking lovely"),
    (COUGH, "the bus was late, it's a nuisance"),
    (FALL, "the roses are doing fine"),
    (FALL, "that film was terrible"),
    (FALL, "I fell out with my neighbor"),
    (FALL, "the price of gas fell"),
    (MOOD, "the sink is blocked again, it's down in the basement"),
    (MOOD, "my sister is fine"),
    (MOOD, "I went down to the shops"),
    (EATEN, "I see my sister every morning"),
    (EATEN, "I fed the cat"),
    (OUT, "I watch the news every evening"),
    (EXERCISE, "my knees are terrible"),
    (SLEEP, "I forgot my glasses"),
    (SLEEP, "the dog dug up all the tulips"),
])  # fmt: skip
def test_what_is_off_topic_answers_nothing(ask: str, reply: str) -> None:
    answer = read(ask, reply).answer
    assert answer is None or answer.value is Ternary.UNKNOWN


@pytest.mark.parametrize(("ask", "reply", "expected"), [
    (MOOD, "no I'm all right", "no"),
    (MOOD, "no I'm fine, just the usual aches", "no"),
    (MOOD, "no my legs are heavy that's all", "no"),
    (MISSED, "never", "no"),
    (MISSED, "I stopped taking them", "yes"),
    (MISSED, "I missed a day", "yes"),
    (MISSED, "I keep forgetting", "yes"),
    (MOOD, "the evenings are terrible", "yes"),
    (MISSED, "I take them every morning", "no"),
    (TAKEN, "I take it every morning", "yes"),
    (HEALTH, "my hip's been awful", "yes"),
    (FEVER, "my temperature's been awful", "yes"),
    (COUGH, "the cough's been terrible", "yes"),
    (EXERCISE, "I take a walk every morning", "yes"),
])  # fmt: skip
def test_what_is_on_topic_answers(ask: str, reply: str, expected: str) -> None:
    answer = read(ask, reply).answer
    assert answer is not None
    assert answer.value == expected


@pytest.mark.parametrize(("reply", "expected"), [
    ("I can't smell a thing and I ache all over", {"anosmia": "yes", "myalgia": "yes"}),
    ("I don't sleep and my back hurts", {"poor_sleep": "yes", "pain": "yes"}),
    ("I take a walk every morning", {}),
    ("the squirrels dug up all the tulips", {}),
    ("never mind, forget it", {}),
    ("oh forget it", {}),
    ("I was up all night", {"poor_sleep": "yes"}),
])  # fmt: skip
def test_findings_told_are_those_meant(reply: str, expected: dict[str, str]) -> None:
    understanding = read(ELSE, reply, AnswerType.OPEN)
    assert {each.id: each.value for each in understanding.volunteered} == expected


@pytest.mark.parametrize("reply", [
    "stop calling me", "don't ring again", "take me off the list", "never ring me again", "cancel these calls",
    "I told you not to call me again", "would you stop calling me", "can you take my number off", "stop these calls",
    "twice a day is ridiculous stop ringing me", "I never agreed to this. Do not contact me again",
    "that's ridiculous, don't call me",
    "I'm sick of you calling", "take me off this service",
    "don't you ever call here again", "no more calls please",
])  # fmt: skip
def test_a_wish_for_no_more_calls_opts_out(reply: str) -> None:
    assert chat(reply).intent is Intent.STOP_CALLING


@pytest.mark.parametrize("reply", [
    "I mark every question on my paper and when I'm done I end the call", "you can end the call",
    "I don't want to stop these calls, I like them", "please don't take me off the list",
    "my kids never leave me alone", "drop me off at church", "my daughter takes me out of the house",
    "take me out for dinner", "the dogs don't bother me", "they do not call any more", "I did not want it",
    "my son doesn't ring me any more", "I'm fed up with it, all this rain", "I stopped calling him years ago",
    "he won't stop calling me love", "I withdraw my pension on Fridays", "I told the bank to stop the payments",
    "I told them to take me off the antibiotics", "don't call me Mrs, call me Jean", "don't call the ambulance",
])  # fmt: skip
def test_nobody_is_opted_out_by_other_words(reply: str) -> None:
    assert chat(reply).intent is not Intent.STOP_CALLING


@pytest.mark.parametrize("reply", [
    "I want to take all my pills", "I'm going to take all the tablets", "I've thought of taking too many pills",
    "I took all my pills at once", "I've been saving up my pills", "I took a handful of pills",
    "I took the whole packet of pills", "I took twenty of my pills", "I've taken thirty tablets",
    "I swallowed the whole bottle", "if I took all my pills it'd be over", "I just want it all to stop",
])  # fmt: skip
def test_a_wish_or_plan_to_die_is_heard(reply: str) -> None:
    assert "suicidal_intent" in {each.id for each in chat(reply).red_flags}


@pytest.mark.parametrize("reply", [
    "the doctor wants me to take all these pills", "I can't go on the stairs",
    "I take twenty pills a day", "I took three pills",
    "tell me to take two pills", "yes I took all my pills", "I take all my tablets", "I have tablets till Friday",
    "I collect my tablets from the pharmacy", "all the grandchildren came at once", "the show was about suicide",
    "I want it over with, this dentist thing", "I want this finished by Friday", "we said my goodbyes at the station",
    "everything is ready for the party to go", "I could have died laughing", "I ate a whole bag of cookies in one go",
])  # fmt: skip
def test_pills_and_endings_of_other_things_are_no_danger(reply: str) -> None:
    assert chat(reply).red_flags == ()


@pytest.mark.parametrize("ask", [HEALTH, DAYS, MOOD])
@pytest.mark.parametrize("reply", ["no nothing hurts", "nothing special", "no nothing special", "no trouble at all"])
def test_nothing_wrong_is_not_met_with_regret(ask: str, reply: str) -> None:
    kind = AnswerType.OPEN if ask is DAYS else AnswerType.YES_NO
    assert read(ask, reply, kind).feeling in (Feeling.GOOD, Feeling.NEUTRAL)
