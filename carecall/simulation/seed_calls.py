"""What a check leaves in a seeded database: dials, a talk with its report and alert, or a task, and the day."""

import uuid
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import Ending, TaskKind
from carecall.domain.finding import Layer
from carecall.domain.progress import AnsweredBy, CallFailure
from carecall.domain.report import Outcome
from carecall.domain.triage import Urgency
from carecall.domain.turn import Speaker
from carecall.simulation.seed_run import Run
from carecall.simulation.seed_towns import Inhabitant
from carecall.simulation.seed_words import REPLIES, RESOLVED, TELEPHONED, Concern, some_concern, summary
from carecall.store.tables import (
    AlertRow,
    AttemptRow,
    DayRow,
    DayState,
    EvidenceRow,
    FindingRow,
    HistoryKind,
    HistoryRow,
    ReportRow,
    Resolution,
    SlotRow,
    SlotState,
    TaskRow,
    TurnRow,
    ValueKind,
)

_UNREACHED = 0.02  # share of the checks that end with a human; today's is higher where few people are to leave as
_CONCERN = 0.03  # many tasks as asked for, and so is the share of the talks that raise an alert
_AT_MOST = 0.4  # of both
_DAYS = {Urgency.EMERGENCY: DayState.EMERGENCY, Urgency.URGENT: DayState.URGENT, Urgency.ATTENTION: DayState.ATTENTION}


