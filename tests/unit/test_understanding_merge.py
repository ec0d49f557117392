"""Two layers' understandings made one: danger is never dropped, answers go by reliability, dispute is confirmed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.dialog.intake import SURE
from carecall.dialog.understanding.llm_layer import reliability_of
from carecall.dialog.understanding.meaning import AnswerReading, FindingReading, Intent, RedFlagReading, Understanding
from carecall.dialog.understanding.merge import Reliability, merge
from carecall.domain.finding import Layer, Ternary

WEAK = Reliability(0.55, red_flags=False, writes_korean=False)
STRONG = Reliability(0.9, red_flags=True, writes_korean=True)


def rules(value: Ternary | None, confidence: float = 0.9, intent: Intent = Intent.ANSWER) -> Understanding:
    return Understanding(intent, None if value is None else AnswerReading(value, "words", confidence))


def llm(value: Ternary) -> Understanding:
    return Understanding(Intent.ANSWER, AnswerReading(value, "words", 1.0, Layer.LLM))


def test_without_a_model_the_rules_stand() -> None:
    assert merge(rules(Ternary.YES), None, WEAK) == rules(Ternary.YES)


@given(
    st.lists(st.sampled_from("abc"), max_size=3, unique=True), st.lists(st.sampled_from("abc"), max_size=3, unique=True)
)
def test_red_flags_are_the_union(first: list[str], second: list[str]) -> None:
    ours = Understanding(Intent.ANSWER, red_flags=tuple(RedFlagReading(each, "r") for each in first))
    theirs = Understanding(Intent.ANSWER, red_flags=tuple(RedFlagReading(each, "m", Layer.LLM) for each in second))
    merged = merge(ours, theirs, WEAK).red_flags
    assert sorted(flag.id for flag in merged) == sorted({*first, *second})
    assert all(flag.layer is Layer.RULES for flag in merged if flag.id in first)


@pytest.mark.parametrize("missing", [rules(None), rules(Ternary.UNKNOWN)])
def test_a_strong_model_fills_what_rules_leave_open(missing: Understanding) -> None:
    merged = merge(missing, llm(Ternary.NO), STRONG).answer
    assert merged is not None
    assert merged.value is Ternary.NO
    assert merged.confidence >= SURE


def test_a_weak_models_answer_is_too_unsure_to_be_recorded() -> None:
    merged = merge(rules(None), llm(Ternary.NO), WEAK).answer
    assert merged is not None
    assert merged.confidence < SURE


def test_what_both_say_is_surer() -> None:
    merged = merge(rules(Ternary.YES, 0.5), llm(Ternary.YES), WEAK).answer
    assert merged is not None
    assert merged.confidence > SURE
    assert merged.layer is Layer.RULES


def test_a_dispute_of_equals_is_to_be_confirmed() -> None:
    merged = merge(rules(Ternary.YES, 0.85), llm(Ternary.NO), STRONG).answer
    assert merged is not None
    assert merged.confidence < SURE


def test_a_clearly_better_layer_decides() -> None:
    merged = merge(rules(Ternary.YES, 0.5), llm(Ternary.NO), STRONG).answer
    assert merged is not None
    assert merged.value is Ternary.NO
    assert merged.confidence >= SURE


def test_a_models_unknown_takes_nothing_away() -> None:
    assert merge(rules(Ternary.YES, 0.5), llm(Ternary.UNKNOWN), STRONG).answer == rules(Ternary.YES, 0.5).answer


def test_the_rules_word_on_a_finding_stands() -> None:
    ours = Understanding(Intent.ANSWER, volunteered=(FindingReading("cough", Ternary.NO, "r"),))
    theirs = Understanding(
        Intent.ANSWER,
        volunteered=(FindingReading("cough", Ternary.YES, "m"), FindingReading("fever", Ternary.YES, "m")),
    )
    assert [(each.id, each.value) for each in merge(ours, theirs, STRONG).volunteered] == [
        ("cough", Ternary.NO),
        ("fever", Ternary.YES),
    ]


def test_an_unclear_reply_that_the_model_reads_is_an_answer() -> None:
    assert merge(rules(None, intent=Intent.UNCLEAR), llm(Ternary.YES), STRONG).intent is Intent.ANSWER


@pytest.mark.parametrize(
    ("name", "trusted"),
    [("qwen2.5-coder-1.5b", False), ("Qwen2.5-0.5B-Instruct", False), ("llama-3.1-70b", True), ("gpt-large", True)],
)
def test_a_model_is_trusted_by_its_size(name: str, trusted: bool) -> None:
    assert (reliability_of(name).answer >= SURE) is trusted
