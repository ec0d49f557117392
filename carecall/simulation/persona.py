"""A synthetic recipient. It knows no line: told which question is open, it says what comes next."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from carecall.simulation.scenario import Recipient


@dataclass(frozen=True, slots=True)
class Reaction:
    """What the recipient does. Neither text nor hang-up is silence."""

    text: str = ""
    hangs_up: bool = False


class Persona:
    """The recipient of one simulated call."""

    def __init__(self, recipient: Recipient) -> None:
        self._recipient = recipient
        self._turns = 0
        self._silent = 0  # idle spells left of a silence
        self._used: Counter[str | None] = Counter()
        self._greeted = False

    def react(self, asked: str | None) -> Reaction:
        """The reaction to an agent turn; ``asked`` is the code of the question that is open, if one is."""
        recipient = self._recipient
        if self._silent > 0:
            self._silent -= 1
            return Reaction()
        if recipient.hang_up_after is not None and self._turns >= recipient.hang_up_after:
            return Reaction(hangs_up=True)
        turn = self._turns + 1
        for interjection in recipient.interjections:
            if interjection.turn == turn:
                self._turns = turn
                self._silent = interjection.silence - 1
                return Reaction(interjection.say)
        text = self._answer(asked)
        self._turns += bool(text)
        return Reaction(text)

    def _answer(self, asked: str | None) -> str:
        recipient = self._recipient
        if not self._greeted and asked is None:
            self._greeted = bool(recipient.greets)
            return recipient.greets
        if asked is None:
            return self._next(None, recipient.otherwise or [recipient.greets])
        if asked in recipient.answers:
            return self._next(asked, recipient.answers[asked])
        return self._next("", recipient.default)

    def _next(self, key: str | None, replies: Sequence[str]) -> str:
        if not replies:
            return ""
        self._used[key] += 1
        return replies[min(self._used[key], len(replies)) - 1]
