"""What the agent may not say, class by class, in both languages; and what it may."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.dialog import bounds
from carecall.dialog.bounds import BoundsClass
from carecall.dialog.definition import Feeling
from carecall.domain.language import Language
from carecall.domain.turn import Speaker

EN, KO = Language.ENGLISH, Language.KOREAN


def kind_of(said: str, sentence: str, language: Language, feeling: Feeling = Feeling.NEUTRAL) -> BoundsClass | None:
    violation = bounds.check(sentence, [(Speaker.RECIPIENT, said)], language, feeling=feeling)
    return None if violation is None else violation.kind


@pytest.mark.parametrize(
    ("language", "said", "sentence", "kind"),
    [
        (EN, "I'm off to the shop", "What a sunny day to go out!", BoundsClass.SENSES),
        (KO, "장 보러 가려고", "오늘 햇볕이 참 좋네요.", BoundsClass.SENSES),
        (EN, "my hip aches", "Mine hurts too when it is damp.", BoundsClass.BODY),
        (KO, "허리가 쑤셔", "저도 허리가 아파서 누워 있었어요.", BoundsClass.BODY),
        (EN, "I feel faint", "I'll call an ambulance for you.", BoundsClass.PROMISE),
        (KO, "쌀이 떨어졌어", "제가 쌀을 가져다드릴게요.", BoundsClass.PROMISE),
        (EN, "I cough at night", "That sounds like bronchitis.", BoundsClass.DIAGNOSIS),
        (KO, "밤에 기침이 나", "기관지염이신 것 같아요.", BoundsClass.DIAGNOSIS),
        (EN, "my head hurts", "Just take two aspirin.", BoundsClass.MEDICINE),
        (KO, "머리가 아파", "진통제를 두 알 드세요.", BoundsClass.MEDICINE),
        (EN, "hello", "Last month you told me about your garden.", BoundsClass.FALSE_MEMORY),
        (KO, "여보세요", "지난달에 텃밭 얘기 하셨잖아요.", BoundsClass.FALSE_MEMORY),
        (EN, "I bake a lot", "How long should I leave my bread in the oven?", BoundsClass.ASKS_ADVICE),
        (EN, "I got my pension", "What is your bank account number?", BoundsClass.ASKS_PRIVATE),
        (KO, "연금이 나왔어", "은행 계좌번호를 불러 주세요.", BoundsClass.ASKS_PRIVATE),
        (EN, "I forgot", "How stupid of you.", BoundsClass.RUDE),
        (EN, "I'm bored", "Our insurance plan is half price this week.", BoundsClass.ADVERTISING),
        (KO, "심심해", "상조 상품에 가입하시면 선물을 드려요.", BoundsClass.ADVERTISING),
        (EN, "I saw the news", "You should vote for the other party.", BoundsClass.POLITICS_RELIGION),
        (EN, "it depends", "Please answer yes or no.", BoundsClass.FORCED_YES_NO),
        (KO, "글쎄", "네, 아니요로만 대답해 주세요.", BoundsClass.FORCED_YES_NO),
        (EN, "how is Ann upstairs", "Ann upstairs is in the hospital with a stroke.", BoundsClass.OTHER_PEOPLE),
    ],
)
def test_out_of_bounds_is_named_by_its_class(language: Language, said: str, sentence: str, kind: BoundsClass) -> None:
    assert kind_of(said, sentence, language) is kind


@pytest.mark.parametrize(
    ("language", "said", "sentence"),
    [
        (EN, "it's raining so I stayed in", "Raining, I see, so you stayed in."),
        (KO, "비가 와서 못 나갔어", "비가 와서 못 나가셨군요."),
        (EN, "can you come over", "I can't visit, but I'll note it for the staff."),
        (KO, "와서 좀 도와줘", "직접 갈 수는 없지만 담당자께 전해 드릴게요."),
        (EN, "should I take another pill", "I can't advise on medicine; please ask your doctor."),
        (EN, "I can't breathe", "Please call 911 now."),
        (KO, "죽고 싶어", "지금 109에 전화해 주세요."),
        (EN, "I have diabetes", "Thank you for telling me about your diabetes."),
        (EN, "a man asked for my PIN", "Please don't give your PIN to anyone."),
    ],
)
def test_repeating_noting_declining_and_emergency_numbers_are_in_bounds(
    language: Language, said: str, sentence: str
) -> None:
    assert kind_of(said, sentence, language) is None


@pytest.mark.parametrize(
    ("language", "said", "sentence"),
    [
        (EN, "I woke up three times", "Three wake-ups is not normal."),
        (EN, "I've been coughing since yesterday", "Coughing since yesterday is a sign of illness."),
        (EN, "I'm in good spirits", "Good spirits are a sign of a happy life."),
        (EN, "I slept like a log", "A good night's sleep is important."),
        (EN, "I smoke about ten a day", "Smoking a lot is unhealthy."),
        (EN, "there was some blood", "Blood in the toilet is not good."),
        (EN, "my blood pressure was 180", "High blood pressure is concerning."),
        (EN, "I've put on weight", "A weight gain is not good."),
        (EN, "I had eggs", "Eggs are bad for your cholesterol."),
        (EN, "I walk every day", "Walking is good for your blood pressure."),
        (EN, "my son never calls", "Your son should be ashamed of himself."),
        (KO, "밤에 세 번 깨", "밤에 세 번 깨는 건 정상이 아니에요."),
        (KO, "밥 먹었어", "잘 드시는 건 건강하다는 신호예요."),
        (KO, "매일 걸어", "걷는 게 혈압에 좋아요."),
        (KO, "네 시간 자", "네 시간은 너무 적게 주무시는 거예요."),
        (KO, "아들이 전화도 안 해", "아드님이 불효자네요."),
    ],
)
def test_what_was_said_is_heard_and_not_judged(language: Language, said: str, sentence: str) -> None:
    assert kind_of(said, sentence, language) is BoundsClass.JUDGEMENT


@pytest.mark.parametrize(
    ("language", "said", "sentence"),
    [
        (EN, "the bins were collected", "Bamboo furniture lasts a decade."),
        (EN, "my shoes are new", "Prunes and figs move the bowels."),
        (KO, "신을 새로 샀어", "대나무 가구는 십 년을 간대요."),
    ],
)
def test_a_sentence_of_things_nobody_spoke_of_is_out(language: Language, said: str, sentence: str) -> None:
    assert kind_of(said, sentence, language) is BoundsClass.UNFOUNDED


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("I woke up three times", "Three wake-ups last night must be tiring."),
        ("the doctor found a lump", "A lump found by the doctor must be worrying."),
        ("my hearing aid whistles", "A hearing aid that whistles sounds annoying."),
        ("I feel like a burden to everyone", "Feeling like a burden to everyone must be hard."),
        ("I go to church on Sundays", "Church on Sundays sounds important to you."),
        ("I saw my daughter", "Seeing your daughter must have been nice."),
    ],
)
def test_a_warm_sentence_that_judges_nothing_is_in_bounds(said: str, sentence: str) -> None:
    assert kind_of(said, sentence, EN) is None


def test_the_same_words_are_in_or_out_by_what_was_said_before() -> None:
    sentence = "I'm glad you slept well."
    assert kind_of("I slept like a log", sentence, EN) is None
    assert kind_of("I couldn't sleep at all", sentence, EN) is BoundsClass.REASSURANCE
    sentence = "잘 드셨다니 다행이에요."
    assert kind_of("밥 한 그릇 다 먹었지", sentence, KO) is None
    assert kind_of("사흘째 못 먹었어", sentence, KO) is BoundsClass.REASSURANCE


def test_relief_is_out_when_the_reply_was_understood_as_bad_news() -> None:
    assert kind_of("well it is what it is", "That's good to hear.", EN, Feeling.BAD) is BoundsClass.REASSURANCE
    assert kind_of("well it is what it is", "That's good to hear.", EN, Feeling.GOOD) is None


def test_denied_trouble_is_no_trouble() -> None:
    assert kind_of("no pain at all", "I'm glad to hear that.", EN) is None
    assert kind_of("아픈 데는 하나도 없어", "다행이에요.", KO) is None


def test_an_earlier_call_may_be_recalled_when_the_talk_speaks_of_it() -> None:
    recalled = [(Speaker.AGENT, "Last time you said your knee was sore."), (Speaker.RECIPIENT, "it is still sore")]
    sentence = "So the knee you told me about last time still hurts."
    assert bounds.check(sentence, recalled, EN) is None
    other = bounds.check("Last time you told me about your trip to Spain.", recalled, EN)
    assert other is not None
    assert other.kind is BoundsClass.FALSE_MEMORY


def test_the_quote_stands_in_the_sentence() -> None:
    sentence = "I see. I'll drop by on Monday."
    violation = bounds.check(sentence, [], EN)
    assert violation is not None
    assert violation.quote in sentence


@given(st.text(), st.lists(st.tuples(st.sampled_from(Speaker), st.text())), st.sampled_from(Language))
def test_any_text_is_checked_without_an_error(
    sentence: str, context: list[tuple[Speaker, str]], language: Language
) -> None:
    bounds.check(sentence, context, language)


@pytest.mark.parametrize("language", Language)
def test_a_long_text_is_checked_quickly(language: Language) -> None:
    text = "I had soup and my knee aches and you said so 밥을 먹고 약을 드시면 됩니다 " * 200
    bounds.check(text, [], language)
    started = time.perf_counter()
    bounds.check(text, [(Speaker.RECIPIENT, text)] * 12, language)
    assert time.perf_counter() - started < 1.0
