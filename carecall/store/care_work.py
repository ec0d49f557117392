"""What people do about alerts and tasks: each action is one transaction, with its entry in history and audit.

An action names what its page showed. Who comes second is told who was first; the same action once more changes nothing.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import TaskKind
from carecall.domain.enrollment import Enrolled, NotYet, Reason
from carecall.domain.viewer import Role, Viewer
from carecall.errors import StoreConflict, StoreError, StoreNotFound
from carecall.store.attempts import planned_attempt
from carecall.store.audit import Detail, note
from carecall.store.care_today import Colleague, colleagues
from carecall.store.days import tell_day_of
from carecall.store.engine import Repository
from carecall.store.enrolled import people_enrolled, read_enrolled
from carecall.store.history import remember
from carecall.store.line import in_a_call, locked_line
from carecall.store.planning import DialogOf
from carecall.store.scope import the
from carecall.store.slots import NO_STEP
from carecall.store.tables import (
    AlertRow,
    AttemptRow,
    EnrollmentRow,
    HistoryKind,
    HistoryRow,
    RecipientRow,
    Resolution,
    TaskRow,
    UserRow,
    WorkerRow,
)

T = TypeVar("T")

MayDial = Callable[[Enrolled, datetime], NotYet | None]

FOLLOW_UP = "follow_up"  # the reason of a task that somebody set themselves
_WORKER_SILENT = timedelta(seconds=20)


class TaskOutcome(StrEnum):
    """What came of a task."""

    DONE = "done"
    REACHED = "reached"
    NOT_REACHED = "not_reached"
    NOT_NEEDED = "not_needed"


class Conflict(StoreConflict):
    """Somebody else was first."""

    def __init__(self, what: str, by: Colleague | None, at: datetime | None) -> None:
        """``what``: acknowledged, assigned, settled or closed."""
        super().__init__()
        self.what, self.by, self.at = what, by, at


class CallRefused(StoreError):
    """This person cannot be called now."""

    code = "call_refused"

    def __init__(self, why: str, *, again_at: datetime | None = None, time_zone: str = "UTC") -> None:
        """``why``: one of planning's reasons, or no_worker, no_campaign, under_way."""
        super().__init__()
        self.why, self.again_at, self.time_zone = why, again_at, time_zone


