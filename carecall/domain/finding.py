"""What a call found out: findings, each resting on evidence."""

from dataclasses import dataclass
from enum import StrEnum


class AnswerType(StrEnum):
    """What kind of value a question is after."""

    YES_NO = "yes_no"  # a Ternary
    NUMBER = "number"  # a float in the question's unit
    DURATION_DAYS = "duration_days"  # whole days from the first day to the day of the call
    CHOICE = "choice"  # the id of one of the question's choices
    OPEN = "open"  # whatever is said; what it states becomes findings of its own


class Unit(StrEnum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"
    HOURS = "hours"
    MEALS = "meals"
    SCORE_0_10 = "score_0_10"


class Ternary(StrEnum):
    """Three values: unknown is never no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Layer(StrEnum):
    """Which layer of understanding decided."""

    RULES = "rules"
    LLM = "llm"
    POLICY = "policy"  # not heard but known: not asked, silence


class Missing(StrEnum):
    """Why a finding has no value. Stands where a value would stand."""

    NOT_ASKED = "not_asked"  # the call ended first
    NO_ANSWER = "no_answer"  # asked as often as allowed, no usable answer


FindingValue = Ternary | Missing | float | str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The words that a finding rests on."""

    turn: int  # index of the recipient's turn in the call
    quote: str  # the words, exactly as they stand in that turn's text
    start_s: float | None = None  # the turn's start in seconds from the start of the call's audio


@dataclass(frozen=True, slots=True)
class Finding:
    """One value of a report."""

    code: str  # the question's code or a finding id of the lexicon
    value: FindingValue
    evidence: tuple[Evidence, ...] = ()
    layer: Layer = Layer.RULES
    unit: Unit | None = None


Findings = dict[str, Finding]  # by code; the latest statement wins
