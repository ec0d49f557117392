"""Which English replies cannot wait, and what is said to them."""

import datetime
from pathlib import Path

import pytest

from carecall.dialog.red_flags import load_red_flag_phrases, load_red_flags
from carecall.dialog.understanding.english import EnglishRules
from carecall.dialog.understanding.lexicon import VocabularyError
from carecall.dialog.understanding.meaning import Asked
from carecall.domain.language import Language
from carecall.domain.triage import Urgency
from carecall.settings import settings

RULES = EnglishRules()
FLAGS = load_red_flags(settings().dialogs_dir, Language.ENGLISH)


def red_flags(reply: str) -> set[str]:
    understanding = RULES.read(reply, Asked("How are you feeling today?"), datetime.date(2025, 3, 12))
    assert all(each.quote in reply for each in understanding.red_flags)
    return {each.id for each in understanding.red_flags}


DANGERS = [
    ("I've got a terrible pressure on my chest", "chest_pain"),
    ("my chest hurts real bad", "chest_pain"),
    ("it feels like somebody's standing on my chest", "chest_pain"),
    ("there's a tightness across my chest and down my arm", "chest_pain"),
    ("I think I'm having a heart attack", "chest_pain"),
    ("I can't breathe", "breathing_difficulty"),
    ("I'm gasping for air here", "breathing_difficulty"),
    ("I can't seem to get my breath even sitting down", "breathing_difficulty"),
    ("struggling to breathe since this morning", "breathing_difficulty"),
    ("my husband can't breathe", "breathing_difficulty"),
    ("my face has gone all droopy on one side", "stroke_signs"),
    ("I can't move my left arm", "stroke_signs"),
    ("my speech is coming out all slurred", "stroke_signs"),
    ("suddenly I can't see out of my right eye", "stroke_signs"),
    ("worst headache I've ever had, came on all of a sudden", "stroke_signs"),
    ("the whole right side of my body has gone numb", "stroke_signs"),
    ("I passed out this morning in the hall", "unconscious_or_confused"),
    ("I can't wake my husband up", "unconscious_or_confused"),
    ("I don't know where I am", "unconscious_or_confused"),
    ("my wife fainted and she won't wake up", "unconscious_or_confused"),
    ("the blood won't stop", "severe_bleeding"),
    ("I've cut my leg and it's pouring with blood", "severe_bleeding"),
    ("I'm coughing up blood", "severe_bleeding"),
    ("I can't stop the bleeding", "severe_bleeding"),
    ("I fell and I can't get up", "fall_cannot_get_up"),
    ("I've been lying on the floor since last night", "fall_cannot_get_up"),
    ("I slipped in the bathroom and can't stand up", "fall_cannot_get_up"),
    ("I fell on my back in the garden and I can't get up", "fall_cannot_get_up"),
    ("I can't fill my lungs", "breathing_difficulty"),
    ("I want to kill myself", "suicidal_intent"),
    ("I don't want to live anymore", "suicidal_intent"),
    ("I wish I could go to sleep and never wake up", "suicidal_intent"),
    ("I've been saving up my pills to end it", "suicidal_intent"),
    ("everyone would be better off without me", "suicidal_intent"),
    ("there's no point in going on", "suicidal_intent"),
    ("my grandson punched me yesterday", "abuse_or_violence"),
    ("she won't let me eat", "abuse_or_violence"),
    ("he said he'd kill me if I told anyone", "abuse_or_violence"),
    ("my daughter locks me in the house all day", "abuse_or_violence"),
    ("I'm scared of my son", "abuse_or_violence"),
    ("there's nothing to eat in the house", "no_food_or_heat"),
    ("the furnace is broken and it's freezing in here", "no_food_or_heat"),
    ("haven't eaten for three days, there's no money", "no_food_or_heat"),
    ("I've had no heating since Monday", "no_food_or_heat"),
    ("my tongue is swelling up", "severe_allergic_reaction"),
    ("I've come out in hives all over", "severe_allergic_reaction"),
    ("my throat is closing up", "severe_allergic_reaction"),
    ("please send an ambulance", "asks_for_help"),
    ("help me please", "asks_for_help"),
    ("call 911", "asks_for_help"),
    ("somebody help me", "asks_for_help"),
]


@pytest.mark.parametrize(("reply", "expected"), DANGERS)
def test_danger_now_is_heard(reply: str, expected: str) -> None:
    assert expected in red_flags(reply)


