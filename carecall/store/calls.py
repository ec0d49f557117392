"""What is said and found in a call: turns and alerts while it lasts, the report at its end."""

import uuid
from typing import TYPE_CHECKING

from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState, advance
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert
from carecall.domain.turn import Turn
from carecall.errors import StoreError
from carecall.store.audit import PROGRAM, note
from carecall.store.codec import dump_understanding
from carecall.store.engine import Repository
from carecall.store.recipients import opt_out
from carecall.store.reports import read_alerts, read_report, write_alert, write_report
from carecall.store.slots import reached_by_their_own_call
from carecall.store.tables import AlertRow, AttemptRow, Direction, ReportRow, TurnRow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Calls(Repository):
    def add_turn(self, attempt_id: uuid.UUID, turn: Turn) -> None:
        """Raises StoreError when the call has a turn of this index."""
        with self._database.writing() as session:
            the_attempt(session, attempt_id).seen_at = self._database.now()
            session.add(
                TurnRow(
                    attempt_id=attempt_id,
                    turn_index=turn.index,
                    speaker=turn.speaker,
                    text=turn.text,
                    started_s=turn.started_s,
                    ended_s=turn.ended_s,
                    asked=turn.asked,
                    interrupted=turn.interrupted,
                )
            )

    def add_understanding(self, attempt_id: uuid.UUID, index: int, understanding: "DataclassInstance") -> None:
        """How the turn of this index was understood. Raises StoreError when there is no such turn."""
        with self._database.writing() as session:
            turn = session.get(TurnRow, (attempt_id, index))
            if turn is None:
                raise StoreError(f"Call {attempt_id} has no turn {index}.")
            turn.understanding = dump_understanding(understanding)

    def raise_alert(self, attempt_id: uuid.UUID, alert: Alert) -> None:
        """Puts an alert before the care workers, once for each code."""
        with self._database.writing() as session:
            known = select(AlertRow.id).where(AlertRow.attempt_id == attempt_id, AlertRow.code == alert.code)
            if session.exec(known).first() is None:
                write_alert(session, self._database, attempt_id, alert)

    def finish(self, attempt_id: uuid.UUID, report: Report) -> None:
        """Ends the call with report, alerts, opt-out and audit entry in one transaction. A second time changes nothing.

        Raises IllegalTransition for an attempt that was never dialed or answered.
        """
        with self._database.writing() as session:
            attempt = the_attempt(session, attempt_id, lock=True)
            if session.get(ReportRow, attempt_id) is not None:
                return
            if not attempt.state.terminal:
                broken = report.outcome is Outcome.INTERRUPTED
                attempt.state = advance(attempt.state, AttemptState.INTERRUPTED if broken else AttemptState.COMPLETED)
                attempt.ended_at = self._database.now()
            write_report(session, self._database, attempt, report)
            if report.outcome is Outcome.OPTED_OUT:
                opt_out(session, self._database, attempt.recipient_id, PROGRAM)
            if attempt.direction is Direction.INBOUND:
                reached_by_their_own_call(session, attempt, self._database.now())
            note(
                session,
                self._database,
                PROGRAM,
                "call.finished",
                f"attempt:{attempt_id}",
                outcome=report.outcome.value,
                urgency=report.urgency.value,
                findings=len(report.findings),
            )

    def turns(self, attempt_id: uuid.UUID) -> list[Turn]:
        """The turns of the call in order."""
        with self._database.reading() as session:
            return [turn for turn, _ in read_turns(session, attempt_id)]

    def transcript(self, attempt_id: uuid.UUID) -> list[tuple[Turn, str | None]]:
        """The turns of the call in order, each with its understanding as JSON, to take the call up again."""
        with self._database.reading() as session:
            return read_turns(session, attempt_id)

    def alerts(self, attempt_id: uuid.UUID) -> list[Alert]:
        """All alerts of the call, in its report or not."""
        with self._database.reading() as session:
            return read_alerts(session, attempt_id)

    def load_report(self, attempt_id: uuid.UUID) -> Report | None:
        """The report as it was given to finish."""
        with self._database.reading() as session:
            return read_report(session, attempt_id)


def the_attempt(session: Session, attempt_id: uuid.UUID, *, lock: bool = False) -> AttemptRow:
    """Raises StoreError when there is none."""
    attempt = session.get(AttemptRow, attempt_id, with_for_update=lock)
    if attempt is None:
        raise StoreError(f"There is no attempt {attempt_id}.")
    return attempt


def read_turns(session: Session, attempt_id: uuid.UUID) -> list[tuple[Turn, str | None]]:
    """The turns of the call in order, each with its understanding as JSON."""
    rows = session.exec(select(TurnRow).where(TurnRow.attempt_id == attempt_id).order_by(col(TurnRow.turn_index)))
    return [
        (
            Turn(
                row.turn_index,
                row.speaker,
                row.text,
                row.started_s,
                row.ended_s,
                row.asked,
                row.interrupted,
            ),
            row.understanding,
        )
        for row in rows
    ]
