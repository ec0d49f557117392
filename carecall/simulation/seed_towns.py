"""The towns of a seeded database: their users, campaigns and people."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from carecall.dashboard.passwords import hash_password
from carecall.dialog.definition import Dialog
from carecall.dialog.files import find_dialog
from carecall.domain.campaign import DEFAULT_LADDER, Schedule
from carecall.domain.enrollment import Reason
from carecall.domain.language import Language
from carecall.domain.viewer import Role
from carecall.settings import settings
from carecall.simulation.seed_run import GROUPS, TIME, ZONE, Run
from carecall.simulation.seed_words import HARD_OF_HEARING, IN_KOREAN, MEMORIES, some_name
from carecall.store.codec import dump_ladder, dump_schedule
from carecall.store.personal import Cipher
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    CampaignRow,
    ConsentSource,
    EnrollmentRow,
    MemoryRow,
    OrganisationRow,
    RecipientRow,
    UserRow,
)

PASSWORD = "open the office at nine"  # of every user: a seeded database is for measuring and looking
TOWNS = ("Hanbit", "Saebyeok")  # most people live in the first
_OF_THE_SECOND = 10  # one person in so many lives in the second
_NOT_CALLED = (Reason.NO_CONSENT, Reason.OPTED_OUT, Reason.PAUSED, Reason.ENDED)


@dataclass(slots=True)
class Town:
    id: uuid.UUID
    name: str
    users: list[uuid.UUID] = field(default_factory=list)
    campaigns: list[uuid.UUID] = field(default_factory=list)


@dataclass(slots=True)
class Inhabitant:
    id: uuid.UUID
    enrollment: uuid.UUID
    town: Town
    dialog: Dialog
    called: bool  # not any more: no consent, opted out, ended


def address(role: Role, language: Language = Language.KOREAN, town: str = TOWNS[0]) -> str:
    """The address that a seeded user signs in with."""
    return f"{role}.{language}@{town.lower()}.example"


class Towns:
    """Makes the towns, then their people."""

    def __init__(self, run: Run, cipher: Cipher) -> None:
        self._run = run
        self._cipher = cipher
        self._dialogs = {
            language: find_dialog(settings().dialogs_dir, f"wellbeing.{language}") for language in Language
        }
        self._towns: list[Town] = []

    def add(self) -> None:
        """Every town with its users, and a campaign for each group."""
        began = self._run.at - timedelta(days=400)
        password_hash = hash_password(PASSWORD)
        for number, name in enumerate(TOWNS):
            town = Town(self._run.id() if number else DEFAULT_ORGANISATION, name)
            if number:
                self._run.rows.add(OrganisationRow, id=town.id, name=name, created_at=began)
            self._users(town, password_hash, began)
            self._campaigns(town, began)
            self._towns.append(town)

    def enroll(self, begins: date) -> list[list[Inhabitant]]:
        """The people, who were all enrolled on one day, by their group."""
        groups: list[list[Inhabitant]] = [[] for _ in range(GROUPS)]
        started = datetime.combine(begins, time(), UTC)
        for number in range(self._run.size.recipients):
            group = number % GROUPS
            groups[group].append(self._inhabitant(number, group, started))
            self._run.made.recipients += 1
        return groups

    def _users(self, town: Town, password_hash: str, began: datetime) -> None:
        for place, role in enumerate(Role):
            for language in Language:
                user, email = self._run.id(), address(role, language, town.name)
                town.users.append(user)
                self._run.rows.add(
                    UserRow,
                    id=user,
                    organisation_id=town.id,
                    email=email,
                    email_index=self._cipher.email_index(email),
                    name=some_name(self._run.chance, language),
                    role=role,
                    language=language,
                    time_zone=ZONE,
                    password_hash=password_hash,
                    escalation=place if language is Language.KOREAN and role is not Role.VIEWER else None,
                    created_at=began,
                )

    def _campaigns(self, town: Town, began: datetime) -> None:
        for group in range(GROUPS):
            campaign = self._run.id()
            town.campaigns.append(campaign)
            weekdays = frozenset(day.weekday() for day in self._run.days(group, 2))
            self._run.rows.add(
                CampaignRow,
                id=campaign,
                organisation_id=town.id,
                name=f"{IN_KOREAN[town.name]} 안부 전화 {group + 1}",
                dialog="wellbeing",
                starts_on=began.date(),
                schedule=dump_schedule(Schedule(times=(TIME,), weekdays=weekdays)),
                ladder=dump_ladder(DEFAULT_LADDER),
            )

    def _inhabitant(self, number: int, group: int, started: datetime) -> Inhabitant:
        run = self._run
        town = self._towns[number % _OF_THE_SECOND == 1]
        language = Language.ENGLISH if number % 20 == 3 else Language.KOREAN
        person = Inhabitant(run.id(), run.id(), town, self._dialogs[language], number % 50 != 7)
        name, phone = some_name(run.chance, language), f"+8210{10_000_000 + number * 8_887 % 90_000_000:08}"
        run.rows.add(
            RecipientRow,
            id=person.id,
            organisation_id=town.id,
            name=name,
            phone=phone,
            name_index=self._cipher.name_index(name),
            phone_index=self._cipher.phone_index(phone),
            language=language,
            time_zone=ZONE,
            notes=HARD_OF_HEARING if number % 9 == 0 else "",
            created_at=started,
        )
        self._enrollment(person, town.campaigns[group], started, number)
        for text, topic in run.chance.sample(MEMORIES, run.chance.randrange(1, 6)):
            run.rows.add(
                MemoryRow,
                id=run.id(),
                recipient_id=person.id,
                text=text,
                topic=topic.value,
                created_at=started + (run.at - started) * run.chance.random(),
            )
        return person

    def _enrollment(self, person: Inhabitant, campaign: uuid.UUID, started: datetime, number: int) -> None:
        """Most are called; of those who are not, each reason has somebody."""
        run = self._run
        why = None if person.called else _NOT_CALLED[number // 50 % len(_NOT_CALLED)]
        consented = why is not Reason.NO_CONSENT
        again = run.due(run.today + timedelta(days=1))
        run.rows.add(
            EnrollmentRow,
            id=person.enrollment,
            recipient_id=person.id,
            campaign_id=campaign,
            consent_at=started if consented else None,
            consent_source=(ConsentSource.WRITTEN if number % 3 else ConsentSource.SPOKEN) if consented else None,
            started_at=started,
            ended_at=run.at if why is Reason.ENDED else None,
            paused=why is Reason.PAUSED,
            opted_out_at=run.at if why is Reason.OPTED_OUT else None,
            next_due_at=again if person.called else None,
            why=str(why or Reason.NOT_DUE),
        )
