"""An office for tests in the browser: a seeded database, the dashboard in a process of its own, desks with a page each.

Names of fields and buttons are taken from the catalogs, so that a journey reads the same in every language.
"""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, expect, sync_playwright
from sqlalchemy import and_
from sqlmodel import col, select

from carecall.dashboard.words import Words
from carecall.dialog.files import find_dialog
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.viewer import Role, Viewer
from carecall.settings import settings
from carecall.simulation.dashboard_seed import SECRET, Size, address, last_afternoon, seed_dashboard
from carecall.simulation.dashboard_server import DashboardProcess, clock, running_dashboard
from carecall.store import Store
from carecall.store.engine import Database
from carecall.store.personal import Cipher
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AlertRow,
    AttemptRow,
    CampaignRow,
    EnrollmentRow,
    RecipientRow,
    TaskRow,
    UserRow,
)

_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = Size(recipients=240, calls=4_000, detailed_days=30, alerts=24, tasks=14)
WIDE, NARROW = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
_PATIENCE_MS = 10_000
_MOST_TABS = 400


def find_chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("Chromium is not installed: run 'make browser', which sees to it.")
    return found


@dataclass(frozen=True, slots=True)
class Case:
    """An open alert, and whose it is."""

    alert_id: uuid.UUID
    attempt_id: uuid.UUID
    recipient_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Ongoing:
    """A call that is held."""

    attempt_id: uuid.UUID
    recipient_id: uuid.UUID
    name: str


@dataclass
class Office:
    """The towns behind the dashboard."""

    dashboard: DashboardProcess
    store: Store
    database: Database
    viewers: dict[str, Viewer] = field(default_factory=dict)  # by address
    names: dict[str, str] = field(default_factory=dict)
    called: list[uuid.UUID] = field(default_factory=list)  # by tests: whoever has an alert of today is left alone

    @property
    def troubled(self) -> Case:
        """The newest open alert of the first town."""
        return self.cases()[-1]

    def cases(self) -> list[Case]:
        """The open alerts of the first town that nobody has acknowledged, oldest first."""
        query = (
            select(AlertRow.id, AttemptRow.id, AttemptRow.recipient_id)
            .join(AttemptRow, col(AttemptRow.id) == AlertRow.attempt_id)
            .join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id)
            .where(
                RecipientRow.organisation_id == DEFAULT_ORGANISATION,
                col(AlertRow.settled_at).is_(None),
                col(AlertRow.acknowledged_at).is_(None),
            )
            .order_by(col(AlertRow.raised_at))
        )
        with self.database.reading() as session:
            return [Case(*row) for row in session.exec(query)]

    @property
    def campaign(self) -> uuid.UUID:
        """The campaign of the first town that calls today."""
        query = select(CampaignRow.id).where(CampaignRow.organisation_id == DEFAULT_ORGANISATION)
        with self.database.reading() as session:
            return session.exec(query.order_by(col(CampaignRow.name)).limit(1)).one()

    def task(self) -> Case:
        """The newest open task of the first town: the alert's id is the task's."""
        query = (
            select(TaskRow.id, TaskRow.attempt_id, TaskRow.recipient_id)
            .join(RecipientRow, col(RecipientRow.id) == TaskRow.recipient_id)
            .where(RecipientRow.organisation_id == DEFAULT_ORGANISATION, col(TaskRow.closed_at).is_(None))
            .order_by(col(TaskRow.due_at).desc())
        )
        with self.database.reading() as session:
            return Case(*session.exec(query.limit(1)).one())

    def begin_call(self, language: Language) -> Ongoing:
        """Somebody who is called answers now; it is in their language."""
        query = (
            select(RecipientRow.id, RecipientRow.name, EnrollmentRow.id)
            .join(EnrollmentRow, col(EnrollmentRow.recipient_id) == RecipientRow.id)
            .outerjoin(
                AttemptRow,
                and_(col(AttemptRow.recipient_id) == RecipientRow.id, col(AttemptRow.ended_at).is_(None)),
            )
            .where(
                RecipientRow.organisation_id == DEFAULT_ORGANISATION,
                RecipientRow.language == language,
                col(EnrollmentRow.next_due_at).is_not(None),
                col(AttemptRow.id).is_(None),
                col(RecipientRow.id).not_in(self.called),
            )
        )
        with self.database.reading() as session:
            recipient_id, name, enrollment = session.exec(query.limit(1)).one()
        self.called.append(recipient_id)
        dialog = find_dialog(settings().dialogs_dir, f"wellbeing.{language}")
        attempt = self.store.attempts.create(enrollment, dialog, slot_due=self.store.now())
        self.store.attempts.advance(attempt, AttemptState.DIALING)
        self.store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
        return Ongoing(attempt, recipient_id, name)

    def token(self, email: str) -> str:
        """A new session of this user."""
        return self.store.users.begin_session(self.viewers[email].user_id, verified=True)

    def viewer(self, role: Role) -> Viewer:
        return self.viewers[address(role)]

    def end_call(self, call: Ongoing) -> None:
        """The talk is over, and nothing was asked."""
        report = Report("wellbeing", "ko", "1.0", "ab" * 32, Outcome.HUNG_UP, (), ())
        self.store.calls.finish(call.attempt_id, report)


