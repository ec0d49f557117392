"""Campaigns, and who of the enrolled is due: planning's decisions become slots, and slots become planned attempts."""

import logging
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam
from sqlmodel import Session, col, select, update
from sqlmodel.sql.expression import SelectOfScalar

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import Campaign
from carecall.domain.enrollment import Due, Enrolled, NotYet, Reason
from carecall.domain.language import Language
from carecall.errors import CareCallError, StoreError
from carecall.store.attempts import DialogIdentity, planned_attempt
from carecall.store.audit import PROGRAM, note
from carecall.store.codec import dump_ladder, dump_schedule
from carecall.store.engine import Database, Repository, insert_all_new
from carecall.store.enrolled import people_enrolled, read_enrolled, the_campaign
from carecall.store.line import end_unopened
from carecall.store.slots import attempts_of, drop_waiting, give_up, look_again, wait
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AttemptRow,
    CampaignRow,
    Direction,
    EnrollmentRow,
    RecipientRow,
    SlotRow,
    SlotState,
)

logger = logging.getLogger(__name__)

AD_HOC = "Ad hoc: "  # how the campaigns of calls outside of any schedule begin
_DIALOG_AGAIN = timedelta(minutes=5)  # until a dialog that could not be read is tried again

DialogOf = Callable[[str, Language], DialogIdentity]


class Planning(Repository):
    def save_campaign(
        self, campaign: Campaign, *, actor: str = PROGRAM, organisation_id: uuid.UUID = DEFAULT_ORGANISATION
    ) -> uuid.UUID:
        """A new campaign, or a change to the organisation's own of this name; planning looks at its people again.

        Raises StoreError for a name that calls outside of any schedule go by.
        """
        if campaign.name.startswith(AD_HOC):
            raise StoreError(f"A campaign's name cannot begin with '{AD_HOC}': choose another.")
        with self._database.writing() as session:
            known = select(CampaignRow).where(
                CampaignRow.organisation_id == organisation_id, CampaignRow.name == campaign.name
            )
            row = session.exec(known).one_or_none() or new_campaign(campaign, organisation_id)
            return write_campaign(session, self._database, row, campaign, actor)

    def campaigns(self, organisation_id: uuid.UUID = DEFAULT_ORGANISATION) -> list[tuple[uuid.UUID, Campaign]]:
        """The organisation's campaigns by name, without those of calls outside of any schedule."""
        query = select(CampaignRow).where(
            ~col(CampaignRow.name).startswith(AD_HOC, autoescape=True), CampaignRow.organisation_id == organisation_id
        )
        with self._database.reading() as session:
            return [(row.id, the_campaign(row)) for row in session.exec(query.order_by(col(CampaignRow.name)))]

    def set_paused(self, enrollment_id: uuid.UUID, paused: bool, *, actor: str = PROGRAM) -> None:
        """Stops or resumes the calls to a person in a campaign. Raises StoreError when there is no such enrollment."""
        with self._database.writing() as session:
            enrollment = session.get(EnrollmentRow, enrollment_id, with_for_update={"key_share": True})
            if enrollment is None:
                raise StoreError(f"There is no enrollment {enrollment_id}.")
            if enrollment.paused is paused:
                return
            enrollment.paused = paused
            look_again([enrollment], self._database.now())
            if paused:
                session.flush()
                drop_waiting(session, [enrollment_id], Reason.PAUSED, self._database.now())
            action = "enrollment.paused" if paused else "enrollment.resumed"
            note(session, self._database, actor, action, f"enrollment:{enrollment_id}")

    def enrolled(
        self, *, campaign_id: uuid.UUID | None = None, after: uuid.UUID | None = None, limit: int = 1000
    ) -> list[Enrolled]:
        """A page of the enrolled by the enrollments' ids, after one of them; an empty one is the end."""
        query = people_enrolled().order_by(col(EnrollmentRow.id)).limit(limit)
        if campaign_id is not None:
            query = query.where(col(EnrollmentRow.campaign_id) == campaign_id)
        if after is not None:
            query = query.where(col(EnrollmentRow.id) > after)
        with self._database.reading() as session:
            return read_enrolled(session, query, self._database.now())

    def enrolled_one(self, enrollment_id: uuid.UUID) -> Enrolled:
        """Raises StoreError when there is none."""
        query = people_enrolled().where(col(EnrollmentRow.id) == enrollment_id)
        with self._database.reading() as session:
            for enrolled in read_enrolled(session, query, self._database.now()):
                return enrolled
        raise StoreError(f"There is no enrollment {enrollment_id}.")

    def plan_due(self, decide: Callable[[Enrolled, datetime], Due | NotYet], *, limit: int = 500) -> int:
        """Asks planning about up to so many people whose time has come, and opens the slots that are due.

        Gives the number of people looked at. Two workers at once look at different ones.
        """
        now = self._database.now()
        query = (
            people_enrolled()
            .where(col(EnrollmentRow.next_due_at) <= now)
            .order_by(col(EnrollmentRow.next_due_at))
            .limit(limit)
            .with_for_update(of=EnrollmentRow, skip_locked=True, key_share=True)
        )
        with self._database.writing() as session:
            people = read_enrolled(session, query, now)
            looked_at, slots = [], []
            for enrolled in people:
                decision = decide(enrolled, now)
                why = decision.reason.value if isinstance(decision, NotYet) else ""
                looked_at.append({"_id": enrolled.enrollment_id, "at": decision.look_again_at, "reason": why})
                if isinstance(decision, Due):
                    slots.append(_new_slot(enrolled.enrollment_id, decision, now))
            insert_all_new(session, SlotRow, slots)
            if looked_at:
                table = EnrollmentRow.metadata.tables["enrollment"]
                again = table.update().where(table.c.id == bindparam("_id"))
                session.connection().execute(
                    again.values(next_due_at=bindparam("at"), why=bindparam("reason")), looked_at
                )
            return len(people)

    def start_attempts(self, dialog: DialogOf, *, limit: int = 100) -> list[uuid.UUID]:
        """Plans an attempt for up to so many open slots whose moment has come. Gives the new attempts.

        A slot whose dialog cannot be read waits for a few minutes.
        """
        now = self._database.now()
        query = (
            select(SlotRow, CampaignRow.dialog, RecipientRow)
            .join(EnrollmentRow, col(EnrollmentRow.id) == SlotRow.enrollment_id)
            .join(CampaignRow, col(CampaignRow.id) == EnrollmentRow.campaign_id)
            .join(RecipientRow, col(RecipientRow.id) == EnrollmentRow.recipient_id)
            .where(col(SlotRow.next_attempt_at) <= now)
            .order_by(col(SlotRow.next_attempt_at))
            .limit(limit)
            .with_for_update(of=SlotRow, skip_locked=True)
        )
        with self._database.writing() as session:
            end_unopened(session, now)
            started = []
            for slot, dialog_name, recipient in session.exec(query).all():
                try:
                    identity = dialog(dialog_name, recipient.language)
                except CareCallError as error:
                    logger.error("a call cannot be planned: %s", error)
                    _without_dialog(session, slot, now)
                    continue
                number = max((each.number for each in attempts_of(session, slot)), default=0) + 1
                attempt = planned_attempt(slot.enrollment_id, recipient.id, identity, slot.due_at, number, now)
                session.add(attempt)
                slot.next_attempt_at = None
                started.append(attempt.id)
            return started

    def planned(self) -> list[uuid.UUID]:
        """Our attempts that wait to be dialed, oldest first: of a slot, or to a number that was given for one call."""
        with self._database.reading() as session:
            return list(session.exec(_open_dials().where(AttemptRow.state == AttemptState.PLANNED)))

    def unfinished(self) -> list[uuid.UUID]:
        """Our attempts that nothing has been concluded from: planned, under way, or ended with their slot untouched.

        For a worker's start: should the queue have been lost, these are all that it held.
        """
        left_open = (
            select(AttemptRow.id)
            .join(
                SlotRow,
                (col(SlotRow.enrollment_id) == AttemptRow.enrollment_id) & (col(SlotRow.due_at) == AttemptRow.slot_due),
            )
            .where(
                SlotRow.state == SlotState.OPEN,
                col(SlotRow.next_attempt_at).is_(None),
                col(AttemptRow.ended_at).is_not(None),
                AttemptRow.direction == Direction.OUTBOUND,
            )
            .order_by(col(AttemptRow.number))
        )
        with self._database.reading() as session:
            return [*session.exec(_open_dials()), *session.exec(left_open)]


