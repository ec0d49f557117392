"""Fills a database as years of use would, to measure and to look at the dashboard: people, calls, alerts, tasks.

``python -m carecall.simulation.dashboard_seed --recipients 10000 --calls 1000000 --database sqlite:///FILE`` makes two
towns with their users, campaigns and people, each of whom was called about twice a week until a moment in the afternoon
of a working day (``--at``, in the towns' time zone). Every call has its check, report and day; turns, findings and
evidence are there for the calls of the last days only (``--detailed-days``), to keep the seeding short. What is random
comes from ``--seed``: the same options give the same records.
"""

import argparse
import json
import random
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import typer

from carecall.dashboard.passwords import hash_password
from carecall.dialog.definition import Dialog
from carecall.dialog.files import find_dialog
from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import DEFAULT_LADDER, Ending, Schedule, TaskKind
from carecall.domain.enrollment import Reason
from carecall.domain.finding import Layer
from carecall.domain.language import Language
from carecall.domain.progress import AnsweredBy, CallFailure
from carecall.domain.report import Outcome
from carecall.domain.triage import Urgency
from carecall.domain.turn import Speaker
from carecall.domain.viewer import Role
from carecall.errors import CareCallError
from carecall.memory.memory import Topic
from carecall.settings import settings
from carecall.simulation.bulk import Bulk, bulk, random_id
from carecall.simulation.progress import Progress
from carecall.store.codec import dump_ladder, dump_schedule
from carecall.store.facade import Store
from carecall.store.personal import Cipher
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AlertRow,
    AttemptRow,
    CampaignRow,
    ConsentSource,
    DayRow,
    DayState,
    EnrollmentRow,
    EvidenceRow,
    FindingRow,
    HistoryKind,
    HistoryRow,
    MemoryRow,
    OrganisationRow,
    RecipientRow,
    ReportRow,
    Resolution,
    SlotRow,
    SlotState,
    TaskRow,
    TurnRow,
    UserRow,
    ValueKind,
)

PASSWORD = "open the office at nine"  # of every user: a seeded database is for measuring and looking
SECRET = "a key for databases that are made to be looked at"  # unless CARECALL_SECRET_KEY names another
ZONE = "Asia/Seoul"
TOWNS = ("Hanbit", "Saebyeok")  # most people live in the first
_IN_KOREAN = {"Hanbit": "한빛동", "Saebyeok": "새벽동"}
_OF_THE_SECOND = 10  # one person in so many lives in the second
_DIALS_A_CHECK = 1.09
_UNREACHED = 0.02  # share of the checks that end with a human; today's is higher where few people are to leave as
_CONCERN = 0.03  # many tasks as asked for, and so is the share of the talks that raise an alert
_AT_MOST = 0.4  # of both
_TIMES = (time(10),)
_SURNAMES = "김이박최정강조윤장임한오서신권황안송류홍"
_SYLLABLES = "영숙정순자옥희경미선명복덕춘금만길수용철상기종태분남"
_ENGLISH = ("Anna", "Ben", "Clara", "David", "Ellen", "Frank", "Grace", "Henry", "Irene", "James")
_FAMILIES = ("Hill", "Brook", "Stone", "Field", "Wood", "Marsh", "Lane", "Dale", "Ford", "Green")
_MEMORIES = (
    ("무릎이 아파서 계단을 천천히 오른다.", Topic.HEALTH),
    ("혈압약을 아침마다 먹는다.", Topic.MEDICATION),
    ("새벽에 자주 깬다.", Topic.SLEEP),
    ("저녁은 죽으로 간단히 먹는다.", Topic.MEALS),
    ("아침마다 공원을 한 바퀴 걷는다.", Topic.EXERCISE),
    ("목요일마다 복지관 노래 교실에 간다.", Topic.OUTINGS),
    ("강아지 복실이와 함께 산다.", Topic.PETS),
    ("손녀가 올해 대학생이 되었다.", Topic.FAMILY),
)


@dataclass(frozen=True, slots=True)
class _Concern:
    """What somebody may say that a human has to see."""

    rule: str
    urgency: Urgency
    reason: str
    code: str
    value: str
    words: str


