"""A turn: one utterance of one side."""

from dataclasses import dataclass
from enum import StrEnum


class Speaker(StrEnum):
    AGENT = "agent"
    RECIPIENT = "recipient"


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. Times are seconds from the start of the call's audio; by text they count from the call's start."""

    index: int
    speaker: Speaker
    text: str
    started_s: float
    ended_s: float
    asked: str | None = None  # agent: code of the question it put; recipient: code of the question it follows
    interrupted: bool = False  # agent: cut off by the recipient, text is what was sent to the line
