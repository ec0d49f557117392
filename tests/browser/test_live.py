"""An open work list shows every alert at once, whether they come apart or while it is being fetched."""

import time
import uuid
from collections.abc import Iterator

import pytest
from desks import Desk, Office, OpenDesk
from playwright.sync_api import expect
from sqlmodel import col, select

from carecall.domain.language import Language
from carecall.domain.triage import Alert, Urgency
from carecall.domain.viewer import Role
from carecall.store.tables import AlertRow, Resolution

pytestmark = pytest.mark.browser

ALERTS = 20


class Line:
    """A call in which one alert after the other is raised."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._call = office.begin_call(Language.KOREAN)
        self._raised = 0

    def alert(self) -> None:
        self._raised += 1
        alert = Alert(f"fall_{self._raised}", Urgency.EMERGENCY, "Fell just now.", ())
        self._office.store.calls.raise_alert(self._call.attempt_id, alert)

    def end(self) -> None:
        self._office.end_call(self._call)
        supervisor = self._office.viewer(Role.SUPERVISOR)
        for alert_id in self._alerts():
            self._office.store.care.resolve(supervisor, alert_id, Resolution.FALSE_ALARM, "")

    def _alerts(self) -> list[uuid.UUID]:
        mine = col(AlertRow.attempt_id) == self._call.attempt_id
        with self._office.database.reading() as session:
            return list(session.exec(select(AlertRow.id).where(mine, col(AlertRow.settled_at).is_(None))))


@pytest.fixture
def line(office: Office) -> Iterator[Line]:
    line = Line(office)
    yield line
    line.end()


def open_alerts(desk: Desk) -> int:
    return int(desk.page.locator("#needs .count").inner_text())


def expect_alerts(desk: Desk, count: int, within_s: float) -> None:
    expect(desk.page.locator("#needs .count")).to_have_text(str(count), timeout=within_s * 1000)


def test_each_of_twenty_alerts_is_shown_at_once(sit_down: OpenDesk, line: Line) -> None:
    desk = sit_down()
    desk.listen("/")
    before = open_alerts(desk)
    for number in range(1, ALERTS + 1):
        line.alert()
        expect_alerts(desk, before + number, within_s=8)
        time.sleep(number % 4 * 0.15)


def test_of_twenty_alerts_in_a_rush_none_is_left_out(sit_down: OpenDesk, line: Line) -> None:
    desk = sit_down()
    desk.listen("/")
    before = open_alerts(desk)
    for number in range(ALERTS):
        line.alert()
        time.sleep(number % 5 * 0.05)
    expect_alerts(desk, before + ALERTS, within_s=8)


def test_a_list_that_could_not_be_fetched_is_fetched_again(sit_down: OpenDesk, line: Line) -> None:
    desk = sit_down()
    desk.listen("/")
    desk.expected = ("Failed to fetch",)
    before = open_alerts(desk)
    desk.page.route("**/", lambda route: route.abort(), times=1)
    line.alert()
    expect_alerts(desk, before + 1, within_s=6)


def test_a_stream_that_could_not_be_opened_is_opened_later(sit_down: OpenDesk, line: Line) -> None:
    desk = sit_down()
    desk.expected = ("Failed to fetch",)
    desk.page.route("**/events*", lambda route: route.abort(), times=1)
    with desk.page.expect_response(lambda answer: "/events" in answer.url, timeout=15_000):
        desk.go("/")
        before = open_alerts(desk)
    line.alert()
    expect_alerts(desk, before + 1, within_s=8)
