"""What happened at the exchange, call by call, and the judgement of it."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from carecall.simulation.exchange_plan import Line

_BURST = timedelta(seconds=1)  # how much sooner than the rate says a call may come: requests overtake each other


@dataclass(slots=True)
class CallRecord:
    """One call. Moments are in UTC; those of the telephone itself are ``local``."""

    sid: str
    to: str
    inbound: bool
    created_at: datetime
    local: str  # date and time of the person when the call was created
    in_window: bool  # whether their telephone might ring then
    status: str = "queued"
    rang_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    streams: int = 0  # media streams opened
    refused_streams: int = 0  # that could not be opened
    latencies: list[float] = field(default_factory=list)  # seconds from the end of the person's speech to the answer
    said: list[str] = field(default_factory=list)  # by <Say>


class CallLog:
    """Every call, in memory and, a line a change, in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self.calls: list[CallRecord] = []
        self._file = path.open("a") if path is not None else None

    def open(self, sid: str, to: str, line: Line, *, inbound: bool) -> CallRecord:
        now = datetime.now(UTC)
        local = now.astimezone(ZoneInfo(line.time_zone))
        in_window = (line.opens is None or line.opens <= local.time()) and (
            line.closes is None or local.time() < line.closes
        )
        record = CallRecord(sid, to, inbound, now, local.isoformat(timespec="seconds"), in_window)
        self.calls.append(record)
        self.changed(record)
        return record

    def changed(self, record: CallRecord) -> None:
        if self._file is not None:
            self._file.write(json.dumps(asdict(record), default=str) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def doubled(calls: Iterable[CallRecord]) -> list[tuple[str, str]]:
    """Calls of which two were live to one number at once."""
    by_number = defaultdict(list)
    for call in calls:
        by_number[call.to].append(call)
    pairs = []
    for of_number in by_number.values():
        for first, second in pairwise(sorted(of_number, key=lambda call: call.created_at)):
            if first.ended_at is None or first.ended_at > second.created_at:
                pairs.append((first.sid, second.sid))
    return pairs


def outside_window(calls: Iterable[CallRecord]) -> list[str]:
    """Calls that we made while the person's telephone might not ring."""
    return [call.sid for call in calls if not call.inbound and not call.in_window]


def over_rate(calls: Iterable[CallRecord], per_second: float) -> list[str]:
    """Calls that were created more than a second before the rate allowed them."""
    spacing = timedelta(seconds=1 / per_second)
    allowed_at: datetime | None = None
    early = []
    for call in sorted(calls, key=lambda call: call.created_at):
        if call.inbound:
            continue
        if allowed_at is not None and call.created_at < allowed_at - _BURST:
            early.append(call.sid)
        allowed_at = max(allowed_at or call.created_at, call.created_at) + spacing
    return early