def _open_dials() -> SelectOfScalar[uuid.UUID]:
    """Our attempts that have not ended and ring a telephone, oldest first."""
    return (
        select(AttemptRow.id)
        .join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id)
        .where(
            col(AttemptRow.ended_at).is_(None),
            AttemptRow.direction == Direction.OUTBOUND,
            col(AttemptRow.slot_due).is_not(None) | col(RecipientRow.phone_index).is_not(None),
        )
        .order_by(col(AttemptRow.planned_at))
    )


def new_campaign(campaign: Campaign, organisation_id: uuid.UUID) -> CampaignRow:
    return CampaignRow(
        name=campaign.name, dialog=campaign.dialog, starts_on=campaign.starts_on, organisation_id=organisation_id
    )


def write_campaign(session: Session, database: Database, row: CampaignRow, campaign: Campaign, actor: str) -> uuid.UUID:
    """Records what a campaign says in its row, a new one or one that is there; its people are planned anew."""
    action = "campaign.changed" if row in session else "campaign.added"
    row.name, row.dialog, row.starts_on, row.ends_on = (
        campaign.name,
        campaign.dialog,
        campaign.starts_on,
        campaign.ends_on,
    )
    row.schedule, row.ladder = dump_schedule(campaign.schedule), dump_ladder(campaign.ladder)
    row.paused = campaign.paused
    session.add(row)
    session.flush()
    now = database.now()
    session.exec(
        update(EnrollmentRow)
        .where(
            col(EnrollmentRow.campaign_id) == row.id,
            col(EnrollmentRow.ended_at).is_(None),
            col(EnrollmentRow.opted_out_at).is_(None),
        )
        .values(next_due_at=now)
    )
    if campaign.paused:
        people = select(EnrollmentRow.id).where(EnrollmentRow.campaign_id == row.id)
        drop_waiting(session, people, Reason.CAMPAIGN_PAUSED, now)
    note(session, database, actor, action, f"campaign:{row.id}", paused=campaign.paused)
    return row.id


def _new_slot(enrollment_id: uuid.UUID, due: Due, now: datetime) -> dict[str, Any]:
    return {
        "enrollment_id": enrollment_id,
        "due_at": due.due_at,
        "until": due.until,
        "state": SlotState.OPEN,
        "next_attempt_at": now,
        "reason": "",
        "opened_at": now,
        "closed_at": None,
    }


def _without_dialog(session: Session, slot: SlotRow, now: datetime) -> None:
    if now + _DIALOG_AGAIN < slot.until:
        wait(slot, now + _DIALOG_AGAIN, "no_dialog")
    else:
        give_up(session, slot, Reason.TOO_LATE, now)
