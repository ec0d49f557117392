"""An office with its people, for tests of the dashboard: users of each role, signed in; recipients with calls.

The fixture ``office`` is in ``conftest``; a test module imports the type: ``from dashboard_office import Office``.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
from databases import FilledDatabase
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import update
from sqlmodel import col, select

from carecall.dashboard.passwords import hash_password
from carecall.dashboard.router import Ports, add_dashboard
from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import TaskKind
from carecall.domain.finding import Evidence, Finding, Layer, Ternary
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn
from carecall.domain.viewer import Role, Viewer
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.memories import Append
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AlertRow,
    CampaignRow,
    ConsentSource,
    MemoryRow,
    RecipientRow,
    TaskRow,
)

PASSWORD = "a long walk by the river"
_HASH = hash_password(PASSWORD)
_SECRET = "a key"
_OURS = {"Sec-Fetch-Site": "same-origin"}  # what a browser says of requests from our own pages


class Clock:
    """The time of the tests; it stands until it is moved on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)  # a Monday, 09:30 in Seoul

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, span: timedelta) -> None:
        self.now += span


@dataclass(frozen=True)
class Dialog:
    id: str = "wellbeing"
    language: Language = Language.KOREAN
    version: str = "1.0"
    hash: str = "ab" * 32


@dataclass
class People:
    """The people of one organisation, and the ids of what there is about them."""

    organisation_id: uuid.UUID
    users: dict[Role, Viewer]
    campaign: uuid.UUID
    urgent: uuid.UUID  # a recipient whose call today raised an alert, and of whom two sentences are remembered
    fine: uuid.UUID  # one who is fine
    unreached: uuid.UUID  # one who could not be reached, with a task to call
    urgent_call: uuid.UUID
    fine_call: uuid.UUID
    unreached_call: uuid.UUID
    alert: uuid.UUID
    task: uuid.UUID
    memory: uuid.UUID
    enrollment: uuid.UUID  # of the urgent one
    token: uuid.UUID  # of a program that reads through the interface


