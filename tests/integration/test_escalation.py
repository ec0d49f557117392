"""Alerts that nobody acknowledges go on to the next person: in time, once, and with a mail."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from dashboard_office import Office
from sqlmodel import select

from carecall.domain.viewer import Role
from carecall.outreach.alerting import escalate_after, mail
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.tables import AlertDeliveryRow, AlertRow, Channel, HistoryKind, HistoryRow

FIVE, THIRTY = timedelta(minutes=5), timedelta(minutes=30)


def _alert(office: Office) -> AlertRow:
    with office.store._database.reading() as session:
        return session.get_one(AlertRow, office.ours.alert)


def _order(office: Office, *roles: Role) -> None:
    users = office.ours.users
    office.store.users.set_escalation(users[Role.ADMIN], [users[role].user_id for role in roles])


def _passed_to(office: Office) -> list[str]:
    with office.store._database.reading() as session:
        rows = session.exec(select(HistoryRow).where(HistoryRow.kind == HistoryKind.ALERT_ESCALATED))
        return [str(row.details["to"]) for row in sorted(rows, key=lambda row: row.at)]


async def test_an_emergency_goes_on_after_five_minutes_and_again(office: Office) -> None:
    _order(office, Role.SUPERVISOR, Role.ADMIN)
    users = office.ours.users
    office.clock.pass_(FIVE - timedelta(seconds=1))
    assert office.store.outreach.escalate_alerts() == 0
    office.clock.pass_(timedelta(seconds=1))
    assert office.store.outreach.escalate_alerts() == 1
    assert _alert(office).assigned_to == users[Role.SUPERVISOR].user_id
    assert office.store.outreach.escalate_alerts() == 0
    office.clock.pass_(FIVE)
    assert office.store.outreach.escalate_alerts() == 1
    office.clock.pass_(FIVE)
    assert office.store.outreach.escalate_alerts() == 0  # it stays with the last
    assert _alert(office).assigned_to == users[Role.ADMIN].user_id
    assert _passed_to(office) == [str(users[role].user_id) for role in (Role.SUPERVISOR, Role.ADMIN)]


async def test_what_is_acknowledged_goes_on_to_nobody(office: Office) -> None:
    _order(office, Role.SUPERVISOR)
    office.store.care.acknowledge(office.ours.users[Role.CARE_WORKER], office.ours.alert)
    office.clock.pass_(THIRTY)
    assert office.store.outreach.escalate_alerts() == 0
    assert _alert(office).assigned_to == office.ours.users[Role.CARE_WORKER].user_id


async def test_it_stays_in_its_organisation(office: Office) -> None:
    _order(office, Role.SUPERVISOR)
    office.clock.pass_(FIVE)
    office.store.outreach.escalate_alerts()
    with office.store._database.reading() as session:
        assert session.get_one(AlertRow, office.others.alert).assigned_to is None


async def test_two_workers_at_once_pass_it_on_once(office: Office) -> None:
    _order(office, Role.SUPERVISOR, Role.ADMIN)
    office.clock.pass_(FIVE)
    with (
        Store.open(office.settings.database, secret="a key", clock=office.clock) as second,
        ThreadPoolExecutor(2) as threads,
    ):
        tries = [threads.submit(store.outreach.escalate_alerts) for store in (office.store, second) for _ in range(3)]
        assert sum(each.result() for each in tries) == 1
    assert len(_passed_to(office)) == 1


async def test_whom_it_went_on_to_gets_a_mail_of_their_own(office: Office) -> None:
    _order(office, Role.SUPERVISOR)
    office.clock.pass_(FIVE)
    with Store.open(
        office.settings.database, secret="a key", clock=office.clock, alert_channels=[Channel.EMAIL]
    ) as worker:
        worker.outreach.escalate_alerts()
        (due,) = worker.outreach.due_deliveries()
    assert due.to == "supervisor@here.test"
    settings = Settings(alert_email_to="desk@here.test", alert_email_from="carecall@here.test", smtp_url="smtp://here")
    assert mail(due, settings, office.clock.now)["To"] == "supervisor@here.test"
    with office.store._database.reading() as session:
        (row,) = session.exec(select(AlertDeliveryRow)).all()
        assert row.user_id == office.ours.users[Role.SUPERVISOR].user_id


def test_how_long_it_waits_is_a_setting() -> None:
    assert {span.total_seconds() for span in escalate_after(Settings()).values()} == {300.0, 1800.0}
    never = Settings(escalate_emergency_after_s=0, escalate_urgent_after_s=0)
    assert escalate_after(never) == {}
