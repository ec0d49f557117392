"""The shape of an understanding: the answer to what was asked, volunteered findings, red flags, intent."""

from dataclasses import dataclass, field
from enum import StrEnum

from carecall.dialog.definition import Choice, Feeling
from carecall.domain.finding import AnswerType, Layer, Ternary, Unit


class Intent(StrEnum):
    """What a reply does."""

    ANSWER = "answer"
    REPEAT_REQUEST = "repeat_request"
    WAIT_REQUEST = "wait_request"
    CALL_LATER = "call_later"
    WRONG_PERSON = "wrong_person"
    STOP_CALLING = "stop_calling"
    MEDICAL_QUESTION = "medical_question"
    OUT_OF_SCOPE_QUESTION = "out_of_scope_question"
    SERVICE_REQUEST = "service_request"
    WANTS_HUMAN = "wants_human"
    GOODBYE = "goodbye"
    WHO_IS_THIS = "who_is_this"
    SMALL_TALK = "small_talk"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the recipient is replying to."""

    text: str  # the agent's words
    type: AnswerType = AnswerType.OPEN
    unit: Unit | None = None
    choices: tuple[Choice, ...] = ()
    about: tuple[str, ...] = ()  # lexicon finding ids the question is about; empty: to be read from the text


@dataclass(frozen=True, slots=True)
class AnswerReading:
    """A value for what was asked. ``value`` None: no usable answer (for yes_no that is Ternary.UNKNOWN)."""

    value: Ternary | float | str | None
    quote: str = ""  # the words it rests on, exactly as in the reply
    confidence: float = 1.0  # 0 to 1, as measured for the layer and the kind of reading
    layer: Layer = Layer.RULES
    scores: dict[Ternary, float] = field(default_factory=dict)  # yes_no: a score for each class


@dataclass(frozen=True, slots=True)
class FindingReading:
    """Something the reply states of the recipient now or lately, asked or not."""

    id: str
    value: Ternary  # YES or NO
    quote: str
    layer: Layer = Layer.RULES


@dataclass(frozen=True, slots=True)
class RedFlagReading:
    """A danger sign that is present now, with the recipient or in their home."""

    id: str
    quote: str
    layer: Layer = Layer.RULES


@dataclass(frozen=True, slots=True)
class Understanding:
    """What one recipient turn means."""

    intent: Intent
    answer: AnswerReading | None = None  # None: nothing in the reply bears on the question
    volunteered: tuple[FindingReading, ...] = ()
    red_flags: tuple[RedFlagReading, ...] = ()
    feeling: Feeling = Feeling.NEUTRAL  # how the reply as a whole is to be met
    asks_if_robot: bool = False  # with WHO_IS_THIS: wants to know whether this is a machine