class Calls:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._rows, self._chance = run.rows, run.chance
        self._unreached, self._concerned = _UNREACHED, _CONCERN

    def check_all(self, people: Sequence[Inhabitant], day: date) -> None:
        """Calls a group of people on a day; today so many are unreached, or tell of something, that work is left."""
        if day == self._run.today:
            called = max(1, sum(person.called for person in people))
            self._unreached = min(_AT_MOST, max(_UNREACHED, 1.5 * self._run.size.tasks / called))
            self._concerned = min(_AT_MOST, max(_CONCERN, 1.5 * self._run.size.alerts / called))
        for person in people:
            self._check(person, day)

    def _check(self, person: Inhabitant, day: date) -> None:
        if not person.called and day == self._run.today:
            return
        due = self._run.due(day)
        planned = due + timedelta(seconds=self._chance.randrange(120 * 60))
        reached = self._chance.random() >= self._unreached
        failed = 3 if not reached else self._chance.choices((0, 1, 2), (95, 4, 1))[0]
        attempt, ended = uuid.UUID(int=0), planned
        for number in range(1, failed + 1):
            attempt, ended = self._unanswered(person, due, number, planned)
            planned = ended + timedelta(minutes=30)
        if reached:
            attempt, ended = self._talk(person, due, day, failed + 1, planned)
        else:
            self._hand_over(person, due, day, attempt, ended)
        self._rows.add(
            SlotRow,
            enrollment_id=person.enrollment,
            due_at=due,
            until=due + timedelta(hours=4),
            state=SlotState.REACHED if reached else SlotState.HANDED_OVER,
            reason=Ending.REACHED.value if reached else Ending.NO_ANSWER.value,
            opened_at=due,
            closed_at=ended,
        )

    def _unanswered(
        self, person: Inhabitant, due: datetime, number: int, planned: datetime
    ) -> tuple[uuid.UUID, datetime]:
        attempt, ended = self._run.id(), planned + timedelta(seconds=32)
        state = self._chance.choices(
            (AttemptState.NO_ANSWER, AttemptState.BUSY, AttemptState.MACHINE, AttemptState.FAILED), (7, 2, 2, 1)
        )[0]
        self._attempt(
            person,
            id=attempt,
            slot_due=due,
            number=number,
            state=state,
            answered_by=AnsweredBy.MACHINE_START if state is AttemptState.MACHINE else None,
            failure=CallFailure.CARRIER if state is AttemptState.FAILED else None,
            planned_at=planned,
            dialed_at=planned,
            line_ended_at=ended,
            ended_at=ended,
        )
        return attempt, ended

    def _attempt(self, person: Inhabitant, **values: object) -> None:
        self._run.made.calls += 1
        self._rows.add(
            AttemptRow,
            enrollment_id=person.enrollment,
            recipient_id=person.id,
            provider_call_sid=f"CA{self._chance.getrandbits(128):032x}",
            dialog_id=person.dialog.id,
            dialog_language=person.dialog.language,
            dialog_version=person.dialog.version,
            dialog_hash=person.dialog.hash,
            **values,
        )

    def _hand_over(self, person: Inhabitant, due: datetime, day: date, attempt: uuid.UUID, ended: datetime) -> None:
        """Nobody was reached: a task for a human, closed by now except for today's."""
        self._day(person, day, DayState.UNREACHED, None, ended)
        waits = day == self._run.today and self._run.made.tasks < self._run.size.tasks
        self._run.made.tasks += waits
        closed = min(ended + timedelta(hours=2 + 20 * self._chance.random()), self._run.at)
        task = self._run.id()
        self._rows.add(
            TaskRow,
            id=task,
            recipient_id=person.id,
            enrollment_id=person.enrollment,
            slot_due=due,
            attempt_id=attempt,
            kind=TaskKind.CALL,
            reason=Ending.NO_ANSWER.value,
            due_at=ended + timedelta(hours=4),
            opened_at=ended,
            closed_at=None if waits else closed,
        )
        if not waits:
            self._history(person, closed, HistoryKind.MANUAL_CALL, f"task:{task}", TELEPHONED)
            self._history(person, closed, HistoryKind.TASK_CLOSED, f"task:{task}", "")

    def _talk(
        self, person: Inhabitant, due: datetime, day: date, number: int, planned: datetime
    ) -> tuple[uuid.UUID, datetime]:
        attempt, answered = self._run.id(), planned + timedelta(seconds=12)
        ended = answered + timedelta(seconds=100 + self._chance.randrange(120))
        concern = some_concern(self._chance) if self._chance.random() < self._concerned else None
        urgency = concern.urgency if concern else Urgency.ROUTINE
        outcome = Outcome.EMERGENCY if urgency is Urgency.EMERGENCY else Outcome.COMPLETED
        self._attempt(
            person,
            id=attempt,
            slot_due=due,
            number=number,
            state=AttemptState.COMPLETED,
            answered_by=AnsweredBy.HUMAN,
            planned_at=planned,
            dialed_at=planned,
            answered_at=answered,
            line_ended_at=ended,
            ended_at=ended,
            outcome=outcome,
        )
        self._report(person, attempt, outcome, urgency, summary(concern), ended)
        self._day(person, day, _DAYS.get(urgency, DayState.FINE), attempt, answered)
        detailed = (self._run.today - day).days < self._run.size.detailed_days
        turn = self._detail(person, attempt, concern) if detailed else 1
        if concern is not None:
            self._alert(person, day, attempt, concern, turn, ended)
        return attempt, ended

    def _report(
        self,
        person: Inhabitant,
        attempt: uuid.UUID,
        outcome: Outcome,
        urgency: Urgency,
        said: str,
        written_at: datetime,
    ) -> None:
        self._rows.add(
            ReportRow,
            attempt_id=attempt,
            dialog_id=person.dialog.id,
            dialog_language=person.dialog.language.value,
            dialog_version=person.dialog.version,
            dialog_hash=person.dialog.hash,
            outcome=outcome,
            urgency=urgency,
            notes="[]",
            summary=said,
            written_at=written_at,
        )

    def _detail(self, person: Inhabitant, attempt: uuid.UUID, concern: Concern | None) -> int:
        """The turns and the findings of a talk. Gives the index of the turn in which the concern was said."""
        self._run.made.details += 1
        said, at_s, concerning, position = 0, 0.0, 1, 0
        for question in person.dialog.agenda:
            if question.code not in REPLIES:
                continue
            value, words = REPLIES[question.code]
            if concern is not None and (concern.code == question.code or (position == 0 and concern.volunteered)):
                concerning = said + 1
                if concern.volunteered:
                    self._finding(attempt, concern.code, concern.value, concern.words, concerning, at_s + 5.0, 7)
                else:
                    value = concern.value
                words = concern.words
            spoken = ((Speaker.AGENT, question.ask[0], 4.5), (Speaker.RECIPIENT, words, 3.0))
            for speaker, text, lasts_s in spoken:
                self._turn(attempt, said, speaker, text, at_s, lasts_s, question.code)
                said, at_s = said + 1, round(at_s + lasts_s + 0.9, 2)
            self._finding(attempt, question.code, value, words, said - 1, at_s - 3.9, position)
            position += 1
        return concerning

    def _turn(
        self,
        attempt: uuid.UUID,
        index: int,
        speaker: Speaker,
        text: str,
        started_s: float,
        lasts_s: float,
        asked: str,
    ) -> None:
        self._rows.add(
            TurnRow,
            attempt_id=attempt,
            turn_index=index,
            speaker=speaker,
            text=text,
            started_s=started_s,
            ended_s=started_s + lasts_s,
            asked=asked,
        )

    def _finding(
        self, attempt: uuid.UUID, code: str, value: str, words: str, turn: int, start_s: float, position: int
    ) -> None:
        finding = self._run.id()
        self._rows.add(
            FindingRow,
            id=finding,
            attempt_id=attempt,
            code=code,
            position=position,
            kind=ValueKind.TERNARY,
            value=value,
            layer=Layer.RULES,
        )
        self._evidence(turn, words, start_s, finding_id=finding)

    def _evidence(self, turn: int, words: str, start_s: float, **of: uuid.UUID) -> None:
        self._rows.add(EvidenceRow, id=self._run.id(), position=0, turn_index=turn, quote=words, start_s=start_s, **of)

    def _alert(
        self, person: Inhabitant, day: date, attempt: uuid.UUID, concern: Concern, turn: int, ended: datetime
    ) -> None:
        """Open ones are the newest; of those every third has been acknowledged."""
        alert, worker = self._run.id(), self._chance.choice(person.town.users[2:6])
        waits = day == self._run.today and self._run.made.alerts < self._run.size.alerts
        self._run.made.alerts += waits
        acknowledged = None if waits and self._run.made.alerts % 3 else min(ended + timedelta(minutes=4), self._run.at)
        settled = None if waits else min(ended + timedelta(minutes=10 + self._chance.randrange(200)), self._run.at)
        self._rows.add(
            AlertRow,
            id=alert,
            attempt_id=attempt,
            code=concern.rule,
            position=0,
            urgency=concern.urgency,
            reason=concern.reason,
            raised_at=ended,
            acknowledged_at=acknowledged,
            acknowledged_by=worker if acknowledged else None,
            assigned_to=worker if acknowledged else None,
            settled_at=settled,
            settled_by=worker if settled else None,
            resolution=Resolution.HANDLED if settled else None,
        )
        self._evidence(turn, concern.words, 5.4, alert_id=alert)
        if acknowledged:
            self._history(person, acknowledged, HistoryKind.ALERT_ACKNOWLEDGED, f"alert:{alert}", "", str(worker))
        if settled:
            self._history(person, settled, HistoryKind.ALERT_RESOLVED, f"alert:{alert}", RESOLVED, str(worker))

    def _day(self, person: Inhabitant, day: date, state: DayState, attempt: uuid.UUID | None, moment: datetime) -> None:
        self._rows.add(
            DayRow,
            recipient_id=person.id,
            day=day,
            organisation_id=person.town.id,
            state=state,
            attempt_id=attempt,
            at=moment,
        )

    def _history(
        self, person: Inhabitant, moment: datetime, kind: HistoryKind, subject: str, words: str, actor: str = ""
    ) -> None:
        self._rows.add(
            HistoryRow,
            id=self._run.id(),
            recipient_id=person.id,
            at=moment,
            actor=actor or str(self._chance.choice(person.town.users[2:6])),
            kind=kind,
            subject=subject,
            words=words,
            details={},
        )
