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
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright
from sqlmodel import col, select

from carecall.dashboard.words import Words
from carecall.domain.language import Language
from carecall.domain.viewer import Role
from carecall.simulation.dashboard_seed import Size, address, last_afternoon, seed_dashboard
from carecall.simulation.dashboard_server import SECRET, clock, running_dashboard
from carecall.store import Store
from carecall.store.engine import Database
from carecall.store.personal import Cipher
from carecall.store.tables import DEFAULT_ORGANISATION, AlertRow, AttemptRow, RecipientRow, UserRow

_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = Size(recipients=240, calls=6_000, detailed_days=30, alerts=24, tasks=14)
WIDE, NARROW = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
_PATIENCE_MS = 10_000


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


@dataclass
class Office:
    """The towns behind the dashboard at ``base``."""

    base: str
    store: Store
    database: Database
    users: dict[str, uuid.UUID] = field(default_factory=dict)  # by address

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

    def token(self, email: str) -> str:
        """A new session of this user."""
        return self.store.users.begin_session(self.users[email], verified=True)


@contextmanager
def open_office(folder: Path) -> Iterator[Office]:
    url = f"sqlite:///{folder / 'office.sqlite3'}"
    at = last_afternoon(datetime.now(UTC))
    seed_dashboard(url, SIZE, at=at, secret=SECRET)
    behind = datetime.now(UTC) - at
    database = Database(url, Cipher(SECRET), clock(behind))
    with running_dashboard(url, behind, folder) as base, Store.open(url, secret=SECRET, clock=clock(behind)) as store:
        office = Office(base, store, database)
        with database.reading() as session:
            office.users = {row.email: row.id for row in session.exec(select(UserRow))}
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
        self.expected: tuple[str, ...] = ()
        self.context = chromium.new_context(
            base_url=office.base,
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
        self.context.add_cookies([{"name": "carecall", "value": token, "url": self.office.base}])

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

    def button(self, key: str, within: Page | Locator | None = None, **values: Any) -> Locator:
        return (within or self.page).get_by_role("button", name=self.words(key, **values), exact=True)

    def link(self, key: str, within: Page | Locator | None = None, **values: Any) -> Locator:
        return (within or self.page).get_by_role("link", name=self.words(key, **values), exact=True)

    def says(self, key: str, **values: Any) -> Locator:
        return self.page.get_by_text(self.words(key, **values))

    def leave(self) -> None:
        self.context.close()
        assert self.troubles == []

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.troubles.append(message.text)


OpenDesk = Callable[..., Desk]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
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
