"""The campaigns of an organisation for its pages, and what planning asks about their people."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from carecall.domain.campaign import Campaign
from carecall.domain.enrollment import Enrolled
from carecall.domain.viewer import Viewer
from carecall.errors import StoreConflict
from carecall.store.audit import note
from carecall.store.engine import Repository
from carecall.store.enrolled import people_enrolled, read_enrolled, the_campaign
from carecall.store.planning import AD_HOC, new_campaign, write_campaign
from carecall.store.scope import scoped, the
from carecall.store.tables import CampaignRow, EnrollmentRow, RecipientRow


class CampaignChanged(StoreConflict):
    """Somebody else has changed this campaign since the form was opened."""

    code = "campaign_changed"


class CampaignNameTaken(StoreConflict):
    """The organisation has a campaign of this name already."""

    code = "campaign_name_taken"


@dataclass(frozen=True, slots=True)
class Listed:
    """A campaign, how many people are in it, and a mark by which a later change is noticed."""

    id: uuid.UUID
    campaign: Campaign
    people: int
    without_consent: int
    paused_people: int
    seen: str


class CareCampaigns(Repository):
    def campaign_list(self, viewer: Viewer) -> list[Listed]:
        """All campaigns by name, without those of calls outside of any schedule."""
        query = select(CampaignRow).where(~col(CampaignRow.name).startswith(AD_HOC, autoescape=True))
        with self._database.reading() as session:
            rows = session.exec(scoped(query, viewer).order_by(col(CampaignRow.name))).all()
            return _listed(session, rows)

    def campaign_of(self, viewer: Viewer, campaign_id: uuid.UUID) -> Listed:
        """Raises StoreNotFound."""
        with self._database.reading() as session:
            return _listed(session, [the(session, _one(campaign_id), viewer)])[0]

    def add_campaign(self, viewer: Viewer, campaign: Campaign) -> uuid.UUID:
        """A new campaign. Raises CampaignNameTaken."""
        with self._database.writing() as session:
            _refuse_taken(session, viewer, campaign.name, None)
            row = new_campaign(campaign, viewer.organisation_id)
            return write_campaign(session, self._database, row, campaign, str(viewer.user_id))

    def change_campaign(self, viewer: Viewer, campaign_id: uuid.UUID, campaign: Campaign, seen: str) -> None:
        """Records what the form says; whether it is paused stays as it is. Its people are planned anew.

        Raises StoreNotFound, CampaignChanged, CampaignNameTaken.
        """
        with self._database.writing() as session:
            row = the(session, _one(campaign_id).with_for_update(key_share=True), viewer)
            if _seen(row) != seen:
                raise CampaignChanged
            _refuse_taken(session, viewer, campaign.name, campaign_id)
            write_campaign(session, self._database, row, replace(campaign, paused=row.paused), str(viewer.user_id))

    def pause_campaign(self, viewer: Viewer, campaign_id: uuid.UUID, *, paused: bool) -> bool:
        """Stops or resumes all its calls; False when it was so already. Raises StoreNotFound."""
        with self._database.writing() as session:
            row = the(session, _one(campaign_id).with_for_update(key_share=True), viewer)
            if row.paused is paused:
                return False
            campaign = replace(the_campaign(row), paused=paused)
            write_campaign(session, self._database, row, campaign, str(viewer.user_id))
            return True

    def plan_people(
        self, viewer: Viewer, campaign_id: uuid.UUID, now: datetime, *, after: uuid.UUID | None, limit: int = 500
    ) -> list[Enrolled]:
        """A page of those who are in the campaign, by the enrollments' ids; an empty one is the end."""
        query = scoped(people_enrolled(), viewer).where(
            col(EnrollmentRow.campaign_id) == campaign_id, col(EnrollmentRow.ended_at).is_(None)
        )
        if after is not None:
            query = query.where(col(EnrollmentRow.id) > after)
        with self._database.reading() as session:
            return read_enrolled(session, query.order_by(col(EnrollmentRow.id)).limit(limit), now)

    def plan_names(self, viewer: Viewer, recipient_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
        """The names of a page of people. That they were seen is noted."""
        query = select(RecipientRow.id, RecipientRow.name).where(col(RecipientRow.id).in_(recipient_ids))
        with self._database.reading() as session:
            names = dict(session.exec(scoped(query, viewer)).all())
        with self._database.writing() as session:
            subject = f"organisation:{viewer.organisation_id}"
            note(session, self._database, str(viewer.user_id), "plan.viewed", subject, people=len(names))
        return names


def _one(campaign_id: uuid.UUID) -> SelectOfScalar[CampaignRow]:
    return select(CampaignRow).where(
        CampaignRow.id == campaign_id, ~col(CampaignRow.name).startswith(AD_HOC, autoescape=True)
    )


def _refuse_taken(session: Session, viewer: Viewer, name: str, but: uuid.UUID | None) -> None:
    known = session.exec(scoped(select(CampaignRow.id).where(CampaignRow.name == name), viewer)).first()
    if known is not None and known != but:
        raise CampaignNameTaken


def _listed(session: Session, rows: Sequence[CampaignRow]) -> list[Listed]:
    query = (
        select(
            EnrollmentRow.campaign_id,
            func.count(),
            func.count().filter(col(EnrollmentRow.consent_at).is_(None)),
            func.count().filter(col(EnrollmentRow.paused).is_(True)),
        )
        .where(
            col(EnrollmentRow.campaign_id).in_([row.id for row in rows]),
            col(EnrollmentRow.ended_at).is_(None),
            col(EnrollmentRow.opted_out_at).is_(None),
        )
        .group_by(col(EnrollmentRow.campaign_id))
    )
    counts = {campaign_id: (people, unasked, paused) for campaign_id, people, unasked, paused in session.exec(query)}
    found = []
    for row in rows:
        people, unasked, paused = counts.get(row.id, (0, 0, 0))
        found.append(Listed(row.id, the_campaign(row), people, unasked, paused, _seen(row)))
    return found


def _seen(row: CampaignRow) -> str:
    shown = repr((row.name, row.dialog, row.starts_on, row.ends_on, row.schedule, row.ladder))
    return hashlib.sha256(shown.encode()).hexdigest()[:16]