_CONCERNS = (
    _Concern(
        "chest_pain", Urgency.EMERGENCY, "지금 가슴이 아프다고 했습니다.", "chest_pain", "yes", "지금 가슴이 아파요"
    ),
    _Concern("fall", Urgency.URGENT, "최근에 넘어졌다고 했습니다.", "fall", "yes", "어제 화장실에서 넘어졌어요"),
    _Concern(
        "breathing_or_chest",
        Urgency.URGENT,
        "숨이 차거나 가슴이 아프다고 했습니다.",
        "dyspnea",
        "yes",
        "계단만 올라도 숨이 차요",
    ),
    _Concern(
        "not_eating",
        Urgency.ATTENTION,
        "식사를 하지 않았거나 입맛이 없다고 했습니다.",
        "ate",
        "no",
        "입맛이 없어서 못 먹었어요",
    ),
    _Concern(
        "health_problem",
        Urgency.ATTENTION,
        "아프거나 불편한 데가 있다고 했습니다.",
        "health_problem",
        "yes",
        "허리가 계속 아프네요",
    ),
    _Concern(
        "low_mood", Urgency.ATTENTION, "우울하거나 외롭다고 했습니다.", "low_mood", "yes", "요즘 통 적적하고 그래요"
    ),
)
_WEIGHTS = (1, 3, 3, 5, 5, 3)
_DAYS = {Urgency.EMERGENCY: DayState.EMERGENCY, Urgency.URGENT: DayState.URGENT, Urgency.ATTENTION: DayState.ATTENTION}
_REPLIES = {
    "ate": ("yes", "네, 아침에 된장국에 밥 먹었어요"),
    "slept_well": ("yes", "그럭저럭 잘 잤어요"),
    "health_problem": ("no", "아니요, 아픈 데는 없어요"),
    "medication_missed": ("no", "약은 꼬박꼬박 먹고 있어요"),
    "went_out": ("yes", "어제 시장에 다녀왔어요"),
    "exercised": ("yes", "동네 한 바퀴 걸었어요"),
    "low_mood": ("no", "괜찮아요, 마음은 편해요"),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is made. ``calls`` are met to within a hundredth."""

    recipients: int = 10_000
    calls: int = 1_000_000
    detailed_days: int = 30  # so many last days have turns, findings and evidence
    alerts: int = 40  # that are not settled
    tasks: int = 60  # that are not done


@dataclass(slots=True)
class Seeded:
    """What was made."""

    at: datetime
    recipients: int = 0
    calls: int = 0
    details: int = 0  # calls that have turns and findings
    alerts: int = 0  # open ones
    tasks: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Town:
    id: uuid.UUID
    name: str
    users: list[uuid.UUID] = field(default_factory=list)
    campaigns: list[uuid.UUID] = field(default_factory=list)


@dataclass(slots=True)
class _Person:
    id: uuid.UUID
    enrollment: uuid.UUID
    town: _Town
    dialog: Dialog
    called: bool  # not any more: no consent, opted out, ended


def last_afternoon(now: datetime) -> datetime:
    """Two o'clock in the towns on the last working day that is over."""
    day = now.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=1)
    while day.weekday() > 4:
        day -= timedelta(days=1)
    return datetime.combine(day, time(14), ZoneInfo(ZONE)).astimezone(UTC)


def address(role: Role, language: Language = Language.KOREAN, town: str = TOWNS[0]) -> str:
    """The address that a seeded user signs in with."""
    return f"{role}.{language}@{town.lower()}.example"


def seed_dashboard(
    url: str, size: Size, *, at: datetime, secret: str = "", seed: int = 7, progress: Progress | None = None
) -> Seeded:
    """Fills the database, which is made where it is missing. Raises StoreError when it has people already."""
    with Store.open(url, secret=secret, upgrade=True) as store:
        if store.outreach.campaigns():
            raise CareCallError("This database is in use: name a new one.")
    watch = Progress()
    cipher = Cipher(secret)
    with bulk(url, cipher) as rows:
        seeding = _Seeding(rows, cipher, size, at, random.Random(seed))
        for share in seeding.run():
            if progress is not None:
                progress.show(f"{share:4.0%}  {seeding.made.calls:,} calls, {rows.written:,} rows")
    made = seeding.made
    made.rows, made.seconds = rows.written, watch.seconds
    return made