@contextmanager
def open_office(folder: Path) -> Iterator[Office]:
    url = f"sqlite:///{folder / 'office.sqlite3'}"
    at = last_afternoon(datetime.now(UTC))
    seed_dashboard(url, SIZE, at=at, secret=SECRET)
    behind = datetime.now(UTC) - at
    database = Database(url, Cipher(SECRET), clock(behind))
    with (
        running_dashboard(url, behind, folder) as dashboard,
        Store.open(url, secret=SECRET, clock=clock(behind)) as store,
    ):
        office = Office(dashboard, store, database)
        office.called = [case.recipient_id for case in office.cases()]
        with database.reading() as session:
            for row in session.exec(select(UserRow)):
                office.names[row.email] = row.name
                office.viewers[row.email] = Viewer(row.id, row.organisation_id, row.role, row.language, row.time_zone)
        yield office
    database.close()


class Desk:
    """Somebody's browser."""

    def __init__(
        self,
        chromium: Browser,
        office: Office,
        language: Language,
        role: Role,
        *,
        signed_in: bool = True,
        viewport: dict[str, int] = WIDE,
        dark: bool = False,
        script: bool = True,
    ) -> None:
        self.office = office
        self.words = Words(language)
        self.email = address(role, language)
        self.troubles: list[str] = []
        self.expected: tuple[str, ...] = ()  # what the browser may report here
        self.context = chromium.new_context(
            base_url=office.dashboard.base,
            viewport=viewport,  # type: ignore[arg-type]
            locale={Language.KOREAN: "ko-KR", Language.ENGLISH: "en-GB"}[language],
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        self.context.set_default_timeout(_PATIENCE_MS)
        if signed_in:
            self.sign_in()
        self.page = self.open_tab()

    def sign_in(self) -> None:
        """As after a sign-in, without the form."""
        token = self.office.token(self.email)
        self.context.add_cookies([{"name": "carecall", "value": token, "url": self.office.dashboard.base}])

    def end_session(self) -> None:
        """As when nothing was done for a long time."""
        self.office.store.users.sign_out_everywhere(self.office.viewers[self.email], besides="")

    def speak(self, language: Language) -> None:
        """From now on texts are looked for in this language."""
        self.words = Words(language)

    def open_tab(self) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", self._hear)
        return page

    def go(self, path: str) -> Page:
        answer = self.page.goto(path)
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}"
        return self.page

    def listen(self, path: str) -> None:
        """Opens a page that is told of news, and waits until it is."""
        with self.page.expect_response(lambda answer: "/events" in answer.url, timeout=30_000) as answer:
            self.go(path)
        assert answer.value.ok, answer.value.status

    def button(self, key: str, within: Page | Locator | None = None, **values: Any) -> Locator:
        return (within or self.page).get_by_role("button", name=self.words(key, **values), exact=True)

    def link(self, key: str, within: Page | Locator | None = None, **values: Any) -> Locator:
        return (within or self.page).get_by_role("link", name=self.words(key, **values), exact=True)

    def tab_to(self, wanted: Locator) -> None:
        """Goes on with the Tab key until the focus is there, as somebody does without a mouse."""
        for _ in range(_MOST_TABS):
            if wanted.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"the Tab key does not lead to {wanted}")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.insert_text(text)

    def says(self, key: str, **values: Any) -> Locator:
        return self.page.get_by_text(self.words(key, **values))

    def leave(self) -> None:
        self.context.close()
        assert self.troubles == []

    def _hear(self, message: ConsoleMessage) -> None:
        expected = ("Failed to load resource", *self.expected)  # an answer that tells of a conflict, say
        if message.type == "error" and not any(words in message.text for words in expected):
            self.troubles.append(message.text)


OpenDesk = Callable[..., Desk]


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """One for all tests: it does not bear a second one beside it."""
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(_OPTIONS))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Two towns with years of calls; every test takes alerts and people of its own."""
    with open_office(tmp_path_factory.mktemp("office")) as opened:
        yield opened


@pytest.fixture(params=list(Language), ids=str)
def language(request: pytest.FixtureRequest) -> Language:
    chosen: Language = request.param
    return chosen


@pytest.fixture
def sit_down(chromium: Browser, office: Office, language: Language) -> Iterator[OpenDesk]:
    """Opens the browser of somebody with a role, signed in. At the end no page may have reported an error."""
    with ExitStack() as stack:

        def open_desk(role: Role = Role.CARE_WORKER, *, signed_in: bool = True, **options: Any) -> Desk:
            desk = Desk(chromium, office, language, role, signed_in=signed_in, **options)
            stack.callback(desk.leave)
            return desk

        yield open_desk


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where pictures of the screens are kept."""
    folder = Path(__file__).parents[2] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