class CareWork(Repository):
    # Alerts

    def acknowledge(self, viewer: Viewer, alert_id: uuid.UUID) -> None:
        """The viewer takes care of it, and has it unless it is somebody's already. Raises StoreNotFound, Conflict."""
        with self._database.writing() as session:
            alert, recipient_id = self._alert(session, viewer, alert_id)
            if alert.acknowledged_by == viewer.user_id:
                return
            _refuse_settled(session, viewer, alert)
            if alert.acknowledged_by is not None:
                raise Conflict("acknowledged", _who(session, viewer, alert.acknowledged_by), alert.acknowledged_at)
            self._take(viewer, alert)
            if alert.assigned_to is None:
                alert.assigned_to = viewer.user_id
            self._tell(session, viewer, recipient_id, HistoryKind.ALERT_ACKNOWLEDGED, f"alert:{alert_id}")

    def assign(self, viewer: Viewer, alert_id: uuid.UUID, to: uuid.UUID, *, seen: uuid.UUID | None) -> None:
        """Gives it to somebody. ``seen`` is whose it was on the page. Raises StoreNotFound, Conflict."""
        with self._database.writing() as session:
            alert, recipient_id = self._alert(session, viewer, alert_id)
            _the_user(session, viewer, to)
            if alert.assigned_to == to:
                return
            _refuse_settled(session, viewer, alert)
            if alert.assigned_to != seen:
                raise Conflict("assigned", _who(session, viewer, alert.assigned_to), None)
            alert.assigned_to = to
            self._tell(session, viewer, recipient_id, HistoryKind.ALERT_ASSIGNED, f"alert:{alert_id}", to=str(to))

    def resolve(self, viewer: Viewer, alert_id: uuid.UUID, resolution: Resolution, words: str) -> None:
        """Settles it; the day is what it was without a false alarm. Raises StoreNotFound, Conflict."""
        with self._database.writing() as session:
            alert, recipient_id = self._alert(session, viewer, alert_id)
            if alert.settled_by == viewer.user_id and alert.resolution is resolution:
                return
            _refuse_settled(session, viewer, alert)
            if alert.acknowledged_by is None:
                self._take(viewer, alert)
            alert.settled_at, alert.settled_by = self._database.now(), viewer.user_id
            alert.resolution = resolution
            self._tell(
                session,
                viewer,
                recipient_id,
                HistoryKind.ALERT_RESOLVED,
                f"alert:{alert_id}",
                words,
                resolution=resolution.value,
            )
            tell_day_of(session, session.get_one(AttemptRow, alert.attempt_id))

    def note_alert(self, viewer: Viewer, alert_id: uuid.UUID, words: str, *, once: uuid.UUID) -> None:
        """Adds a note; ``once`` is the form's own id, so that it is added once. Raises StoreNotFound."""
        with self._database.writing() as session:
            _, recipient_id = self._alert(session, viewer, alert_id)
            self._tell(session, viewer, recipient_id, HistoryKind.NOTE, f"alert:{alert_id}", words, once=once)

    def acknowledge_all(self, viewer: Viewer, alert_ids: Iterable[uuid.UUID]) -> list[Conflict]:
        """Each by itself; gives what others were first with. Raises StoreNotFound."""
        return self._each(lambda alert_id: self.acknowledge(viewer, alert_id), alert_ids)

    def assign_all(
        self, viewer: Viewer, alerts: Iterable[tuple[uuid.UUID, uuid.UUID | None]], to: uuid.UUID
    ) -> list[Conflict]:
        """Each alert, with whose it was on the page, by itself; gives those that are somebody else's by now."""
        return self._each(lambda alert: self.assign(viewer, alert[0], to, seen=alert[1]), alerts)

    # Tasks

    def assign_task(self, viewer: Viewer, task_id: uuid.UUID, to: uuid.UUID, *, seen: uuid.UUID | None) -> None:
        """Gives it to somebody. Raises StoreNotFound, Conflict."""
        with self._database.writing() as session:
            task = self._task(session, viewer, task_id)
            _the_user(session, viewer, to)
            if task.assigned_to == to:
                return
            _refuse_closed(session, viewer, task)
            if task.assigned_to != seen:
                raise Conflict("assigned", _who(session, viewer, task.assigned_to), None)
            task.assigned_to = to
            self._tell(session, viewer, task.recipient_id, HistoryKind.ALERT_ASSIGNED, f"task:{task_id}", to=str(to))

    def note_task(self, viewer: Viewer, task_id: uuid.UUID, words: str, *, once: uuid.UUID) -> None:
        """Adds a note. Raises StoreNotFound."""
        with self._database.writing() as session:
            task = self._task(session, viewer, task_id)
            self._tell(session, viewer, task.recipient_id, HistoryKind.NOTE, f"task:{task_id}", words, once=once)

    def finish_task(self, viewer: Viewer, task_id: uuid.UUID, outcome: TaskOutcome, words: str) -> None:
        """It is done. Raises StoreNotFound, Conflict."""
        with self._database.writing() as session:
            task = self._task(session, viewer, task_id)
            if task.closed_at is not None and _closed_by(session, task) == str(viewer.user_id):
                return
            _refuse_closed(session, viewer, task)
            self._close(session, viewer, task, outcome, words)

    # People

    def note_recipient(self, viewer: Viewer, recipient_id: uuid.UUID, words: str, *, once: uuid.UUID) -> None:
        """Adds a note. Raises StoreNotFound."""
        with self._database.writing() as session:
            _the_recipient(session, viewer, recipient_id)
            self._tell(session, viewer, recipient_id, HistoryKind.NOTE, "", words, once=once)

    def follow_up(
        self,
        viewer: Viewer,
        recipient_id: uuid.UUID,
        kind: TaskKind,
        due_at: datetime,
        words: str,
        *,
        once: uuid.UUID,
        alert_id: uuid.UUID | None = None,
    ) -> uuid.UUID:
        """A task for the viewer. ``once`` becomes its id. Raises StoreNotFound."""
        with self._database.writing() as session:
            _the_recipient(session, viewer, recipient_id)
            known = session.get(TaskRow, once)
            if known is not None:
                return self._task(session, viewer, once).id
            attempt_id = None
            if alert_id is not None:
                attempt_id = self._alert(session, viewer, alert_id)[0].attempt_id
            session.add(
                TaskRow(
                    id=once,
                    recipient_id=recipient_id,
                    attempt_id=attempt_id,
                    kind=kind,
                    assigned_to=viewer.user_id,
                    step=NO_STEP,
                    reason=FOLLOW_UP,
                    due_at=due_at,
                    opened_at=self._database.now(),
                )
            )
            self._tell(session, viewer, recipient_id, HistoryKind.TASK_OPENED, f"task:{once}", words, task=kind.value)
            return once

    def manual_call(
        self,
        viewer: Viewer,
        recipient_id: uuid.UUID,
        reached: bool,
        words: str,
        *,
        once: uuid.UUID,
        task_id: uuid.UUID | None = None,
        alert_id: uuid.UUID | None = None,
    ) -> None:
        """Somebody rang the person themselves. Reached, the task is done with it. Raises StoreNotFound, Conflict."""
        with self._database.writing() as session:
            _the_recipient(session, viewer, recipient_id)
            if session.get(HistoryRow, once) is not None:
                return
            subject = ""
            if alert_id is not None:
                subject = f"alert:{self._alert(session, viewer, alert_id)[0].id}"
            task = self._task(session, viewer, task_id) if task_id is not None else None
            if task is not None:
                subject = f"task:{task.id}"
            result = TaskOutcome.REACHED if reached else TaskOutcome.NOT_REACHED
            self._tell(
                session,
                viewer,
                recipient_id,
                HistoryKind.MANUAL_CALL,
                subject,
                words,
                once=once,
                result=result.value,
            )
            if task is not None and reached:
                if task.closed_at is not None:
                    return  # what was tried is kept; somebody had closed the task
                self._close(session, viewer, task, TaskOutcome.REACHED, "")

    def call_now(self, viewer: Viewer, recipient_id: uuid.UUID, may_dial: MayDial, dialog: DialogOf) -> uuid.UUID:
        """Plans an attempt outside of any schedule, which a worker's next tick takes up; gives it.

        Consent, opt-out, pause and contact hours hold. One that is planned already is given again.
        Raises StoreNotFound, CallRefused, and what ``dialog`` raises.
        """
        with self._database.writing() as session:
            now = self._database.now()
            recipient = _the_recipient(session, viewer, recipient_id)
            workers = select(WorkerRow.name).where(col(WorkerRow.seen_at) > now - _WORKER_SILENT)
            if session.exec(workers.limit(1)).first() is None:
                raise CallRefused("no_worker")
            locked_line(session, now)
            under_way = session.exec(
                select(AttemptRow)
                .join(EnrollmentRow, col(EnrollmentRow.id) == AttemptRow.enrollment_id)
                .where(EnrollmentRow.recipient_id == recipient_id, col(AttemptRow.ended_at).is_(None))
            ).first()
            if under_way is not None:
                if under_way.state is AttemptState.PLANNED and under_way.slot_due is None:
                    return under_way.id
                raise CallRefused("under_way")
            if not recipient.phone:
                raise CallRefused(Reason.NO_NUMBER, time_zone=recipient.time_zone)
            if in_a_call(session, recipient.id, recipient.phone, now):
                raise CallRefused(Reason.IN_A_CALL, time_zone=recipient.time_zone)
            query = people_enrolled().where(
                col(EnrollmentRow.recipient_id) == recipient_id, col(EnrollmentRow.ended_at).is_(None)
            )
            chosen = _callable(read_enrolled(session, query, now), may_dial, now)
            attempt = planned_attempt(
                chosen.enrollment_id,
                recipient_id,
                dialog(chosen.campaign.dialog, chosen.language),
                None,
                1,
                now,
            )
            session.add(attempt)
            session.flush()
            self._tell(session, viewer, recipient_id, HistoryKind.CALL_NOW, f"attempt:{attempt.id}")
            return attempt.id

    # Inside a transaction

    def _alert(self, session: Session, viewer: Viewer, alert_id: uuid.UUID) -> tuple[AlertRow, uuid.UUID]:
        """The alert, locked, and whose it is."""
        recipient_id = the(
            session,
            select(RecipientRow.id)
            .join(AttemptRow, col(AttemptRow.recipient_id) == RecipientRow.id)
            .join(AlertRow, col(AlertRow.attempt_id) == AttemptRow.id)
            .where(AlertRow.id == alert_id),
            viewer,
        )
        return session.get_one(AlertRow, alert_id, with_for_update=True), recipient_id

    def _task(self, session: Session, viewer: Viewer, task_id: uuid.UUID) -> TaskRow:
        query = select(TaskRow.id).join(RecipientRow, col(RecipientRow.id) == TaskRow.recipient_id)
        the(session, query.where(TaskRow.id == task_id), viewer)
        return session.get_one(TaskRow, task_id, with_for_update=True)

    def _take(self, viewer: Viewer, alert: AlertRow) -> None:
        alert.acknowledged_at, alert.acknowledged_by = self._database.now(), viewer.user_id
        alert.escalate_at = None

    def _close(self, session: Session, viewer: Viewer, task: TaskRow, outcome: TaskOutcome, words: str) -> None:
        task.closed_at = self._database.now()
        self._tell(
            session,
            viewer,
            task.recipient_id,
            HistoryKind.TASK_CLOSED,
            f"task:{task.id}",
            words,
            task=task.kind.value,
            outcome=outcome.value,
        )

    def _tell(
        self,
        session: Session,
        viewer: Viewer,
        recipient_id: uuid.UUID,
        kind: HistoryKind,
        subject: str,
        words: str = "",
        *,
        once: uuid.UUID | None = None,
        **details: Detail,
    ) -> None:
        """The entries in history and audit; nothing when the one of this id is there."""
        if once is not None and session.get(HistoryRow, once) is not None:
            return
        remember(session, self._database, recipient_id, viewer, kind, subject=subject, words=words, id_=once, **details)
        about = subject or f"recipient:{recipient_id}"
        note(session, self._database, str(viewer.user_id), f"work.{kind.value}", about, **details)

    def _each(self, act: Callable[[T], None], those: Iterable[T]) -> list[Conflict]:
        conflicts = []
        for each in those:
            try:
                act(each)
            except Conflict as conflict:
                conflicts.append(conflict)
        return conflicts