class _Seeding:
    """One run. Checks are made day by day, as they came, so that a person's calls lie scattered in the tables."""

    def __init__(self, rows: Bulk, cipher: Cipher, size: Size, at: datetime, chance: random.Random) -> None:
        self._rows = rows
        self._cipher = cipher
        self._size = size
        self._at = at
        self._chance = chance
        self._zone = ZoneInfo(ZONE)
        self._today = at.astimezone(self._zone).date()
        self._dialogs = {
            language: find_dialog(settings().dialogs_dir, f"wellbeing.{language}") for language in Language
        }
        self._people: list[list[_Person]] = []  # by the weekdays that they are called on
        self._towns: list[_Town] = []
        self._unreached, self._concerned = _UNREACHED, _CONCERN
        self.made = Seeded(at)

    def run(self) -> Iterator[float]:
        """Gives the share that is done."""
        for number, name in enumerate(TOWNS):
            self._town(number, name)
        checks = max(1, round(self._size.calls / self._size.recipients / _DIALS_A_CHECK))
        begins = self._today - timedelta(days=checks * 7 // 2 + 7)
        self._enroll(begins)
        days = [
            (self._today - timedelta(days=back), group) for group in range(3) for back in self._backs(group, checks)
        ]
        days.sort(key=lambda each: each[0])
        for done, (day, group) in enumerate(days):
            if day == self._today:
                called = max(1, sum(person.called for person in self._people[group]))
                self._unreached = min(_AT_MOST, max(_UNREACHED, 1.5 * self._size.tasks / called))
                self._concerned = min(_AT_MOST, max(_CONCERN, 1.5 * self._size.alerts / called))
            for person in self._people[group]:
                self._check(person, day)
            yield (done + 1) / len(days)

    def _backs(self, group: int, checks: int) -> Iterator[int]:
        """How many days ago this group was called: twice a week, the first group today."""
        back = (7 - group) % 7
        count = 0
        while count < checks:
            yield back
            count += 1
            back += 3 if count % 2 else 4

    def _weekdays(self, group: int) -> frozenset[int]:
        newest = (7 - group) % 7
        return frozenset((self._today - timedelta(days=back)).weekday() for back in (newest, newest + 3))

    def _id(self) -> uuid.UUID:
        return random_id(self._chance.getrandbits)

    def _town(self, number: int, name: str) -> None:
        began = self._at - timedelta(days=400)
        town = _Town(self._id() if number else DEFAULT_ORGANISATION, name)
        if number:
            self._rows.add(OrganisationRow, id=town.id, name=name, created_at=began)
        password = hash_password(PASSWORD)
        for place, role in enumerate(Role):
            for language in Language:
                user, email = self._id(), address(role, language, name)
                town.users.append(user)
                self._rows.add(
                    UserRow,
                    id=user,
                    organisation_id=town.id,
                    email=email,
                    email_index=self._cipher.email_index(email),
                    name=self._name(language),
                    role=role,
                    language=language,
                    time_zone=ZONE,
                    password_hash=password,
                    escalation=place if language is Language.KOREAN and role is not Role.VIEWER else None,
                    created_at=began,
                )
        for group in range(3):
            campaign = self._id()
            town.campaigns.append(campaign)
            self._rows.add(
                CampaignRow,
                id=campaign,
                organisation_id=town.id,
                name=f"{_IN_KOREAN[name]} 안부 전화 {group + 1}",
                dialog="wellbeing",
                starts_on=began.date(),
                schedule=dump_schedule(Schedule(times=_TIMES, weekdays=self._weekdays(group))),
                ladder=dump_ladder(DEFAULT_LADDER),
            )
        self._towns.append(town)

    def _name(self, language: Language) -> str:
        if language is Language.ENGLISH:
            return f"{self._chance.choice(_ENGLISH)} {self._chance.choice(_FAMILIES)}"
        return self._chance.choice(_SURNAMES) + "".join(self._chance.sample(_SYLLABLES, 2))

    def _enroll(self, begins: date) -> None:
        self._people = [[], [], []]
        started = datetime.combine(begins, time(), UTC)
        for number in range(self._size.recipients):
            group = number % 3
            town = self._towns[number % _OF_THE_SECOND == 1]
            language = Language.ENGLISH if number % 20 == 3 else Language.KOREAN
            person = _Person(self._id(), self._id(), town, self._dialogs[language], number % 50 != 7)
            name, phone = self._name(language), f"+8210{10_000_000 + number * 8_887 % 90_000_000:08}"
            self._rows.add(
                RecipientRow,
                id=person.id,
                organisation_id=town.id,
                name=name,
                phone=phone,
                name_index=self._cipher.name_index(name),
                phone_index=self._cipher.phone_index(phone),
                language=language,
                time_zone=ZONE,
                notes="귀가 어두우셔서 크게 말씀드려야 합니다." if number % 9 == 0 else "",
                created_at=started,
            )
            self._enrollment(person, town.campaigns[group], started, number)
            for text, topic in self._chance.sample(_MEMORIES, self._chance.randrange(1, 6)):
                self._rows.add(
                    MemoryRow,
                    id=self._id(),
                    recipient_id=person.id,
                    text=text,
                    topic=topic.value,
                    created_at=started + (self._at - started) * self._chance.random(),
                )
            self._people[group].append(person)
            self.made.recipients += 1

    def _enrollment(self, person: _Person, campaign: uuid.UUID, started: datetime, number: int) -> None:
        """Most are called; of those who are not, each reason has somebody."""
        why = (
            ""
            if person.called
            else (Reason.NO_CONSENT, Reason.OPTED_OUT, Reason.PAUSED, Reason.ENDED)[number // 50 % 4]
        )
        consented = why is not Reason.NO_CONSENT
        again = datetime.combine(self._today + timedelta(days=1), _TIMES[0], self._zone).astimezone(UTC)
        self._rows.add(
            EnrollmentRow,
            id=person.enrollment,
            recipient_id=person.id,
            campaign_id=campaign,
            consent_at=started if consented else None,
            consent_source=(ConsentSource.WRITTEN if number % 3 else ConsentSource.SPOKEN) if consented else None,
            started_at=started,
            ended_at=self._at if why is Reason.ENDED else None,
            paused=why is Reason.PAUSED,
            opted_out_at=self._at if why is Reason.OPTED_OUT else None,
            next_due_at=again if person.called else None,
            why=str(why or Reason.NOT_DUE),
        )

    def _check(self, person: _Person, day: date) -> None:
        if not person.called and day == self._today:
            return
        due = datetime.combine(day, _TIMES[0], self._zone).astimezone(UTC)
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

    def _unanswered(self, person: _Person, due: datetime, number: int, planned: datetime) -> tuple[uuid.UUID, datetime]:
        attempt, ended = self._id(), planned + timedelta(seconds=32)
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

    def _attempt(self, person: _Person, **values: object) -> None:
        self.made.calls += 1
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

    def _hand_over(self, person: _Person, due: datetime, day: date, attempt: uuid.UUID, ended: datetime) -> None:
        """Nobody was reached: a task for a human, closed by now except for today's."""
        self._day(person, day, DayState.UNREACHED, None, ended)
        waits = day == self._today and self.made.tasks < self._size.tasks
        self.made.tasks += waits
        closed = min(ended + timedelta(hours=2 + 20 * self._chance.random()), self._at)
        task = self._id()
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
            self._history(person, closed, HistoryKind.MANUAL_CALL, f"task:{task}", "댁으로 전화드려 통화했습니다.")
            self._history(person, closed, HistoryKind.TASK_CLOSED, f"task:{task}", "")

    def _talk(
        self, person: _Person, due: datetime, day: date, number: int, planned: datetime
    ) -> tuple[uuid.UUID, datetime]:
        attempt, answered = self._id(), planned + timedelta(seconds=12)
        ended = answered + timedelta(seconds=100 + self._chance.randrange(120))
        concern = self._chance.choices(_CONCERNS, _WEIGHTS)[0] if self._chance.random() < self._concerned else None
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
            summary="식사와 잠이 좋다고 하셨습니다." if concern is None else f"{concern.reason} 확인이 필요합니다.",
            written_at=ended,
        )
        self._day(person, day, _DAYS.get(urgency, DayState.FINE), attempt, answered)
        detailed = (self._today - day).days < self._size.detailed_days
        turn = self._detail(person, attempt, concern) if detailed else 1
        if concern is not None:
            self._alert(person, day, attempt, concern, turn, ended)
        return attempt, ended

    def _detail(self, person: _Person, attempt: uuid.UUID, concern: _Concern | None) -> int:
        """The turns and the findings of a talk. Gives the index of the turn in which the concern was said."""
        self.made.details += 1
        said, at_s, concerning, position = 0, 0.0, 1, 0
        for question in person.dialog.agenda:
            if question.code not in _REPLIES:
                continue
            value, words = _REPLIES[question.code]
            if concern is not None and (concern.code == question.code or (position == 0 and _volunteered(concern))):
                concerning = said + 1
                if _volunteered(concern):
                    self._finding(attempt, concern.code, concern.value, concern.words, concerning, at_s + 5.0, 7)
                else:
                    value = concern.value
                words = concern.words
            spoken = ((Speaker.AGENT, question.ask[0], 4.5), (Speaker.RECIPIENT, words, 3.0))
            for speaker, text, lasts_s in spoken:
                self._rows.add(
                    TurnRow,
                    attempt_id=attempt,
                    turn_index=said,
                    speaker=speaker,
                    text=text,
                    started_s=at_s,
                    ended_s=at_s + lasts_s,
                    asked=question.code,
                )
                said, at_s = said + 1, round(at_s + lasts_s + 0.9, 2)
            self._finding(attempt, question.code, value, words, said - 1, at_s - 3.9, position)
            position += 1
        return concerning

    def _finding(
        self, attempt: uuid.UUID, code: str, value: str, words: str, turn: int, start_s: float, position: int
    ) -> None:
        finding = self._id()
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
        self._rows.add(EvidenceRow, id=self._id(), position=0, turn_index=turn, quote=words, start_s=start_s, **of)

    def _alert(
        self, person: _Person, day: date, attempt: uuid.UUID, concern: _Concern, turn: int, ended: datetime
    ) -> None:
        """Open ones are the newest; of those every third has been acknowledged."""
        alert, worker = self._id(), self._chance.choice(person.town.users[2:6])
        waits = day == self._today and self.made.alerts < self._size.alerts
        self.made.alerts += waits
        acknowledged = None if waits and self.made.alerts % 3 else min(ended + timedelta(minutes=4), self._at)
        settled = None if waits else min(ended + timedelta(minutes=10 + self._chance.randrange(200)), self._at)
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
            words = "전화로 확인했고 괜찮다고 하셨습니다."
            self._history(person, settled, HistoryKind.ALERT_RESOLVED, f"alert:{alert}", words, str(worker))

    def _day(self, person: _Person, day: date, state: DayState, attempt: uuid.UUID | None, moment: datetime) -> None:
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
        self, person: _Person, moment: datetime, kind: HistoryKind, subject: str, words: str, actor: str = ""
    ) -> None:
        self._rows.add(
            HistoryRow,
            id=self._id(),
            recipient_id=person.id,
            at=moment,
            actor=actor or str(self._chance.choice(person.town.users[2:6])),
            kind=kind,
            subject=subject,
            words=words,
            details={},
        )


