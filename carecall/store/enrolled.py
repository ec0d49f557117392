"""What planning sees of the enrolled: read in pages, each with a fixed number of queries."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Row, Select, func
from sqlmodel import Session, col, select

from carecall.domain.campaign import Campaign, Window
from carecall.domain.enrollment import Enrolled
from carecall.domain.progress import CallFailure
from carecall.store.codec import parse_ladder, parse_schedule
from carecall.store.tables import AttemptRow, CampaignRow, EnrollmentRow, RecipientRow, SlotRow

RECENT = timedelta(hours=48)
OLDEST_OPEN = timedelta(days=3)  # no dial is planned for so long before it ends
_UNRUNG = (CallFailure.NOT_PLACED, CallFailure.LIMIT, CallFailure.ACCOUNT)


def the_campaign(row: CampaignRow) -> Campaign:
    """Raises StoreError when its schedule or ladder cannot be read."""
    return Campaign(
        row.name,
        row.dialog,
        row.starts_on,
        row.ends_on,
        parse_schedule(row.schedule),
        parse_ladder(row.ladder),
        row.paused,
    )


def hours_of(opens: time | None, closes: time | None) -> Window | None:
    """The hours that a person is called in; one that is not given is the day's own end."""
    return None if opens is None and closes is None else Window(opens or time.min, closes or time.max)


def people_enrolled() -> Select[Any]:
    """The query to narrow down and to give to ``read_enrolled``."""
    columns: tuple[Any, ...] = (
        EnrollmentRow.id,
        EnrollmentRow.recipient_id,
        EnrollmentRow.campaign_id,
        RecipientRow.language,
        RecipientRow.time_zone,
        RecipientRow.opens,
        RecipientRow.closes,
        EnrollmentRow.consent_at,
        EnrollmentRow.opted_out_at,
        EnrollmentRow.paused,
        EnrollmentRow.started_at,
        EnrollmentRow.ended_at,
        EnrollmentRow.last_day,
    )
    return sqlalchemy.select(*columns).join(RecipientRow, col(RecipientRow.id) == EnrollmentRow.recipient_id)


def read_enrolled(session: Session, query: Select[Any], now: datetime) -> list[Enrolled]:
    """One page: what the query of ``people_enrolled`` finds, in its order."""
    return enrolled_of(session, session.execute(query).all(), now)


def enrolled_of(session: Session, rows: Sequence[Row[Any]], now: datetime) -> list[Enrolled]:
    """The same for rows that such a query has found."""
    campaigns = _campaigns(session, {row.campaign_id for row in rows})
    last_slots = _last_slots(session, [row.id for row in rows])
    calls = _recent_calls(session, {row.recipient_id for row in rows}, now)
    return [
        Enrolled(
            row.id,
            row.recipient_id,
            campaigns[row.campaign_id],
            row.language,
            row.time_zone,
            hours_of(row.opens, row.closes),
            row.consent_at is not None,
            row.opted_out_at is not None,
            row.paused,
            row.started_at,
            row.ended_at,
            row.last_day,
            last_slots.get(row.id),
            tuple(calls.get(row.recipient_id, ())),
        )
        for row in rows
    ]


def _campaigns(session: Session, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Campaign]:
    rows = session.exec(select(CampaignRow).where(col(CampaignRow.id).in_(ids)))
    return {row.id: the_campaign(row) for row in rows}


def _last_slots(session: Session, enrollments: Sequence[uuid.UUID]) -> dict[uuid.UUID, datetime]:
    """The due time of each enrollment's newest slot."""
    query = (
        select(SlotRow.enrollment_id, func.max(SlotRow.due_at))
        .where(col(SlotRow.enrollment_id).in_(enrollments))
        .group_by(col(SlotRow.enrollment_id))
    )
    return dict(session.exec(query).all())


def _recent_calls(session: Session, recipients: Iterable[uuid.UUID], now: datetime) -> dict[uuid.UUID, list[datetime]]:
    """When each person's telephone was rung of late, by us, oldest first."""
    rung: ColumnElement[bool] = col(AttemptRow.failure).is_(None) | col(AttemptRow.failure).not_in(_UNRUNG)
    query = (
        select(EnrollmentRow.recipient_id, AttemptRow.dialed_at)
        .join(AttemptRow, col(AttemptRow.enrollment_id) == EnrollmentRow.id)
        .where(
            col(EnrollmentRow.recipient_id).in_(recipients),
            col(AttemptRow.planned_at) > now - OLDEST_OPEN,
            col(AttemptRow.dialed_at) > now - RECENT,
            rung,
        )
        .order_by(col(AttemptRow.dialed_at))
    )
    calls: dict[uuid.UUID, list[datetime]] = defaultdict(list)
    for recipient_id, dialed_at in session.exec(query):
        if dialed_at is not None:
            calls[recipient_id].append(dialed_at)
    return calls
