"""Merges what the layers understood: red flags are the union, answers go by measured reliability."""

from dataclasses import dataclass, replace

from carecall.dialog.understanding.meaning import AnswerReading, Intent, Understanding
from carecall.domain.finding import Ternary

CLEARLY_BETTER = 0.25  # a layer that is more reliable by this much decides alone
DISPUTED = 0.5  # the confidence of a reading that another layer contradicts


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a language model can be trusted with, as measured."""

    answer: float  # how often its reading of an answer is right, 0 to 1
    red_flags: bool  # whether its danger signs are worth hearing
    writes_korean: bool  # whether its Korean may be spoken


def merge(rules: Understanding, llm: Understanding | None, reliability: Reliability) -> Understanding:
    """One understanding out of the rule layer's and the language model's. Red flags are never dropped."""
    if llm is None:
        return rules
    answer = _answer(rules.answer, llm.answer, reliability)
    stated = {reading.id for reading in rules.volunteered}
    flagged = {reading.id for reading in rules.red_flags}
    decided = answer is not None and answer is not rules.answer and rules.intent is Intent.UNCLEAR
    return replace(
        rules,
        intent=Intent.ANSWER if decided else rules.intent,
        answer=answer,
        volunteered=(*rules.volunteered, *(each for each in llm.volunteered if each.id not in stated)),
        red_flags=(*rules.red_flags, *(each for each in llm.red_flags if each.id not in flagged)),
    )


def _answer(rules: AnswerReading | None, llm: AnswerReading | None, reliability: Reliability) -> AnswerReading | None:
    if llm is None or llm.value is None or llm.value is Ternary.UNKNOWN:
        return rules
    llm = replace(llm, confidence=min(llm.confidence, reliability.answer))
    if rules is None or rules.value is None or rules.value is Ternary.UNKNOWN:
        return llm
    if rules.value == llm.value:
        return replace(rules, confidence=1 - (1 - rules.confidence) * (1 - llm.confidence))
    better, worse = (rules, llm) if rules.confidence >= llm.confidence else (llm, rules)
    if better.confidence - worse.confidence >= CLEARLY_BETTER:
        return better
    return replace(better, confidence=min(better.confidence, DISPUTED))
