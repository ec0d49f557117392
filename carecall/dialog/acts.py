"""What the agent can do with a turn: a small closed set of acts."""

from dataclasses import dataclass
from enum import StrEnum

from carecall.dialog.definition import Feeling
from carecall.domain.triage import Alert


class Line(StrEnum):
    """A vetted line of the dialog that is not a question; the value is its name in ``Texts``."""

    GREETING = "greeting"
    BEGIN = "begin"
    IDENTITY_AGAIN = "identity_again"
    REPEAT_LEAD = "repeat_lead"
    WAIT = "wait"
    SILENCE = "silence"
    REFUSE_MEDICAL = "refuse_medical"
    REFUSE_OUT_OF_SCOPE = "refuse_out_of_scope"
    SERVICE_NOTED = "service_noted"
    HUMAN_NOTED = "human_noted"
    WHO_IS_THIS = "who_is_this"
    ARE_YOU_A_ROBOT = "are_you_a_robot"
    SMALL_TALK = "small_talk"
    RESUME = "resume"
    RESUMED = "resumed"
    FORGET = "forget"
    CLOSE = "close"
    CLOSE_EARLY = "close_early"
    CLOSE_LATER = "close_later"
    CLOSE_WRONG_PERSON = "close_wrong_person"
    CLOSE_OPTED_OUT = "close_opted_out"
    CLOSE_SILENCE = "close_silence"
    CLOSE_EMERGENCY = "close_emergency"


@dataclass(frozen=True, slots=True)
class Speak:
    """Say a vetted line."""

    line: Line
    nth: int | None = None  # this variant; None: the next one in turn


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Show that the reply was heard, as its news deserves."""

    feeling: Feeling
    question: str | None = None  # whose own acknowledgements come first


@dataclass(frozen=True, slots=True)
class Ask:
    """Put a question."""

    question: str
    wording: int  # index into the question's wordings


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask whether an unsure reading is right."""

    question: str
    answer: str  # what was understood


@dataclass(frozen=True, slots=True)
class Escalate:
    """Say the fixed text of a red flag. The alerts must be written down before a word is spoken."""

    flag: str
    alerts: tuple[Alert, ...] = ()  # empty when the text is said again


@dataclass(frozen=True, slots=True)
class StayOnLine:
    """Say one of the sentences that keep a person in danger on the line."""

    flag: str
    nth: int


Act = Speak | Acknowledge | Ask | Confirm | Escalate | StayOnLine
