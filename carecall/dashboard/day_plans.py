"""The plan of a day for its page: everybody of a campaign or of all, in the order of their calls, with counts."""

import asyncio
import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from carecall.domain.enrollment import Enrolled, Reason
from carecall.domain.viewer import Viewer
from carecall.outreach.day_plan import Standing, plan_day
from carecall.store import Store
from carecall.store.care_campaigns import Listed

PAGE = 100  # lines
_FOR = timedelta(seconds=30)
_KEPT = 8


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A check of a person, or why there is none; without name and number."""

    key: str  # by which lines are in order
    campaign: str
    recipient_id: UUID
    time_zone: str
    standing: Standing
    begins_at: datetime | None
    reason: Reason | None
    look_again_at: datetime | None

    @property
    def kind(self) -> str:
        """What it is counted as."""
        return self.reason.value if self.reason else self.standing.value


@dataclass(frozen=True, slots=True)
class DayPlan:
    lines: Sequence[PlanLine]
    counts: Counter[str]

    def page(self, kind: str, after: str) -> tuple[Sequence[PlanLine], str]:
        """A page of the lines of a kind, or of all, after a key; and the key of the page after it."""
        lines = [line for line in self.lines if line.kind == kind] if kind else self.lines
        start = bisect.bisect_right(lines, after, key=lambda line: line.key) if after else 0
        shown = lines[start : start + PAGE]
        return shown, shown[-1].key if start + PAGE < len(lines) else ""


class DayPlans:
    """Makes plans, and keeps each for half a minute, so that its pages are of one and the same plan.

    Somebody more or less in a campaign, who is paused or who has agreed makes it another plan.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[object, ...], tuple[datetime, DayPlan]] = {}
        self._changes: Counter[UUID] = Counter()

    def changed(self, viewer: Viewer) -> None:
        """Something of the organisation was changed: what is kept of it is not shown again."""
        self._changes[viewer.organisation_id] += 1

    async def of(self, viewer: Viewer, campaigns: Sequence[Listed], day: date) -> DayPlan:
        now = self._store.now()
        key = (
            viewer.organisation_id,
            tuple((each.id, each.people, each.without_consent, each.paused_people) for each in campaigns),
            day,
            self._changes[viewer.organisation_id],
        )
        self._kept = {known: kept for known, kept in self._kept.items() if now - kept[0] < _FOR}
        if key not in self._kept:
            plan = await self._make(viewer, campaigns, day, now)
            if len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = now, plan
        return self._kept[key][1]

    async def _make(self, viewer: Viewer, campaigns: Sequence[Listed], day: date, now: datetime) -> DayPlan:
        lines: list[PlanLine] = []
        for campaign in campaigns:
            after: UUID | None = None
            while people := await self._store.run(self._store.care.plan_people, viewer, campaign.id, now, after=after):
                lines += await asyncio.to_thread(_lines, people, day, now)
                after = people[-1].enrollment_id
        lines.sort(key=lambda line: line.key)
        return DayPlan(lines, Counter(line.kind for line in lines))


def _lines(people: Sequence[Enrolled], day: date, now: datetime) -> list[PlanLine]:
    lines = []
    for each in people:
        for entry in plan_day(each, day, now):
            begins_at = entry.check.begins_at if entry.check else None
            refusal = entry.refusal
            lines.append(
                PlanLine(
                    f"{f'0{begins_at:%Y%m%d%H%M}' if begins_at else '1'}-{each.enrollment_id.hex}",
                    each.campaign.name,
                    each.recipient_id,
                    each.time_zone,
                    entry.standing,
                    begins_at,
                    refusal.reason if refusal else None,
                    refusal.look_again_at if refusal else None,
                )
            )
    return lines