def _volunteered(concern: _Concern) -> bool:
    """Whether no question asks for it."""
    return concern.code not in _REPLIES


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="dashboard_seed", description=(__doc__ or "").partition("\n")[0])
    standard = Size()
    parser.add_argument("--database", required=True, metavar="URL", help="sqlite:///FILE or postgresql+psycopg://…")
    parser.add_argument("--recipients", type=int, default=standard.recipients)
    parser.add_argument("--calls", type=int, default=standard.calls)
    parser.add_argument("--detailed-days", type=int, default=standard.detailed_days)
    parser.add_argument("--at", type=datetime.fromisoformat, help="the moment of the last call, with its zone")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    at = given.at or last_afternoon(datetime.now(UTC))
    size = Size(given.recipients, given.calls, given.detailed_days)
    secret = settings().secret_key.get_secret_value() or SECRET
    progress = Progress()
    try:
        made = seed_dashboard(given.database, size, at=at, secret=secret, seed=given.seed, progress=progress)
    except CareCallError as error:
        typer.echo(f"dashboard_seed: {error}", err=True)
        sys.exit(1)
    progress.end()
    if given.as_json:
        typer.echo(json.dumps({"at": at.isoformat(), "rows": made.rows, "calls": made.calls, "seconds": made.seconds}))
        return
    behind = round((datetime.now(UTC) - at).total_seconds())
    typer.echo(
        f"{made.recipients:,} recipients, {made.calls:,} calls ({made.details:,} with turns and findings), "
        f"{made.alerts} open alerts, {made.tasks} open tasks: {made.rows:,} rows in {made.seconds:.0f} s.\n"
        f"The clock stands at {at.isoformat()}. To look at it on http://127.0.0.1:8090:\n"
        f"  python -m carecall.simulation.dashboard_server --database {given.database} --behind {behind}\n"
        f"Sign in as {address(Role.ADMIN, Language.ENGLISH)}, {address(Role.CARE_WORKER)} and so on: {PASSWORD}"
    )


if __name__ == "__main__":
    main()