@dataclass
class Office:
    store: Store
    settings: Settings
    clock: Clock
    app: FastAPI
    ours: People
    others: People  # of another organisation: nobody of ours may see anything of them
    clients: dict[Role, httpx.AsyncClient] = field(default_factory=dict)

    @property
    def viewer(self) -> httpx.AsyncClient:
        return self.clients[Role.VIEWER]

    @property
    def care_worker(self) -> httpx.AsyncClient:
        return self.clients[Role.CARE_WORKER]

    @property
    def supervisor(self) -> httpx.AsyncClient:
        return self.clients[Role.SUPERVISOR]

    @property
    def admin(self) -> httpx.AsyncClient:
        return self.clients[Role.ADMIN]

    def browser(self, *, raises: bool = True) -> httpx.AsyncClient:
        """A browser that is signed in nowhere. To be closed. ``raises``: an error of the application fails the test."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=raises)
        return httpx.AsyncClient(transport=transport, base_url="http://carecall.test", headers=_OURS)

    def signed_in(self, viewer: Viewer) -> httpx.AsyncClient:
        """The browser of a user. To be closed."""
        browser = self.browser()
        token = self.store.users.begin_session(viewer.user_id, verified=True)
        browser.cookies.set("carecall", token, domain="carecall.test", path="/")
        return browser


@asynccontextmanager
async def open_office(folder: Path, ports: Ports | None = None, **settings: object) -> AsyncIterator[Office]:
    """Two organisations in one database behind the application; ours has a signed-in browser for each role."""
    clock = Clock()
    with _filled.copy(folder) as (url, (ours, others)), Store.open(url, secret=_SECRET, clock=clock) as store:
        given = {"database_url": url, "data_dir": folder / "data", "secret_key": SecretStr(_SECRET), **settings}
        effective = Settings(**given)  # type: ignore[arg-type]
        app = FastAPI(openapi_url=None)
        add_dashboard(app, effective, store, ports)
        office = Office(store, effective, clock, app, ours, others)
        async with AsyncExitStack() as stack:
            for role, viewer in ours.users.items():
                office.clients[role] = await stack.enter_async_context(office.signed_in(viewer))
            yield office


def _two_organisations(url: str) -> tuple[People, People]:
    """Puts both into the empty database."""
    clock = Clock()
    with Store.open(url, secret=_SECRET, upgrade=True, clock=clock) as store:
        ours = _people(store, clock, DEFAULT_ORGANISATION, ("김영자", "이순자", "박정호"), "Seniors", "here.test")
        next_door = store.users.add_organisation("The town next door")
        others = _people(store, clock, next_door, ("최옥순", "정말례", "한기수"), "Neighbours", "there.test")
    return ours, others


_filled = FilledDatabase(_two_organisations)


def _people(
    store: Store, clock: Clock, organisation_id: uuid.UUID, names: tuple[str, str, str], campaign_name: str, host: str
) -> People:
    users = {role: _user(store, organisation_id, role, f"{role}@{host}") for role in Role}
    ids = [
        store.recipients.add(
            name, f"+8210{number}{host[:1] == 'h':d}0{number}", Language.KOREAN, time_zone="Asia/Seoul"
        )
        for number, name in enumerate(names, 555)
    ]
    campaign = store.recipients.add_campaign(campaign_name, "wellbeing", date(2026, 3, 1))
    with store._database.writing() as session:
        for table, which in ((RecipientRow, ids), (CampaignRow, [campaign])):
            session.connection().execute(
                update(table).where(col(table.id).in_(which)).values(organisation_id=organisation_id)
            )
    enrollments = [
        store.recipients.enroll(id_, campaign, consent_at=clock.now, consent_source=ConsentSource.WRITTEN)
        for id_ in ids
    ]
    urgent_call, fine_call, unreached_call = (
        store.attempts.create(enrollment, Dialog(), slot_due=clock.now) for enrollment in enrollments
    )
    _hold(store, urgent_call, "어제부터 가슴이 아파요", alert=True)
    _hold(store, fine_call, "네 잘 지내요", alert=False)
    store.attempts.advance(unreached_call, AttemptState.DIALING)
    store.attempts.advance(unreached_call, AttemptState.NO_ANSWER)
    store.memories.apply(ids[0], [Append("무릎이 아프다.", "health"), Append("손녀가 대학생이다.", "family")])
    store.care.add_api_token(users[Role.ADMIN], "Reader", actor=str(users[Role.ADMIN].user_id))
    token = store.care.api_tokens(users[Role.ADMIN])[0].id
    with store._database.writing() as session:
        task = TaskRow(
            recipient_id=ids[2],
            enrollment_id=enrollments[2],
            slot_due=clock.now,
            attempt_id=unreached_call,
            kind=TaskKind.CALL,
            reason="no_answer",
            due_at=clock.now + timedelta(hours=2),
            opened_at=clock.now,
        )
        session.add(task)
        alert = session.exec(select(AlertRow.id).where(AlertRow.attempt_id == urgent_call)).one()
        memory = session.exec(select(MemoryRow.id).where(MemoryRow.recipient_id == ids[0])).first()
        assert memory is not None
    return People(
        organisation_id,
        users,
        campaign,
        ids[0],
        ids[1],
        ids[2],
        urgent_call,
        fine_call,
        unreached_call,
        alert,
        task.id,
        memory,
        enrollments[0],
        token,
    )


def _user(store: Store, organisation_id: uuid.UUID, role: Role, email: str) -> Viewer:
    language, zone = Language.ENGLISH, "Asia/Seoul"
    user_id = store.users.add(
        email,
        role,
        _HASH,
        name=role.replace("_", " ").title(),
        language=language,
        time_zone=zone,
        organisation_id=organisation_id,
    )
    return Viewer(user_id, organisation_id, role, language, zone)


def _hold(store: Store, attempt_id: uuid.UUID, words: str, *, alert: bool) -> None:
    """A short call in which this is said."""
    store.attempts.advance(attempt_id, AttemptState.DIALING)
    store.attempts.advance(attempt_id, AttemptState.IN_PROGRESS)
    store.calls.add_turn(attempt_id, Turn(0, Speaker.AGENT, "안녕하세요, 잘 지내셨어요?", 0.0, 2.0, "feeling"))
    store.calls.add_turn(attempt_id, Turn(1, Speaker.RECIPIENT, words, 2.5, 4.5, "feeling"))
    store.calls.add_turn(attempt_id, Turn(2, Speaker.AGENT, "말씀해 주셔서 고맙습니다.", 5.0, 6.5))
    evidence = (Evidence(1, words, 2.5),)
    value = Ternary.YES if alert else Ternary.NO
    findings = (Finding("chest_pain", value, evidence, Layer.RULES),)
    alerts = (Alert("chest_pain", Urgency.EMERGENCY, "Chest pain now.", evidence),) if alert else ()
    outcome = Outcome.EMERGENCY if alert else Outcome.COMPLETED
    store.calls.finish(attempt_id, Report("wellbeing", "ko", "1.0", "ab" * 32, outcome, findings, alerts))
