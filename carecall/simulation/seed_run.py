"""One seeding of a database: how much is made, until when and by what chance, and what was made."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from carecall.simulation.bulk import Bulk, random_id

ZONE = "Asia/Seoul"
TIME = time(10)  # that everybody is called at
GROUPS = 3  # of people, each called on two weekdays


@dataclass(frozen=True, slots=True)
class Size:
    """How much is made. ``calls`` are met to within a hundredth."""

    recipients: int = 10_000
    calls: int = 1_000_000
    detailed_days: int = 30  # so many last days have turns, findings and evidence
    alerts: int = 40  # that are not settled
    tasks: int = 60  # that are not done


@dataclass(slots=True)
class Seeded:
    """What was made."""

    at: datetime
    recipients: int = 0
    calls: int = 0
    details: int = 0  # calls that have turns and findings
    alerts: int = 0  # open ones
    tasks: int = 0
    rows: int = 0
    seconds: float = 0.0


class Run:
    """What the parts of one seeding share."""

    def __init__(self, rows: Bulk, size: Size, at: datetime, chance: random.Random) -> None:
        self.rows = rows
        self.size = size
        self.at = at
        self.chance = chance
        self.zone = ZoneInfo(ZONE)
        self.today = at.astimezone(self.zone).date()
        self.made = Seeded(at)

    def id(self) -> uuid.UUID:
        return random_id(self.chance.getrandbits)

    def due(self, day: date) -> datetime:
        """When people are called on a day."""
        return datetime.combine(day, TIME, self.zone).astimezone(UTC)

    def days(self, group: int, checks: int) -> Iterator[date]:
        """The last days that a group was called on, newest first: twice a week, the first group today."""
        back = (7 - group) % 7
        for count in range(1, checks + 1):
            yield self.today - timedelta(days=back)
            back += 3 if count % 2 else 4
