"""Attempts: planned, dialed, ended, and closed at the next start when our side died in the middle of the talk."""

import uuid
from datetime import datetime, timedelta
from typing import Protocol

from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState, advance
from carecall.domain.finding import Findings, Ternary
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.viewer import Viewer
from carecall.errors import StoreError
from carecall.store.audit import PROGRAM, note
from carecall.store.calls import read_turns, the_attempt
from carecall.store.codec import understood_findings
from carecall.store.engine import Database, Repository
from carecall.store.holder import alive
from carecall.store.recipients import find, new_recipient
from carecall.store.reports import read_alerts, read_report, write_report
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    LIVE,
    AttemptRow,
    CampaignRow,
    ConsentSource,
    EnrollmentRow,
    RecipientRow,
)

_SILENCE = timedelta(minutes=15)  # a holder on another host that wrote nothing for so long is gone; calls last minutes
_OPTED_OUT = "This person asked not to be called any more."
_BROKEN_OFF = {
    Language.ENGLISH: "The call broke off on our side. Recorded turns: {turns}.",
    Language.KOREAN: "시스템 문제로 통화가 중단되었습니다. 기록된 발화: {turns}개.",
}


class DialogIdentity(Protocol):
    """What is kept of a dialog with every call made by it."""

    @property
    def id(self) -> str: ...
    @property
    def language(self) -> Language: ...
    @property
    def version(self) -> str: ...
    @property
    def hash(self) -> str: ...


class Attempts(Repository):
    def create(
        self, enrollment_id: uuid.UUID, dialog: DialogIdentity, *, slot_due: datetime | None = None, number: int = 1
    ) -> uuid.UUID:
        """A planned attempt. Raises StoreError without consent, after an opt-out, or when the slot has this attempt."""
        with self._database.writing() as session:
            enrollment = session.get(EnrollmentRow, enrollment_id)
            if enrollment is None:
                raise StoreError(f"There is no enrollment {enrollment_id}.")
            return self._plan(session, enrollment, dialog, slot_due, number).id

    def ad_hoc(
        self,
        dialog: DialogIdentity,
        recipient_name: str,
        language: Language,
        phone: str = "",
        *,
        viewer: Viewer | None = None,
    ) -> uuid.UUID:
        """A planned attempt outside of any schedule, for a demo, a chat or a test call.

        It belongs to the organisation of the viewer who asks for it; without one, to the default one. The person is
        known again by name and number. By the name alone only while no call of theirs is open: two calls at once are
        two people. Raises StoreError when the owner of the number wants no calls.
        """
        with self._database.writing() as session:
            organisation_id = viewer.organisation_id if viewer else DEFAULT_ORGANISATION
            recipient = self._known(session, organisation_id, recipient_name, phone) or new_recipient(
                self._database, recipient_name, phone, language, organisation_id=organisation_id
            )
            session.add(recipient)
            name = f"Ad hoc: {dialog.id}"
            known = select(CampaignRow).where(CampaignRow.organisation_id == organisation_id, CampaignRow.name == name)
            campaign = session.exec(known).one_or_none()
            if campaign is None:
                campaign = CampaignRow(
                    organisation_id=organisation_id,
                    name=name,
                    dialog=dialog.id,
                    starts_on=self._database.now().date(),
                )
                session.add(campaign)
            enrollment = session.exec(
                select(EnrollmentRow).where(
                    EnrollmentRow.recipient_id == recipient.id,
                    EnrollmentRow.campaign_id == campaign.id,
                    col(EnrollmentRow.ended_at).is_(None),
                    col(EnrollmentRow.opted_out_at).is_(None),
                )
            ).one_or_none()
            if enrollment is None:
                now = self._database.now()
                enrollment = EnrollmentRow(
                    recipient_id=recipient.id,
                    campaign_id=campaign.id,
                    consent_at=now,
                    consent_source=ConsentSource.TRIAL,
                    started_at=now,
                )
                session.add(enrollment)
            session.flush()
            attempt = self._plan(session, enrollment, dialog, None, 1)
            if viewer:
                note(session, self._database, str(viewer.user_id), "call.tried", f"attempt:{attempt.id}")
            return attempt.id

    def _known(self, session: Session, organisation_id: uuid.UUID, name: str, phone: str) -> RecipientRow | None:
        if phone:
            opted_out = (
                select(EnrollmentRow.id)
                .join(RecipientRow)
                .where(
                    col(RecipientRow.phone_index).in_(self._database.cipher.phone_indexes(phone)),
                    col(EnrollmentRow.opted_out_at).is_not(None),
                )
            )
            if session.exec(opted_out).first():
                raise StoreError(_OPTED_OUT)
        for recipient in find(session, self._database, name, phone):
            open_call = select(AttemptRow.id).where(
                AttemptRow.recipient_id == recipient.id, col(AttemptRow.ended_at).is_(None)
            )
            ours = recipient.organisation_id == organisation_id
            if ours and (phone or session.exec(open_call).first() is None):
                return recipient
        return None

    def _plan(
        self,
        session: Session,
        enrollment: EnrollmentRow,
        dialog: DialogIdentity,
        slot_due: datetime | None,
        number: int,
    ) -> AttemptRow:
        _may_be_called(enrollment)
        if slot_due is not None:
            taken = select(AttemptRow.id).where(
                AttemptRow.enrollment_id == enrollment.id, AttemptRow.slot_due == slot_due, AttemptRow.number == number
            )
            if session.exec(taken).first():
                raise StoreError(f"Attempt {number} of this slot exists already.")
        now = self._database.now()
        attempt = planned_attempt(enrollment.id, enrollment.recipient_id, dialog, slot_due, number, now)
        session.add(attempt)
        return attempt

    def get(self, attempt_id: uuid.UUID) -> AttemptRow:
        """Raises StoreError when there is none."""
        with self._database.reading() as session:
            return the_attempt(session, attempt_id)

    def advance(
        self,
        attempt_id: uuid.UUID,
        state: AttemptState,
        *,
        at: datetime | None = None,
        provider_call_sid: str | None = None,
        recording_path: str | None = None,
    ) -> AttemptState:
        """Takes the attempt to the state, at a moment (now when not given), and keeps what else is known by then.

        Raises IllegalTransition for a step that a dial does not have; StoreError when the recipient is in another call,
        or is to be dialed without consent or after an opt-out.
        """
        with self._database.writing() as session:
            attempt = the_attempt(session, attempt_id, lock=True)
            if advance(attempt.state, state) is not attempt.state:
                if state in LIVE:
                    self._hold(session, attempt, state)
                attempt.state = state
                moment = at or self._database.now()
                if state is AttemptState.DIALING:
                    attempt.dialed_at = moment
                elif state is AttemptState.IN_PROGRESS:
                    attempt.answered_at = moment
                elif state.terminal:
                    attempt.ended_at = moment
            elif state is AttemptState.IN_PROGRESS:
                attempt.holder = self._database.holder  # this process takes the call up again
                attempt.seen_at = self._database.now()
            attempt.provider_call_sid = provider_call_sid or attempt.provider_call_sid
            attempt.recording_path = recording_path or attempt.recording_path
            return attempt.state

    def _hold(self, session: Session, attempt: AttemptRow, state: AttemptState) -> None:
        """The call is in this process's hands from now on."""
        if state is AttemptState.DIALING:
            _may_be_called(session.get_one(EnrollmentRow, attempt.enrollment_id))
        others = select(AttemptRow.id).where(
            AttemptRow.recipient_id == attempt.recipient_id,
            AttemptRow.id != attempt.id,
            col(AttemptRow.ended_at).is_(None),
            col(AttemptRow.state).in_(LIVE),
        )
        if session.exec(others).first():
            raise StoreError("This recipient is in another call.")
        attempt.holder = self._database.holder
        attempt.seen_at = self._database.now()

    def close_interrupted(self, *, resumable: bool = True) -> int:
        """Ends every talk that a process left when it died, with a report of what was understood until then.

        Talks of processes that still run are left alone; without ``resumable`` also those whose telephone call may
        still be up, so that their stream can be taken up again. Dials that have not become a talk are left to the
        workers, who ask the provider how those fare. Gives the number of calls closed, in one transaction.
        """
        with self._database.writing() as session:
            talks = select(AttemptRow).where(
                col(AttemptRow.ended_at).is_(None), AttemptRow.state == AttemptState.IN_PROGRESS
            )
            now = self._database.now()
            rows = session.exec(talks.order_by(col(AttemptRow.id)).with_for_update()).all()
            abandoned = [
                attempt
                for attempt in rows
                if not held(attempt, now) and (resumable or attempt.provider_call_sid is None)
            ]
            for attempt in abandoned:
                interrupt(session, self._database, attempt)
            return len(abandoned)


