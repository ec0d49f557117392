"""One call as the dashboard shows it: what was said, what was found out, and what a human corrected."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from carecall.domain.attempt import AttemptState
from carecall.domain.finding import Evidence, Finding, FindingValue
from carecall.domain.language import Language
from carecall.domain.progress import CallFailure
from carecall.domain.report import Outcome
from carecall.domain.triage import Urgency
from carecall.domain.turn import Turn
from carecall.domain.viewer import Viewer
from carecall.errors import StoreConflict, StoreNotFound
from carecall.store.audit import note
from carecall.store.calls import read_turns
from carecall.store.codec import dump_value, load_notes, load_value
from carecall.store.engine import Repository
from carecall.store.history import remember
from carecall.store.news import newest_news
from carecall.store.recordings import sound_of
from carecall.store.reports import evidence_of, read_report
from carecall.store.scope import scoped, the
from carecall.store.sound_file import SoundFile
from carecall.store.tables import (
    AlertRow,
    AttemptRow,
    AuditRow,
    CorrectionRow,
    Direction,
    FindingRow,
    HistoryKind,
    RecipientRow,
    ReportRow,
    Resolution,
    UserRow,
    ValueKind,
)

SAME_LOOK = timedelta(minutes=10)  # in which a page that refreshes itself counts as one look at the record


@dataclass(frozen=True, slots=True)
class Correction:
    """A finding as a human corrected it."""

    id: uuid.UUID
    value: FindingValue
    reason: str
    by: str  # the user's name
    at: datetime


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """A finding as it was understood, with its corrections, oldest first."""

    original: Finding
    corrections: tuple[Correction, ...] = ()

    @property
    def value(self) -> FindingValue:
        """What counts now."""
        return self.corrections[-1].value if self.corrections else self.original.value

    @property
    def seen(self) -> str:
        """What a correction names, so that nobody overrules what they have not seen."""
        return str(self.corrections[-1].id) if self.corrections else ""


@dataclass(frozen=True, slots=True)
class ShownAlert:
    id: uuid.UUID
    code: str
    urgency: Urgency
    reason: str
    evidence: tuple[Evidence, ...]
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str  # a user's name; empty until then
    settled_at: datetime | None
    resolution: Resolution | None


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A call, while it goes on or afterwards."""

    id: uuid.UUID
    recipient_id: uuid.UUID
    recipient_name: str
    state: AttemptState
    direction: Direction
    failure: CallFailure | None
    planned_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    dialog_id: str
    dialog_language: Language
    dialog_version: str
    dialog_hash: str
    recording: SoundFile | None  # where it was kept; None when it was not
    turns: tuple[Turn, ...]
    alerts: tuple[ShownAlert, ...]  # the most urgent first
    outcome: Outcome | None = None  # this and what follows: of the report
    urgency: Urgency | None = None
    summary: str = ""
    notes: tuple[str, ...] = ()
    findings: tuple[ShownFinding, ...] = ()
    news: int = 0  # the id of the newest that the screen has taken in

    @property
    def live(self) -> bool:
        return not self.state.terminal

    @property
    def reported(self) -> bool:
        return self.urgency is not None

    def finding(self, code: str) -> ShownFinding:
        """Raises StoreNotFound for a code that the report does not have."""
        for finding in self.findings:
            if finding.original.code == code:
                return finding
        raise StoreNotFound


class CareCall(Repository):
    def call(self, viewer: Viewer, attempt_id: uuid.UUID, *, again: bool = False) -> ShownCall:
        """Raises StoreNotFound. A look at a call is audited; ``again`` is a page that refreshes itself."""
        with self._database.reading() as session:
            shown = _call(session, viewer, attempt_id)
            known = again and _looked(session, viewer, shown.id, self._database.now() - SAME_LOOK)
        if not known:
            with self._database.writing() as session:
                note(session, self._database, str(viewer.user_id), "call.viewed", f"attempt:{attempt_id}")
        return shown

    def recording(self, viewer: Viewer, attempt_id: uuid.UUID) -> SoundFile:
        """Where the audio was kept. Raises StoreNotFound when none was kept, or while the call goes on."""
        with self._database.reading() as session:
            attempt = the(session, _the_attempt(attempt_id), viewer)
            known = _looked(session, viewer, attempt_id, self._database.now() - SAME_LOOK, "call.listened")
            recording = sound_of(session, attempt)
        if recording is None or not attempt.state.terminal:
            raise StoreNotFound
        if not known:
            with self._database.writing() as session:
                note(session, self._database, str(viewer.user_id), "call.listened", f"attempt:{attempt_id}")
        return recording

    def correct(
        self, viewer: Viewer, attempt_id: uuid.UUID, code: str, value: FindingValue, reason: str, *, seen: str
    ) -> uuid.UUID:
        """Puts a correction beside the original. Gives its id.

        ``seen`` is what ``ShownFinding.seen`` was when the person decided: raises StoreConflict when somebody has
        corrected it since, StoreNotFound when the report has no such finding.
        """
        kind, text = dump_value(value)
        with self._database.writing() as session:
            attempt = the(session, _the_attempt(attempt_id), viewer)
            row = session.exec(
                select(FindingRow).where(FindingRow.attempt_id == attempt_id, FindingRow.code == code).with_for_update()
            ).first()
            if row is None:
                raise StoreNotFound
            newest = _corrections(session, [attempt_id], code)[-1:]
            if seen != (str(newest[0].id) if newest else ""):
                raise StoreConflict
            correction = CorrectionRow(
                attempt_id=attempt_id,
                code=code,
                kind=kind,
                value=None if kind is ValueKind.WORDS else text,
                words=text if kind is ValueKind.WORDS else None,
                reason=reason,
                user_id=viewer.user_id,
                at=self._database.now(),
            )
            session.add(correction)
            subject = f"attempt:{attempt_id}"
            remember(
                session,
                self._database,
                attempt.recipient_id,
                viewer,
                HistoryKind.FINDING_CORRECTED,
                subject=subject,
                words=reason,
                code=code,
            )
            note(session, self._database, str(viewer.user_id), "finding.corrected", subject, code=code)
            return correction.id