def _callable(people: Sequence[Enrolled], may_dial: MayDial, now: datetime) -> Enrolled:
    """The first enrollment that may be called for now. Raises CallRefused with the reason of the first otherwise."""
    refusals = [(each, may_dial(each, now)) for each in people]
    for each, refusal in refusals:
        if refusal is None:
            return each
    for each, refusal in refusals:
        if refusal is not None:
            raise CallRefused(refusal.reason, again_at=refusal.look_again_at, time_zone=each.time_zone)
    raise CallRefused("no_campaign")


def _the_recipient(session: Session, viewer: Viewer, recipient_id: uuid.UUID) -> RecipientRow:
    return the(session, select(RecipientRow).where(RecipientRow.id == recipient_id), viewer)


def _the_user(session: Session, viewer: Viewer, user_id: uuid.UUID) -> UserRow:
    """Somebody who can be given something to do. Raises StoreNotFound."""
    user = the(session, select(UserRow).where(UserRow.id == user_id, col(UserRow.active)), viewer)
    if user.role.rank < Role.CARE_WORKER.rank:
        raise StoreNotFound
    return user


def _who(session: Session, viewer: Viewer, user_id: uuid.UUID | None) -> Colleague | None:
    return colleagues(session, viewer).get(user_id) if user_id is not None else None


def _refuse_settled(session: Session, viewer: Viewer, alert: AlertRow) -> None:
    if alert.settled_at is not None:
        raise Conflict("settled", _who(session, viewer, alert.settled_by), alert.settled_at)


def _refuse_closed(session: Session, viewer: Viewer, task: TaskRow) -> None:
    if task.closed_at is not None:
        by = _closed_by(session, task)
        user_id = uuid.UUID(by) if by else None
        raise Conflict("closed", _who(session, viewer, user_id), task.closed_at)


def _closed_by(session: Session, task: TaskRow) -> str:
    """The id of the user who closed it; empty when the program did."""
    query = select(HistoryRow.actor).where(
        HistoryRow.recipient_id == task.recipient_id,
        col(HistoryRow.at) >= task.opened_at,
        HistoryRow.kind == HistoryKind.TASK_CLOSED,
        HistoryRow.subject == f"task:{task.id}",
    )
    return session.exec(query).first() or ""
