"""What became of every check of a simulated campaign, as the database and the exchange's own log tell it."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlmodel import col, select

from carecall.domain.turn import Speaker
from carecall.simulation.exchange_log import CallRecord, doubled, outside_window, over_rate
from carecall.store.engine import Repository
from carecall.store.tables import AttemptRow, ReportRow, SlotRow, SlotState, TaskRow, TurnRow


@dataclass(frozen=True, slots=True)
class SlotNow:
    """A check and its newest attempt. When two are equal, nothing has happened in between."""

    enrollment_id: uuid.UUID
    state: SlotState
    next_attempt_at: datetime | None
    attempts: int
    newest: tuple[object, ...]  # what is known of the newest attempt


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts over a whole run. All but the first four must be 0."""

    slots: int
    reports: int  # slots that ended with a talk and its report
    tasks: int  # slots that ended with a human's task
    calls: int  # that the exchange made for us
    open: int  # slots not closed, or never opened
    lost: int  # slots closed without a report or a task
    stuck: int  # attempts without an end
    doubled: int  # calls of which two were live to one number
    too_often: int  # calls to a person beyond the ladder
    unowned: int  # calls that no attempt knows
    outside_window: int
    over_rate: int

    @property
    def good(self) -> bool:
        return not any(getattr(self, field.name) for field in fields(self)[4:])

    def __str__(self) -> str:
        return " ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


class Ledger(Repository):
    """Reads the program's database from outside."""

    def under_way(self, now: datetime) -> list[SlotNow]:
        """The open checks with an attempt, or that should have one by now."""
        with self._database.reading() as session:
            slots = session.exec(
                select(SlotRow).where(
                    SlotRow.state == SlotState.OPEN,
                    col(SlotRow.next_attempt_at).is_(None) | (col(SlotRow.next_attempt_at) <= now),
                )
            ).all()
            people = [slot.enrollment_id for slot in slots]
            attempts = session.exec(select(AttemptRow).where(col(AttemptRow.enrollment_id).in_(people))).all()
        return [_now(slot, attempts) for slot in slots]

    def unfinished(self, people: int) -> int:
        """How many of so many people, each with one check, have one that is not closed."""
        with self._database.reading() as session:
            return people - len(session.exec(select(SlotRow.due_at).where(SlotRow.state != SlotState.OPEN)).all())

    def asked(self, call_sid: str) -> str | None:
        """The code of the question that the agent's last turn in a call put."""
        with self._database.reading() as session:
            return session.exec(
                select(TurnRow.asked)
                .join(AttemptRow, col(AttemptRow.id) == TurnRow.attempt_id)
                .where(AttemptRow.provider_call_sid == call_sid, TurnRow.speaker == Speaker.AGENT)
                .order_by(col(TurnRow.turn_index).desc())
            ).first()

    def judge(
        self, enrollments: Sequence[uuid.UUID], calls: Sequence[CallRecord], *, per_second: float, rings: int
    ) -> Verdict:
        """``enrollments`` had one check each; ``rings`` is how often the ladder lets one telephone ring."""
        with self._database.reading() as session:
            slots = session.exec(select(SlotRow)).all()
            attempts = session.exec(select(AttemptRow)).all()
            reported = set(session.exec(select(ReportRow.attempt_id)).all())
            tasks = set(session.exec(select(TaskRow.enrollment_id, TaskRow.slot_due)).all())
        talked = {(each.enrollment_id, each.slot_due) for each in attempts if each.id in reported}
        keys = {
            state: {(each.enrollment_id, each.due_at) for each in slots if each.state is state} for state in SlotState
        }
        reports = len(keys[SlotState.REACHED] & talked)
        handed = len(keys[SlotState.HANDED_OVER] & tasks)
        closed = sum(len(keys[state]) for state in SlotState if state is not SlotState.OPEN)
        never_opened = set(enrollments) - {each.enrollment_id for each in slots}
        owned = {each.provider_call_sid for each in attempts}
        ours = [call for call in calls if not call.inbound]
        rang = Counter(call.to for call in ours if call.rang_at is not None)
        return Verdict(
            slots=len(slots),
            reports=reports,
            tasks=handed,
            calls=len(ours),
            open=len(keys[SlotState.OPEN]) + len(never_opened),
            lost=closed - reports - handed,
            stuck=sum(not each.state.terminal for each in attempts),
            doubled=len(doubled(calls)),
            too_often=sum(max(0, count - rings) for count in rang.values()),
            unowned=sum(call.sid not in owned for call in ours),
            outside_window=len(outside_window(calls)),
            over_rate=len(over_rate(calls, per_second)),
        )


def _now(slot: SlotRow, attempts: Sequence[AttemptRow]) -> SlotNow:
    of_slot = [each for each in attempts if (each.enrollment_id, each.slot_due) == (slot.enrollment_id, slot.due_at)]
    newest = max(of_slot, key=lambda attempt: attempt.number, default=None)
    about = (
        ()
        if newest is None
        else (
            newest.state,
            newest.provider_call_sid,
            newest.sequence,
            newest.answered_at,
            newest.line_ended_at,
            newest.resumes,
        )
    )
    return SlotNow(slot.enrollment_id, slot.state, slot.next_attempt_at, len(of_slot), about)
