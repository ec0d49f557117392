"""A memory: one short third-person sentence about a recipient, with its topic and where it comes from."""

import datetime
from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    HEALTH = "health"
    MEDICATION = "medication"
    SLEEP = "sleep"
    MEALS = "meals"
    EXERCISE = "exercise"
    OUTINGS = "outings"  # visited places
    PETS = "pets"
    FAMILY = "family"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Memory:
    """One remembered thing. Only what the recipient said, or what a care worker wrote, becomes one."""

    id: str
    text: str
    topic: Topic
    created_on: datetime.date
    source_turn: int | None = None  # index of the recipient's turn; None: written by a care worker
    source_attempt: str | None = None  # the call it was said in
    chronic: bool = False  # a lasting condition: known, but not asked about again and again
    followed_up_on: datetime.date | None = None  # when it was last asked about
