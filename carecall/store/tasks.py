"""What humans are asked to do."""

import uuid

from sqlmodel import col, select

from carecall.errors import StoreError
from carecall.store.audit import PROGRAM, note
from carecall.store.engine import Repository
from carecall.store.slots import add_task, ladder_of
from carecall.store.tables import SlotRow, TaskRow


class Tasks(Repository):
    def tasks(self) -> list[TaskRow]:
        """The open ones, the most pressing first."""
        with self._database.reading() as session:
            query = select(TaskRow).where(col(TaskRow.closed_at).is_(None)).order_by(col(TaskRow.due_at))
            return list(session.exec(query))

    def close_task(self, task_id: uuid.UUID, *, actor: str) -> None:
        """It is done. A second time changes nothing. Raises StoreError when there is none."""
        with self._database.writing() as session:
            task = session.get(TaskRow, task_id, with_for_update=True)
            if task is None:
                raise StoreError(f"There is no task {task_id}.")
            if task.closed_at is None:
                task.closed_at = self._database.now()
                note(session, self._database, actor, "task.closed", f"task:{task_id}")

    def escalate_tasks(self) -> int:
        """Replaces each of a ladder's tasks that was not done in time by the next human step; gives how many.

        The last step of a ladder stays open until it is done.
        """
        with self._database.writing() as session:
            now = self._database.now()
            overdue = select(TaskRow).where(
                col(TaskRow.closed_at).is_(None), col(TaskRow.due_at) <= now, col(TaskRow.step) >= 0
            )
            followed = 0
            for task in session.exec(overdue.order_by(col(TaskRow.due_at)).with_for_update(skip_locked=True)).all():
                if task.enrollment_id is None or task.slot_due is None:
                    continue
                ladder = ladder_of(session, task.enrollment_id)
                if task.step + 1 >= len(ladder.then):
                    continue
                task.closed_at = now
                session.flush()
                slot = session.get_one(SlotRow, (task.enrollment_id, task.slot_due))
                step = task.step + 1
                add_task(
                    session,
                    slot,
                    task.recipient_id,
                    ladder.then[step],
                    step,
                    task.reason,
                    now,
                    attempt_id=task.attempt_id,
                )
                note(session, self._database, PROGRAM, "task.overdue", f"task:{task.id}", step=step)
                followed += 1
            return followed
