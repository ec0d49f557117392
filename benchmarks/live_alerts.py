"""How long an alert takes from its commit until it stands on a work list that is open in Chromium."""

import random
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import sync_playwright
from sqlmodel import col, select

from carecall.dialog.files import find_dialog
from carecall.domain.attempt import AttemptState
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.settings import settings
from carecall.store.engine import Database
from carecall.store.facade import Store
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AlertRow,
    EnrollmentRow,
    RecipientRow,
    Resolution,
)
from carecall.store.users import session_digest

_OPTIONS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
_APART_S = (0.6, 1.6)  # so that they come at every moment between two looks of the server
_WATCH = """() => {
  const count = () => document.querySelector("#needs .count")?.textContent, before = count();
  let told = 0;
  document.addEventListener("alert", () => { told = Date.now(); }, { once: true });
  window.alertShown = new Promise((done) => new MutationObserver((_, observer) => {
    if (count() === before) return;
    observer.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done([told, Date.now()])));
  }).observe(document.body, { childList: true, subtree: true, characterData: true }));
}"""


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def measure_alerts(
    chromium: str, base: str, cookie: str, store: Store, database: Database, alerts: int
) -> tuple[list[float], list[float]]:
    """Milliseconds from the commit of each alert to the event in the browser, and to the frame with the card.

    ``cookie`` is the session of somebody who works at the first office. Nothing is left open.
    """
    chance = random.Random(3)
    told, shown = [], []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=list(_OPTIONS)) as browser,
        _call(store, database, cookie) as call,
    ):
        context = browser.new_context(base_url=base, viewport={"width": 1366, "height": 768})
        context.add_cookies([{"name": "carecall", "value": cookie, "url": base}])
        page = context.new_page()
        with page.expect_response(lambda answer: "/events" in answer.url):
            page.goto("/")
        for number in range(alerts):
            time.sleep(chance.uniform(*_APART_S))
            page.evaluate(_WATCH)
            store.calls.raise_alert(call, Alert(f"fall_{number}", Urgency.EMERGENCY, "Fell just now.", ()))
            committed = time.time() * 1000
            at = page.evaluate("() => window.alertShown")
            told.append(at[0] - committed)
            shown.append(at[1] - committed)
        context.close()
    return told, shown


@contextmanager
def _call(store: Store, database: Database, cookie: str) -> Iterator[uuid.UUID]:
    """A call that is held; at its end its alerts are settled."""
    somebody = store.users.signed_in(session_digest(cookie))
    if somebody is None:
        raise SystemExit("the session of the measurement has ended")
    query = (
        select(EnrollmentRow.id, RecipientRow.language)
        .join(RecipientRow, col(RecipientRow.id) == EnrollmentRow.recipient_id)
        .where(RecipientRow.organisation_id == DEFAULT_ORGANISATION, col(EnrollmentRow.next_due_at).is_not(None))
    )
    with database.reading() as session:
        enrollment, language = session.exec(query.limit(1)).one()
    dialog = find_dialog(settings().dialogs_dir, f"wellbeing.{language}")
    call = store.attempts.create(enrollment, dialog)
    store.attempts.advance(call, AttemptState.DIALING)
    store.attempts.advance(call, AttemptState.IN_PROGRESS)
    try:
        yield call
    finally:
        report = Report(dialog.id, dialog.language, dialog.version, dialog.hash, Outcome.HUNG_UP, (), ())
        store.calls.finish(call, report)
        with database.reading() as session:
            raised = session.exec(select(AlertRow.id).where(AlertRow.attempt_id == call)).all()
        for alert in raised:
            store.care.resolve(somebody.viewer, alert, Resolution.FALSE_ALARM, "")