NO_DANGERS = [
    # denied
    "no chest pain at all",
    "I'm not having any trouble breathing",
    "no I haven't fainted or anything",
    "I'd never hurt myself",
    "nobody hits me, they're very good to me",
    # over and settled
    "I had a heart attack in 1998 but I'm fine now",
    "I fell last week but I got up again on my own",
    "the heating was off yesterday but they fixed it",
    "I had a nosebleed and it stopped after a minute",
    "I was depressed years ago after my wife died and wanted to end it, but not now",
    # others elsewhere
    "my neighbor had a stroke last week poor thing",
    "my friend Betty fell and broke her hip",
    "the lady next door had to call an ambulance",
    # the screen
    "in the movie last night the man had a heart attack",
    "I was watching a show where he was beating his wife",
    # sayings
    "you're killing me, that's a good one",
    "I'm dying for a cup of tea",
    "my feet are killing me",
    "it took my breath away",
    "my granddaughter is drop dead gorgeous",
    "I nearly died laughing",
    "he beat me at cards again",
    "my heart aches for those poor people",
    "I could murder a cup of tea",
    "these prices are daylight robbery",
    "my daughter helps me with the shopping",
    "I'm starving, what's for lunch, I've a chicken in the oven",
    "I hit the hay early",
    "that film scared me to death",
    "it's freezing outside but lovely and warm in here",
]


@pytest.mark.parametrize("reply", NO_DANGERS)
def test_no_alarm_for_what_is_no_danger(reply: str) -> None:
    assert red_flags(reply) == set()


@pytest.mark.parametrize(
    "ending", [" and now I can't breathe", ". I fell and I can't get up.", " I want to kill myself"]
)
def test_danger_at_the_end_of_a_very_long_turn_is_heard(ending: str) -> None:
    story = (
        "my husband and I went to the sea years ago with the children and we sat on the pier and had ice cream and tea "
    )
    assert red_flags((story * 200)[:9_900] + ending)


def test_someone_at_home_in_danger_counts_and_someone_elsewhere_does_not() -> None:
    assert red_flags("my husband has collapsed in the kitchen") == {"unconscious_or_confused"}
    assert red_flags("my neighbor collapsed in the street") == set()


def test_emergency_texts_name_the_numbers_and_promise_nothing() -> None:
    for flag in FLAGS.values():
        said = " ".join(flag.say)
        assert "9 1 1" in said
        assert "we will send" not in said.lower()
        assert "i will call" not in said.lower()
        assert all(len(sentence.split()) <= 18 for sentence in flag.say + flag.stay_on_line)
    assert "9 8 8" in " ".join(FLAGS["suicidal_intent"].say)


def test_who_must_not_be_left_alone_is_kept_on_the_line() -> None:
    kept = {flag.id for flag in FLAGS.values() if flag.keep_on_line}
    assert kept == {"suicidal_intent", "abuse_or_violence", "fall_cannot_get_up"}
    assert all(FLAGS[each].stay_on_line for each in kept)


def _write(directory: Path, flag: str) -> Path:
    (directory / "red-flags.en.yaml").write_text(f'language: en\nversion: "1"\nflags:\n{flag}', encoding="utf-8")
    return directory


def test_a_flag_is_read_from_its_file(tmp_path: Path) -> None:
    directory = _write(tmp_path, "  - {id: fire, urgency: emergency, title: Fire, say: [Get out.], patterns: [fire]}\n")
    assert load_red_flags(directory, Language.ENGLISH)["fire"].urgency is Urgency.EMERGENCY
    assert load_red_flag_phrases(directory, Language.ENGLISH)["fire"].patterns.search("a fire here")


@pytest.mark.parametrize(("flag", "trouble"), [
    ("  - {id: fire, urgency: routine, title: Fire, say: [Go.], patterns: [fire]}\n", "must be emergency or urgent"),
    ("  - {id: fire, urgency: urgent, title: Fire, say: [Go.], patterns: ['(']}\n", "flags.fire.patterns.0"),
    ("  - {id: fire, urgency: urgent, title: Fire, say: [], patterns: [fire]}\n", "flags.0.say"),
    ("  - {id: fire, urgency: urgent, title: F, say: [Go.], patterns: [fire], keep_on_line: true}\n", "stay_on_line"),
])  # fmt: skip
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, flag: str, trouble: str) -> None:
    with pytest.raises(VocabularyError, match=trouble) as refusal:
        load_red_flag_phrases(_write(tmp_path, flag), Language.ENGLISH)
    assert "\n" not in str(refusal.value)
    assert "red-flags.en.yaml" in str(refusal.value)
