"""A copy of all that is kept of a person, and its erasure, in the dashboard; whether the audit trail is whole."""

import io
import json
import zipfile

import httpx
import pytest
from dashboard_office import Office

from carecall.domain.viewer import Role
from carecall.errors import StoreNotFound
from carecall.store.tables import AuditRow, Resolution


async def test_a_supervisor_takes_a_copy_of_all_that_is_kept_of_a_person(office: Office) -> None:
    answer = await office.supervisor.get(f"/people/{office.ours.urgent}/copy.zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        kept = json.loads(archive.read("person.json"))
    assert [each["name"] for each in kept["recipient"]] == ["김영자"]
    assert (await office.care_worker.get(f"/people/{office.ours.urgent}/copy.zip")).status_code == 403
    assert (await office.supervisor.get(f"/people/{office.others.urgent}/copy.zip")).status_code == 404
    history = await office.viewer.get(f"/recipients/{office.ours.urgent}")
    assert f'href="/people/{office.ours.urgent}"' in history.text


async def test_erasing_a_person_is_asked_for_first_and_then_final(office: Office) -> None:
    address = f"/people/{office.ours.fine}/erase"
    asked = await office.admin.get(address)
    assert "이순자" in asked.text
    assert "What goes" in asked.text
    assert "What stays" in asked.text
    unconfirmed = await office.admin.post(address)
    assert unconfirmed.headers["location"] == address
    assert office.store.care.person_details(office.ours.users[Role.ADMIN], office.ours.fine).name == "이순자"
    done = await office.admin.post(address, data={"confirmed": "yes"})
    assert done.headers["location"] == "/people?done=erased"
    assert "is erased" in (await office.admin.get(done.headers["location"])).text
    with pytest.raises(StoreNotFound):
        office.store.care.person_details(office.ours.users[Role.ADMIN], office.ours.fine)


async def test_of_who_opted_out_the_number_stays(office: Office) -> None:
    office.store.care.opt_person_out(office.ours.users[Role.CARE_WORKER], office.ours.fine)
    assert "The number alone" in (await office.admin.get(f"/people/{office.ours.fine}/erase")).text
    done = await office.admin.post(f"/people/{office.ours.fine}/erase", data={"confirmed": "yes"})
    assert done.headers["location"] == "/people?done=erased_but_number"


async def test_nobody_is_erased_while_an_emergency_of_theirs_is_open(office: Office) -> None:
    address = f"/people/{office.ours.urgent}/erase"
    refused = await office.admin.post(address, data={"confirmed": "yes"})
    assert refused.status_code == 409
    assert "An emergency of theirs is open" in refused.text
    office.store.care.resolve(office.ours.users[Role.SUPERVISOR], office.ours.alert, Resolution.HANDLED, "")
    assert (await office.admin.post(address, data={"confirmed": "yes"})).status_code == 303


@pytest.mark.parametrize("role", [Role.VIEWER, Role.CARE_WORKER, Role.SUPERVISOR])
async def test_only_an_administrator_erases(office: Office, role: Role) -> None:
    client = office.clients[role]
    address = f"/people/{office.ours.fine}/erase"
    assert (await client.get(address)).status_code == 403
    assert (await client.post(address, data={"confirmed": "yes"})).status_code == 403
    offered = f'href="{address}"' in (await client.get(f"/people/{office.ours.fine}")).text
    assert not offered


async def test_supervisors_find_the_downloads_and_what_a_call_can_be_taken_away_as(office: Office) -> None:
    call = f"/calls/{office.ours.fine_call}"
    page = await office.supervisor.get(call)
    assert 'href="/downloads"' in page.text
    for form in ("txt", "html", "json"):
        assert f'href="{call}/transcript.{form}"' in page.text
    not_theirs = await office.care_worker.get(call)
    assert 'href="/downloads"' not in not_theirs.text
    assert "/transcript.txt" not in not_theirs.text


async def test_the_audit_trail_is_checked_at_the_push_of_a_button(office: Office) -> None:
    def told(answer: httpx.Response) -> str:
        assert answer.status_code == 200
        return answer.text

    assert "The trail is whole" in told(await office.admin.post("/admin/audit/check"))
    forged = AuditRow(at=office.clock.now, actor="carecall", action="user.added", subject="user:0", hash="ab" * 32)
    with office.store._database.writing() as session:
        session.add(forged)
    assert "The trail does not hold" in told(await office.admin.post("/admin/audit/check"))
    assert (await office.supervisor.post("/admin/audit/check")).status_code == 403