def planned_attempt(
    enrollment_id: uuid.UUID,
    recipient_id: uuid.UUID,
    dialog: DialogIdentity,
    slot_due: datetime | None,
    number: int,
    now: datetime,
) -> AttemptRow:
    return AttemptRow(
        enrollment_id=enrollment_id,
        recipient_id=recipient_id,
        slot_due=slot_due,
        number=number,
        state=AttemptState.PLANNED,
        planned_at=now,
        dialog_id=dialog.id,
        dialog_language=dialog.language,
        dialog_version=dialog.version,
        dialog_hash=dialog.hash,
    )


def held(attempt: AttemptRow, now: datetime) -> bool:
    """Whether the process that holds the call is there."""
    there = alive(attempt.holder)
    if there is not None:
        return there
    return attempt.seen_at is not None and now - attempt.seen_at <= _SILENCE


def interrupt(session: Session, database: Database, attempt: AttemptRow) -> None:
    """Ends a talk on our side, with a report of what was understood."""
    attempt.state = advance(attempt.state, AttemptState.INTERRUPTED)
    attempt.ended_at = database.now()
    if read_report(session, attempt.id) is None:
        write_report(session, database, attempt, _report_so_far(session, attempt))
    note(session, database, PROGRAM, "call.interrupted", f"attempt:{attempt.id}")


def _may_be_called(enrollment: EnrollmentRow) -> None:
    if enrollment.opted_out_at is not None:
        raise StoreError(_OPTED_OUT)
    if enrollment.ended_at is not None:
        raise StoreError("This person is no longer enrolled in the campaign.")
    if enrollment.consent_at is None:
        raise StoreError("This person's consent to be called is not recorded.")


def _report_so_far(session: Session, attempt: AttemptRow) -> Report:
    turns = read_turns(session, attempt.id)
    findings: Findings = {}
    for turn, understanding in turns:
        for finding in understood_findings(turn, understanding) if understanding else ():
            if finding.value is not Ternary.UNKNOWN or finding.code not in findings:
                findings[finding.code] = finding
    return Report(
        attempt.dialog_id,
        attempt.dialog_language,
        attempt.dialog_version,
        attempt.dialog_hash,
        Outcome.INTERRUPTED,
        tuple(findings.values()),
        tuple(sorted(read_alerts(session, attempt.id), key=lambda alert: alert.urgency.rank)),
        (_BROKEN_OFF[attempt.dialog_language].format(turns=len(turns)),),
    )
