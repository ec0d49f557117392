"""What a care worker typed in place of a finding, read by the kind of answer that belongs there."""

import math

from carecall.dialog.definition import Question
from carecall.domain.finding import AnswerType, FindingValue, Missing, Ternary, Unit

MOST_WORDS = 500  # characters
_LIMITS = {
    Unit.CELSIUS: (30.0, 45.0),
    Unit.FAHRENHEIT: (86.0, 113.0),
    Unit.HOURS: (0.0, 24.0),
    Unit.MEALS: (0.0, 12.0),
    Unit.SCORE_0_10: (0.0, 10.0),
}
_DAYS = (0.0, 3650.0)


class WrongValue(ValueError):
    """``key`` is the text that says what is wrong."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


def limits(kind: AnswerType, unit: Unit | None) -> tuple[float, float] | None:
    """The least and the most that a number may be."""
    return _DAYS if kind is AnswerType.DURATION_DAYS else _LIMITS.get(unit) if unit else None


def read_value(kind: AnswerType, unit: Unit | None, question: Question | None, typed: str) -> FindingValue:
    """The value; where one is chosen, ``no_answer`` is that there is none. Raises WrongValue."""
    text = typed.strip()
    if text == Missing.NO_ANSWER and kind in (AnswerType.YES_NO, AnswerType.CHOICE):
        return Missing.NO_ANSWER
    match kind:
        case AnswerType.YES_NO:
            if text not in set(Ternary):
                raise WrongValue("call.wrong_choice")
            return Ternary(text)
        case AnswerType.NUMBER | AnswerType.DURATION_DAYS:
            return _number(kind, unit, text)
        case AnswerType.CHOICE:
            if question is None or text not in {choice.id for choice in question.choices}:
                raise WrongValue("call.wrong_choice")
            return text
        case AnswerType.OPEN:
            if not text or len(text) > MOST_WORDS:
                raise WrongValue("call.wrong_words", most=MOST_WORDS)
            return text


def _number(kind: AnswerType, unit: Unit | None, text: str) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise WrongValue("call.wrong_number") from None
    if not math.isfinite(value):
        raise WrongValue("call.wrong_number")
    least, most = limits(kind, unit) or (-math.inf, math.inf)
    if not least <= value <= most:
        raise WrongValue("call.wrong_range", least=f"{least:g}", most=f"{most:g}")
    if kind is AnswerType.DURATION_DAYS and value != int(value):
        raise WrongValue("call.wrong_number")
    return value