def newest_corrections(session: Session, attempt_ids: Sequence[uuid.UUID]) -> dict[tuple[uuid.UUID, str], FindingValue]:
    """What humans made of the findings of some calls: the newest correction by call and code."""
    return {(row.attempt_id, row.code): _value(row) for row in _corrections(session, attempt_ids)}


def user_names(session: Session, viewer: Viewer, ids: set[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The names of users of the viewer's organisation."""
    if not ids:
        return {}
    users = session.exec(scoped(select(UserRow).where(col(UserRow.id).in_(ids)), viewer))
    return {user.id: user.name for user in users}


def _the_attempt(attempt_id: uuid.UUID) -> SelectOfScalar[AttemptRow]:
    return (
        select(AttemptRow)
        .join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id)
        .where(AttemptRow.id == attempt_id)
    )


def _call(session: Session, viewer: Viewer, attempt_id: uuid.UUID) -> ShownCall:
    attempt = the(session, _the_attempt(attempt_id), viewer)
    recipient = session.get_one(RecipientRow, attempt.recipient_id)
    stored = session.get(ReportRow, attempt_id)
    report = read_report(session, attempt_id) if stored else None
    rows = _corrections(session, [attempt_id])
    alerts = session.exec(select(AlertRow).where(AlertRow.attempt_id == attempt_id)).all()
    users = {row.user_id for row in rows} | {row.acknowledged_by for row in alerts if row.acknowledged_by}
    names = user_names(session, viewer, users)
    corrections: dict[str, tuple[Correction, ...]] = {}
    for row in rows:
        made = Correction(row.id, _value(row), row.reason, names.get(row.user_id, ""), row.at)
        corrections[row.code] = (*corrections.get(row.code, ()), made)
    return ShownCall(
        attempt.id,
        recipient.id,
        recipient.name,
        attempt.state,
        attempt.direction,
        attempt.failure,
        attempt.planned_at,
        attempt.answered_at,
        attempt.ended_at,
        attempt.dialog_id,
        attempt.dialog_language,
        attempt.dialog_version,
        attempt.dialog_hash,
        sound_of(session, attempt),
        tuple(turn for turn, _ in read_turns(session, attempt_id)),
        _alerts(session, alerts, names),
        report.outcome if report else None,
        report.urgency if report else None,
        report.summary if report else "",
        load_notes(stored.notes) if stored else (),
        tuple(ShownFinding(each, corrections.get(each.code, ())) for each in report.findings) if report else (),
        newest_news(session),
    )


def _alerts(session: Session, rows: Sequence[AlertRow], names: dict[uuid.UUID, str]) -> tuple[ShownAlert, ...]:
    evidence = evidence_of(session, alerts=[row.id for row in rows])
    return tuple(
        ShownAlert(
            row.id,
            row.code,
            row.urgency,
            row.reason,
            evidence.get(row.id, ()),
            row.raised_at,
            row.acknowledged_at,
            names.get(row.acknowledged_by, "") if row.acknowledged_by else "",
            row.settled_at,
            row.resolution,
        )
        for row in sorted(rows, key=lambda row: (row.urgency.rank, row.raised_at))
    )


def _corrections(session: Session, attempt_ids: Sequence[uuid.UUID], code: str = "") -> Sequence[CorrectionRow]:
    """Oldest first."""
    query = select(CorrectionRow).where(col(CorrectionRow.attempt_id).in_(attempt_ids))
    if code:
        query = query.where(CorrectionRow.code == code)
    return session.exec(query.order_by(col(CorrectionRow.at), col(CorrectionRow.id))).all()


def _value(row: CorrectionRow | FindingRow) -> FindingValue:
    return load_value(row.kind, (row.words if row.kind is ValueKind.WORDS else row.value) or "")


def _looked(
    session: Session, viewer: Viewer, attempt_id: uuid.UUID, since: datetime, action: str = "call.viewed"
) -> bool:
    """Whether the audit trail has this look already."""
    query = select(AuditRow.id).where(
        AuditRow.subject == f"attempt:{attempt_id}",
        AuditRow.actor == str(viewer.user_id),
        AuditRow.action == action,
        AuditRow.at > since,
    )
    return session.exec(query.limit(1)).first() is not None
