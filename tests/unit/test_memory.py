"""Memory: what becomes of new sentences, what a call is remembered by, and what is asked about again."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.domain.finding import Evidence, Finding, Ternary
from carecall.domain.language import Language
from carecall.domain.turn import Speaker, Turn
from carecall.memory.extraction import extract
from carecall.memory.memory import Memory, Topic
from carecall.memory.operations import Operation, update
from carecall.memory.recall import follow_ups

EN, KO = Language.ENGLISH, Language.KOREAN
TODAY = datetime.date(2026, 3, 20)


@pytest.mark.parametrize(
    ("language", "stored", "new", "operation"),
    [
        (EN, "Keeps a cat called Mimi.", "Has a cat named Mimi.", Operation.PASS),
        (EN, "Walks every day.", "Goes for a daily walk.", Operation.PASS),
        (EN, "Sleeps five hours a night.", "Sleeps about seven hours a night.", Operation.REPLACE),
        (EN, "Knee surgery is next month.", "Had knee surgery.", Operation.REPLACE),
        (EN, "Son lives in Texas.", "Son moved to Oregon.", Operation.REPLACE),
        (EN, "Has a sore knee.", "Has a sore hip.", Operation.APPEND),
        (EN, "Takes a water pill.", "Takes a blood pressure pill.", Operation.APPEND),
        (EN, "Has a cough.", "Cough is gone.", Operation.DELETE),
        (EN, "Cannot smell.", "Can smell again.", Operation.DELETE),
        (KO, "매일 공원에서 걷는다.", "날마다 공원을 산책한다.", Operation.PASS),
        (KO, "하루 다섯 시간 잔다.", "하루 일곱 시간 잔다.", Operation.REPLACE),
        (KO, "무릎 수술을 앞두고 있다.", "무릎 수술을 받았다.", Operation.REPLACE),
        (KO, "혈압약을 먹는다.", "당뇨약을 먹는다.", Operation.APPEND),
        (KO, "담배를 피운다.", "담배를 끊었다.", Operation.DELETE),
        (EN, "Swims twice a week.", "Goes to the pool two times a week.", Operation.PASS),
        (EN, "Skips lunch.", "Does not eat lunch.", Operation.PASS),
        (EN, "Lives in a flat in Leeds.", "Moved to a bungalow in York.", Operation.REPLACE),
        (EN, "Walks thirty minutes a day.", "Walks an hour a day.", Operation.REPLACE),
        (EN, "Skips breakfast.", "Eats breakfast again.", Operation.DELETE),
        (EN, "Ankle is swollen.", "Swelling has gone down.", Operation.DELETE),
        (KO, "고양이를 두 마리 키운다.", "고양이 두 마리와 산다.", Operation.PASS),
        (KO, "부산 아파트에 산다.", "대구로 이사했다.", Operation.REPLACE),
        (KO, "하루 삼십 분 걷는다.", "하루 한 시간 걷는다.", Operation.REPLACE),
        (KO, "항생제를 먹는다.", "항생제를 다 먹었다.", Operation.DELETE),
        (KO, "우울하다.", "기분이 다시 밝아졌다.", Operation.DELETE),
    ],
)
def test_a_new_sentence_is_known_newer_new_or_the_end_of_one(
    language: Language, stored: str, new: str, operation: Operation
) -> None:
    outcome = update([stored], [new], language)
    assert outcome.decisions[0].operation is operation
    expected = {
        Operation.PASS: (stored,),
        Operation.REPLACE: (new,),
        Operation.APPEND: (stored, new),
        Operation.DELETE: (),
    }
    assert outcome.sentences == expected[operation]


def test_the_end_of_something_unknown_is_remembered_as_it_is() -> None:
    assert update([], ["No longer drives."], EN).sentences == ("No longer drives.",)


def test_a_death_ends_no_memory_of_a_person() -> None:
    assert "Wife was a teacher." in update(["Wife was a teacher."], ["Wife died in May."], EN).sentences


@given(st.lists(st.text(max_size=40), max_size=6), st.lists(st.text(max_size=40), max_size=6))
def test_every_sentence_kept_is_word_for_word_a_stored_or_a_new_one(stored: list[str], new: list[str]) -> None:
    outcome = update(stored, new, EN)
    assert set(outcome.sentences) <= set(stored) | set(new)
    assert [decision.new for decision in outcome.decisions] == list(dict.fromkeys(new))


def test_nothing_changes_when_all_is_known() -> None:
    stored = ["Has a dog named Rex.", "Walks every morning."]
    assert update(stored, stored, EN).sentences == tuple(stored)


def turns(*texts: str) -> list[Turn]:
    speakers = (Speaker.AGENT, Speaker.RECIPIENT)
    return [Turn(index, speakers[index % 2], text, 0.0, 0.0) for index, text in enumerate(texts)]


def test_a_call_is_remembered_in_the_third_person_with_its_turns() -> None:
    found = extract(turns("How are you?", "I swim twice a week", "And at home?", "my dog Rex keeps me busy"), EN)
    assert [(each.text, each.topic, each.source_turn) for each in found] == [
        ("Swims twice a week.", Topic.EXERCISE, 1),
        ("Has a dog named Rex.", Topic.PETS, 3),
    ]


def test_a_korean_call_is_remembered_in_written_form() -> None:
    found = extract(turns("어떠세요?", "허리가 아파요", "식사는요?", "수영장에 일주일에 두 번 다녀"), KO)
    assert [each.text for each in found] == ["허리가 아프다.", "수영장에 일주일에 두 번 다닌다."]


def test_what_the_agent_says_and_what_is_only_asked_or_wished_is_not_remembered() -> None:
    said = turns("Your knee hurts, does it?", "how is your dog?", "I have a dog.", "I wish I had a dog")
    assert extract(said, EN) == ()


@pytest.mark.parametrize(
    ("language", "asked", "said", "text"),
    [
        (EN, "How are you?", "planted lettuces", "Planted lettuces."),
        (EN, "How are you?", "sleeping better now", "Is sleeping better."),
        (EN, "How are you?", "knee's a bit better", "Knee is a bit better."),
        (EN, "How are you?", "the cat died", "Cat died."),
        (EN, "How is your hip now?", "still hurts", "Has a sore hip."),
        (KO, "어떠세요?", "무릎은 좀 나았어", "무릎은 나았다."),
        (KO, "허리는 좀 어떠세요?", "아직도 쑤셔요", "허리가 쑤신다."),
    ],
)
def test_what_is_said_without_a_subject_becomes_a_sentence(
    language: Language, asked: str, said: str, text: str
) -> None:
    assert [each.text for each in extract(turns(asked, said), language)] == [text]


def test_a_finding_that_is_present_is_remembered_from_the_turn_of_its_evidence() -> None:
    findings = [
        Finding("dizziness", Ternary.YES, (Evidence(1, "head swims"),)),
        Finding("cough", Ternary.NO, (Evidence(1, "no cough"),)),
    ]
    found = extract(turns("How are you?", "my head swims"), EN, findings)
    assert ("Gets dizzy.", 1) in [(each.text, each.source_turn) for each in found]
    assert "Has a cough." not in [each.text for each in found]


def remembered(
    text: str, topic: Topic, days_ago: int = 7, *, asked: bool = False, chronic: bool = False, id_: str = "a"
) -> Memory:
    created = TODAY - datetime.timedelta(days=days_ago)
    return Memory(id_, text, topic, created, 1, chronic=chronic, followed_up_on=created if asked else None)


def test_at_most_two_things_of_different_topics_are_asked_about_again() -> None:
    memories = [
        remembered("Has a sore hip.", Topic.HEALTH, id_="a"),
        remembered("Has a cold.", Topic.HEALTH, id_="b"),
        remembered("Has trouble sleeping.", Topic.SLEEP, id_="c"),
        remembered("Eats one meal a day.", Topic.MEALS, id_="d"),
    ]
    chosen = follow_ups(memories, TODAY, EN)
    assert [each.memory.id for each in chosen] == ["a", "c"]
    assert chosen[0].question == "Last time you told me that you have a sore hip. How is it now?"


@pytest.mark.parametrize(
    "memory",
    [
        remembered("Has a sore hip.", Topic.HEALTH, asked=True),
        remembered("Has a sore hip.", Topic.HEALTH, chronic=True),
        remembered("Has diabetes.", Topic.HEALTH),
        remembered("Has a sore hip.", Topic.HEALTH, days_ago=0),
        remembered("Has a sore hip.", Topic.HEALTH, days_ago=200),
        remembered("Cough is gone.", Topic.HEALTH),
    ],
)
def test_what_was_asked_lasts_is_old_or_is_over_is_left_alone(memory: Memory) -> None:
    assert follow_ups([memory], TODAY, EN) == ()


def test_a_korean_follow_up_quotes_what_was_said() -> None:
    (chosen,) = follow_ups([remembered("허리가 아프다.", Topic.HEALTH)], TODAY, KO)
    assert chosen.question == "지난번에 허리가 아프다고 하셨는데, 지금은 좀 어떠세요?"


def test_news_of_a_person_leaves_other_things_about_them_alone() -> None:
    stored = ["Daughter is due in May.", "Daughter lives in Ohio."]
    outcome = update(stored, ["Daughter no longer calls."], EN)
    assert outcome.sentences == (*stored, "Daughter no longer calls.")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (EN, "I can't manage three meals a day"),
        (KO, "세 끼를 다 못 먹어"),
        (EN, "my back doesn't hurt"),
        (EN, "I have no cough"),
    ],
)
def test_a_denial_is_not_remembered_as_its_opposite(language: Language, said: str) -> None:
    remembered_texts = {each.text for each in extract(turns("How are you?", said), language)}
    assert not remembered_texts & {"Eats three meals a day.", "하루 세 끼를 먹는다.", "Has a sore back.", "Has cough."}
