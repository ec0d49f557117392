"""Where a conversation is written down while it happens. The store implements it; a chat may keep it in memory."""

from dataclasses import dataclass, field
from typing import Protocol

from carecall.dialog.understanding.meaning import Understanding
from carecall.domain.triage import Alert
from carecall.domain.turn import Turn


class Journal(Protocol):
    """Each method returns when what it was given is safe; each is its own transaction."""

    async def recipient_turn(self, turn: Turn) -> None: ...

    async def understood(self, index: int, understanding: Understanding) -> None: ...

    async def agent_turn(self, turn: Turn) -> None: ...

    async def alert(self, alert: Alert) -> None: ...


@dataclass(slots=True)
class MemoryJournal:
    """Keeps everything in memory, in order."""

    turns: list[Turn] = field(default_factory=list)
    understandings: dict[int, Understanding] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)

    async def recipient_turn(self, turn: Turn) -> None:
        self.turns.append(turn)

    async def understood(self, index: int, understanding: Understanding) -> None:
        self.understandings[index] = understanding

    async def agent_turn(self, turn: Turn) -> None:
        self.turns.append(turn)

    async def alert(self, alert: Alert) -> None:
        self.alerts.append(alert)
