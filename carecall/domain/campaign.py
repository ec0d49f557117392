"""A campaign: when its people are called, how often again, and what a human does when nobody answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from enum import StrEnum


class Ending(StrEnum):
    """How one attempt ended, as the ladder sees it."""

    REACHED = "reached"  # the talk took place; its report says how
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    MACHINE = "machine"
    FAILED = "failed"  # the line failed; another try may succeed
    BAD_NUMBER = "bad_number"  # the number does not exist or cannot be called: no try will succeed
    NOT_PLACED = "not_placed"  # the call was never made; nobody's telephone rang
    HUNG_UP = "hung_up"  # answered, and left before the talk was done
    SILENT = "silent"  # connected, and nothing heard
    CALL_LATER = "call_later"
    WRONG_PERSON = "wrong_person"
    OPTED_OUT = "opted_out"
    INTERRUPTED = "interrupted"  # our side broke off


class TaskKind(StrEnum):
    """What a human is asked to do."""

    CALL = "call"
    VISIT = "visit"
    CHECK_NUMBER = "check_number"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the recipient's own clock in which a telephone may ring: from ``opens`` until before ``closes``."""

    opens: time
    closes: time  # later than opens


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a check is due."""

    times: tuple[time, ...]  # local times of day, rising; two of them are twice daily
    weekdays: frozenset[int] = frozenset(range(7))  # 0 is Monday
    window: Window = Window(time(9), time(20))
    holidays: str | None = None  # ISO 3166 country whose public holidays are left out; None: none
    open_for: timedelta = timedelta(hours=4)  # so long after its due time a check may still be begun
    daily_cap: int = 4  # calls to a person on one local day, over all campaigns


@dataclass(frozen=True, slots=True)
class HumanStep:
    """A task, and the time within which it is to be done before the next step is taken."""

    kind: TaskKind
    within: timedelta


@dataclass(frozen=True, slots=True)
class Ladder:
    """How often, and after how long, a check is tried again; then the steps of a human, one after the other."""

    attempts: int  # that let a telephone ring
    retry_after: Mapping[Ending, timedelta]  # an ending that is not named is not tried again
    then: tuple[HumanStep, ...]


@dataclass(frozen=True, slots=True)
class Campaign:
    """Who is called about what, when."""

    name: str
    dialog: str  # its id, without the language
    starts_on: date
    ends_on: date | None
    schedule: Schedule
    ladder: Ladder
    paused: bool = False


_MINUTES = {
    Ending.BUSY: 10,
    Ending.NO_ANSWER: 30,
    Ending.MACHINE: 60,
    Ending.FAILED: 15,
    Ending.NOT_PLACED: 2,
    Ending.HUNG_UP: 10,
    Ending.SILENT: 10,
    Ending.CALL_LATER: 60,
    Ending.INTERRUPTED: 2,
}

# Three unanswered calls, then a human the same day, then somebody at the door (CLOVA CareCall's practice).
DEFAULT_LADDER = Ladder(
    attempts=3,
    retry_after={ending: timedelta(minutes=minutes) for ending, minutes in _MINUTES.items()},
    then=(HumanStep(TaskKind.CALL, timedelta(hours=4)), HumanStep(TaskKind.VISIT, timedelta(hours=24))),
)
