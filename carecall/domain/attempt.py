"""The life of one dial."""

from enum import StrEnum


class AttemptState(StrEnum):
    PLANNED = "planned"  # written, not dialed
    DIALING = "dialing"  # written before the network call
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"  # the media stream is open
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    MACHINE = "machine"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # our side died in the middle

    @property
    def terminal(self) -> bool:
        return not _NEXT[self]


_ENDS = {
    AttemptState.COMPLETED,
    AttemptState.BUSY,
    AttemptState.NO_ANSWER,
    AttemptState.MACHINE,
    AttemptState.FAILED,
    AttemptState.INTERRUPTED,
}
_NEXT: dict[AttemptState, set[AttemptState]] = {
    AttemptState.PLANNED: {AttemptState.DIALING, AttemptState.IN_PROGRESS, AttemptState.FAILED},
    AttemptState.DIALING: {AttemptState.RINGING, AttemptState.IN_PROGRESS} | _ENDS,
    AttemptState.RINGING: {AttemptState.IN_PROGRESS} | _ENDS,
    AttemptState.IN_PROGRESS: {
        AttemptState.COMPLETED,
        AttemptState.MACHINE,
        AttemptState.FAILED,
        AttemptState.INTERRUPTED,
    },
    **{end: set() for end in _ENDS},
}


class IllegalTransition(ValueError):
    """An attempt cannot go from this state to that one."""


def advance(current: AttemptState, new: AttemptState) -> AttemptState:
    """The new state. A repeat of the current state changes nothing.

    Raises IllegalTransition for a step that the life of a dial does not have; terminal states absorb nothing else.
    """
    if new is current:
        return current
    if new not in _NEXT[current]:
        raise IllegalTransition(f"an attempt cannot go from {current} to {new}")
    return new
