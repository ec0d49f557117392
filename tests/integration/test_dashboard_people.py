"""People on the dashboard: found, added, changed, put into campaigns, paused, and never another organisation's."""

import asyncio
import csv
import html
import io
import re
import uuid
import zipfile
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from dashboard_office import Office
from query_plans import plans_of
from sqlmodel import col, select

from carecall.domain.language import Language
from carecall.domain.viewer import Role
from carecall.errors import StoreError
from carecall.store.care_people import Wanted
from carecall.store.tables import AuditRow, EnrollmentRow, HistoryKind, HistoryRow, RecipientRow

NEW = {"name": "정미란", "phone": "010-9876-5432", "language": "ko", "time_zone": "Asia/Seoul"}


def history(office: Office, recipient_id: uuid.UUID) -> list[HistoryKind]:
    with office.store._database.reading() as session:
        query = select(HistoryRow).where(HistoryRow.recipient_id == recipient_id)
        return [row.kind for row in session.exec(query.order_by(col(HistoryRow.at)))]


def enrollment(office: Office, recipient_id: uuid.UUID) -> EnrollmentRow:
    with office.store._database.reading() as session:
        query = select(EnrollmentRow).where(EnrollmentRow.recipient_id == recipient_id)
        return session.exec(query.order_by(col(EnrollmentRow.started_at).desc())).one()


def audited(office: Office, action: str) -> int:
    with office.store._database.reading() as session:
        return len(session.exec(select(AuditRow).where(AuditRow.action == action)).all())


async def test_the_list_shows_our_people_with_their_day_next_call_and_campaign(office: Office) -> None:
    page = (await office.viewer.get("/people")).text
    for known in ("김영자", "이순자", "박정호", "Seniors", "3 people"):
        assert known in page
    assert "최옥순" not in page
    assert audited(office, "people.listed") == 1


@pytest.mark.parametrize("typed", ["김영자", " 김영자 ", "010-5551-0555", "+82 10 5551 0555"])
async def test_a_person_is_found_by_the_whole_name_or_number(office: Office, typed: str) -> None:
    page = await office.viewer.post("/people/search", data={"search": typed})
    assert "1 person" in page.text
    assert "이순자" not in page.text


@pytest.mark.parametrize("typed", ["김영", "최옥순", "010-5550-0555"])
async def test_a_part_of_a_name_finds_nobody_and_the_page_says_why(office: Office, typed: str) -> None:
    page = (await office.viewer.post("/people/search", data={"search": typed})).text
    assert "Names and numbers are encrypted" in page


async def test_the_list_is_filtered_and_ordered(office: Office) -> None:
    async def shown(**asked: str) -> list[str]:
        page = (await office.viewer.get("/people", params=asked)).text
        return re.findall(r"/recipients/[^>]*>([^<]+)<", page)

    await office.supervisor.post("/people/pause", data={"id": str(office.ours.fine)})
    assert await shown(called="paused") == ["이순자"]
    assert sorted(await shown(called="called")) == ["김영자", "박정호"]
    assert await shown(called="opted_out") == []
    assert len(await shown(campaign=str(office.ours.campaign))) == 3
    assert await shown(campaign=str(office.others.campaign)) == []
    assert await shown(state="emergency") == ["김영자"]
    assert (await shown(order="pressing"))[0] == "김영자"
    assert (await shown(order="next"))[-1] == "이순자"


async def test_a_long_list_comes_in_pages_and_everybody_stands_on_one(office: Office) -> None:
    for number in range(120):
        person = office.store.recipients.add(f"사람 {number}", f"+82105000{number:04}", Language.KOREAN)
        if number % 2:
            office.store.recipients.enroll(person, office.ours.campaign)
    for order in ("newest", "oldest", "next", "pressing"):
        seen: list[str] = []
        address: str | None = f"/people?order={order}"
        while address:
            page = (await office.viewer.get(address)).text
            seen += re.findall(r'/people/([0-9a-f-]{36})"', page)
            found = re.search(r'rel="next" href="([^"]+)"', page)
            address = found[1].replace("&amp;", "&") if found else None
        assert len(seen) == len(set(seen)) == 123, order


async def test_a_page_that_is_none_is_not_found(office: Office) -> None:
    for address in ("/people?after=x", "/people?state=x", "/people?campaign=x", "/people?order=pressing&after=a~b"):
        assert (await office.viewer.get(address)).status_code == 404


async def test_a_person_is_added_as_a_list_is_checked(office: Office) -> None:
    answer = await office.supervisor.post("/people/add", data=NEW)
    assert answer.status_code == 303
    page = (await office.supervisor.get(answer.headers["location"])).text
    assert "정미란" in page
    assert "010-9876-5432" in page
    again = await office.supervisor.post("/people/add", data=NEW)
    assert again.status_code == 422
    assert "on the list already" in again.text


async def test_a_form_that_is_wrong_keeps_what_was_typed_and_says_what_to_do_at_each_field(office: Office) -> None:
    typed = {**NEW, "phone": "12", "opens": "10:00", "time_zone": "Mars", "notes": "<b>귀가 어두우심</b>"}
    answer = await office.supervisor.post("/people/add", data=typed)
    assert answer.status_code == 422
    for kept in ('value="정미란"', 'value="12"', 'value="10:00"', "&lt;b&gt;귀가"):
        assert kept in answer.text
    assert answer.text.count('aria-invalid="true"') == 3
    assert "is not a time zone" in answer.text


async def test_details_are_changed_with_a_history(office: Office) -> None:
    address = f"/people/{office.ours.fine}"
    page = (await office.supervisor.get(address)).text
    seen = re.search(r'name="seen" value="(\w+)"', page)
    assert seen
    data = {**NEW, "name": "이순자", "opens": "10:00", "closes": "12:00", "patience_s": "1.5", "seen": seen[1]}
    answer = await office.supervisor.post(address, data=data)
    assert answer.headers["location"] == f"{address}?done=saved"
    assert history(office, office.ours.fine)[-1] is HistoryKind.DETAILS_CHANGED
    found = await office.viewer.post("/people/search", data={"search": "010-9876-5432"})
    assert "이순자" in found.text


async def test_who_changes_second_is_told_and_loses_nothing(office: Office) -> None:
    address = f"/people/{office.ours.fine}"
    seen = re.search(r'name="seen" value="(\w+)"', (await office.supervisor.get(address)).text)
    assert seen
    first = {**NEW, "name": "이순자", "notes": "first", "seen": seen[1]}
    await office.supervisor.post(address, data=first)
    second = await office.admin.post(address, data={**first, "notes": "second"})
    assert second.status_code == 409
    assert "Somebody else has changed" in second.text
    assert "“first”" in second.text
    assert ">second</textarea>" in second.text
    fresh = re.search(r'name="seen" value="(\w+)"', second.text)
    assert fresh
    assert (await office.admin.post(address, data={**first, "notes": "second", "seen": fresh[1]})).status_code == 303


async def test_people_are_paused_and_resumed_together(office: Office) -> None:
    both = {"id": [str(office.ours.fine), str(office.ours.urgent)], "back": "/people?order=next"}
    answer = await office.care_worker.post("/people/pause", data=both)
    assert answer.headers["location"] == "/people?order=next&done=paused&n=2"
    assert "newly for: 2" in (await office.care_worker.get(answer.headers["location"])).text
    assert enrollment(office, office.ours.fine).paused
    assert history(office, office.ours.fine) == [HistoryKind.PAUSED]
    await office.care_worker.post("/people/resume", data=both)
    assert history(office, office.ours.fine) == [HistoryKind.PAUSED, HistoryKind.RESUMED]


@pytest.mark.parametrize("back", ["https://elsewhere.test/", "//elsewhere.test", "/people//x", "/admin"])
async def test_the_way_back_leads_to_our_own_pages_alone(office: Office, back: str) -> None:
    answer = await office.care_worker.post("/people/pause", data={"id": str(office.ours.fine), "back": back})
    assert answer.headers["location"].startswith("/people?done=")


async def test_people_are_put_into_a_campaign_with_their_consent(office: Office) -> None:
    added = await office.supervisor.post("/people/add", data=NEW)
    person = uuid.UUID(added.headers["location"].split("/")[2].split("?")[0])
    ids = [str(person), str(office.ours.fine)]
    form = await office.supervisor.post("/people/enrol", data={"id": ids})
    assert "Put 2 people into a campaign" in form.text
    wrong = await office.supervisor.post(
        "/people/enrol", data={"id": ids, "campaign": str(office.ours.campaign), "consent_day": "2026-05-05"}
    )
    assert wrong.status_code == 422
    assert "in the future" in wrong.text
    assert "Choose how consent was given" in wrong.text
    assert 'value="2026-05-05"' in wrong.text
    done = await office.supervisor.post(
        "/people/enrol",
        data={
            "id": ids,
            "campaign": str(office.ours.campaign),
            "consent_day": "2026-05-01",
            "consent_source": "written",
        },
    )
    assert done.headers["location"] == "/people?done=enrolled_but&n=1&n=1&n=0"
    assert enrollment(office, person).consent_at is not None
    assert history(office, person)[-1] is HistoryKind.ENROLLED


async def test_consent_is_recorded_withdrawn_and_the_person_taken_out(office: Office) -> None:
    place = f"/people/places/{office.ours.enrollment}"
    await office.supervisor.post(f"{place}/withdraw")
    assert enrollment(office, office.ours.urgent).consent_at is None
    half = await office.supervisor.post(f"{place}/consent", data={"recipient": str(office.ours.urgent)})
    assert half.status_code == 422
    consent = {"recipient": str(office.ours.urgent), "consent_day": "2026-05-02", "consent_source": "spoken"}
    await office.supervisor.post(f"{place}/consent", data=consent)
    assert enrollment(office, office.ours.urgent).consent_source == "spoken"
    await office.supervisor.post(f"{place}/leave")
    assert enrollment(office, office.ours.urgent).ended_at is not None
    told = [HistoryKind.CONSENT, HistoryKind.CONSENT, HistoryKind.UNENROLLED]
    assert [kind for kind in history(office, office.ours.urgent) if kind in told] == told


async def test_an_opt_out_is_asked_for_twice_and_ends_all_calls(office: Office) -> None:
    address = f"/people/{office.ours.fine}/opt-out"
    assert (await office.care_worker.post(address)).headers["location"] == address
    assert enrollment(office, office.ours.fine).opted_out_at is None
    assert "wants no more calls?" in (await office.care_worker.get(address)).text
    await office.care_worker.post(address, data={"confirmed": "yes"})
    assert enrollment(office, office.ours.fine).opted_out_at is not None
    assert history(office, office.ours.fine) == [HistoryKind.OPTED_OUT]
    again = await office.supervisor.post(
        "/people/enrol", data={"id": str(office.ours.fine), "campaign": str(office.ours.campaign)}
    )
    assert again.headers["location"].endswith("done=enrolled_but&n=0&n=0&n=1")
    with office.store._database.reading() as session:
        phone = session.get_one(RecipientRow, office.ours.fine).phone
    refused = await office.supervisor.post("/people/add", data={**NEW, "phone": phone})
    assert "wants no more calls" in refused.text


async def test_nobody_of_another_organisation_is_seen_or_changed(office: Office) -> None:
    theirs, place = office.others.fine, office.others.enrollment
    form = {"id": str(theirs), "campaign": str(office.ours.campaign), "confirmed": "yes", "recipient": str(theirs)}
    consent = {**form, "consent_day": "2026-05-02", "consent_source": "spoken"}
    for address in (f"/people/{theirs}", f"/people/{theirs}/opt-out"):
        assert (await office.admin.get(address)).status_code == 404
    for address, data in (
        (f"/people/{theirs}", {**NEW, "seen": "x"}),
        (f"/people/{theirs}/opt-out", form),
        ("/people/pause", form),
        ("/people/resume", form),
        ("/people/enrol", form),
        (f"/people/places/{place}/consent", consent),
        (f"/people/places/{place}/withdraw", form),
        (f"/people/places/{place}/leave", form),
    ):
        assert (await office.admin.post(address, data=data)).status_code == 404, address
    crossing = {"id": str(office.ours.fine), "campaign": str(office.others.campaign)}
    assert (await office.admin.post("/people/enrol", data=crossing)).status_code == 422
    assert history(office, theirs) == []


async def test_each_role_does_what_it_may(office: Office) -> None:
    person = str(office.ours.fine)
    for address in ("/people/pause", "/people/resume", f"/people/{person}/opt-out"):
        assert (await office.viewer.post(address, data={"id": person})).status_code == 403
    for address in ("/people/enrol", "/people/add", f"/people/{person}"):
        assert (await office.care_worker.post(address, data={"id": person})).status_code == 403
    assert "/people/add" not in (await office.care_worker.get("/people")).text


HEADING = "name,phone,language,consent,consent_source\n"


async def send(
    office: Office,
    content: bytes | str,
    name: str = "people.csv",
    browser: httpx.AsyncClient | None = None,
    **options: str,
) -> httpx.Response:
    raw = content.encode() if isinstance(content, str) else content
    data = {"country": "KR", "campaign": str(office.ours.campaign), **options}
    return await (browser or office.supervisor).post("/people/import", data=data, files={"file": (name, raw)})


async def settled(office: Office, address: str) -> str:
    """The page of a list, when nothing more is going on."""
    async with asyncio.timeout(60):
        while True:
            page = (await office.supervisor.get(address)).text
            if "<progress" not in page:
                return html.unescape(page)
            await asyncio.sleep(0.02)


def people_of(office: Office) -> int:
    with office.store._database.reading() as session:
        ours = select(RecipientRow).where(RecipientRow.organisation_id == office.ours.organisation_id)
        return len(session.exec(ours).all())


async def test_a_list_is_shown_line_by_line_before_anything_is_recorded(office: Office) -> None:
    lines = "가영,010-1111-2222,ko,2026-05-01,written\n이순자,010-5561-0556,ko,,\n나영,12,ko,,\n"
    answer = await send(office, HEADING + lines)
    page = await settled(office, answer.headers["location"])
    assert "New: 1. Known already: 1. Wrong: 1." in page
    assert "Nothing is recorded yet." in page
    assert "The number ending in …12 cannot be called" in page
    assert people_of(office) == 3
    done = await office.supervisor.post(f"{answer.headers['location']}/confirm")
    page = await settled(office, done.headers["location"])
    assert "New: 1. Known already: 1, changed: 0. Left out as wrong: 1." in page
    assert "Newly in Seniors: 1." in page
    assert people_of(office) == 4


async def test_of_five_thousand_lines_with_errors_nothing_is_lost(office: Office) -> None:
    lines = [f"사람{number},010{20_000_000 + number},{'xx' if number % 50 == 0 else 'ko'},," for number in range(5000)]
    answer = await send(office, HEADING + "\n".join(lines))
    where = answer.headers["location"]
    page = await settled(office, where)
    assert "New: 4900. Known already: 0. Wrong: 100." in page
    seen: list[str] = []
    address: str | None = f"{where}?only=wrong"
    while address:
        page = await settled(office, address)
        seen += re.findall(r'<th scope="row">([^<]+)</th>', page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        address = found[1] if found else None
    assert len(seen) == 100
    await office.supervisor.post(f"{where}/confirm")
    assert "New: 4900." in await settled(office, where)
    assert people_of(office) == 3 + 4900
    rejected = (await office.supervisor.get(f"{where}/rejected")).content.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(rejected)))
    assert len(rows) == 101
    assert rows[0][-1] == "reason"
    assert "is not spoken here" in rows[1][-1]
    mended = rejected.replace(",xx,", ",ko,")
    answer = await send(office, mended)
    assert "New: 100. Known already: 0. Wrong: 0." in await settled(office, answer.headers["location"])


def bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (101 * 1024 * 1024))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02", "NUL bytes"),
        (b"PK\x03\x04 rubbish", "is not an Excel workbook"),
        (b"a,b\n1,2\n", "the first row must name the columns"),
        (bomb, "unpacks to more than"),
        (b'name,phone\n"Kim', "quotation mark"),
    ],
)
async def test_a_file_that_is_no_list_is_refused_in_a_line(office: Office, content: object, told: str) -> None:
    raw = content() if callable(content) else content
    assert isinstance(raw, bytes)
    answer = await send(office, raw, "<b>list</b>.xlsx")
    page = await settled(office, answer.headers["location"])
    assert "cannot be imported. Nothing was recorded." in page
    assert told in page
    assert people_of(office) == 3


async def test_what_a_file_holds_never_becomes_part_of_the_page(office: Office) -> None:
    answer = await send(office, HEADING + '"<script>x</script>",12,ko,,\n', "<b>x</b>.csv")
    await settled(office, answer.headers["location"])
    page = (await office.supervisor.get(answer.headers["location"])).text
    assert "<script>x" not in page
    assert "<b>x</b>" not in page


async def test_a_request_that_is_too_large_is_refused_unread(office: Office) -> None:
    assert (await send(office, b"x" * (21 * 1024 * 1024))).status_code == 413


async def test_the_form_keeps_what_was_chosen_when_no_file_was(office: Office) -> None:
    data = {"country": "US", "language": "en", "time_zone": "Mars/Base", "update": "yes"}
    answer = await office.supervisor.post("/people/import", data=data, files={"other": ("x", b"")})
    assert answer.status_code == 422
    assert "Choose a file." in answer.text
    assert 'value="US" selected' in answer.text
    assert 'value="Mars/Base"' in answer.text
    assert 'value="yes" checked' in answer.text


async def test_a_list_belongs_to_the_session_that_sent_it_and_is_gone_when_discarded(office: Office) -> None:
    where = (await send(office, HEADING + "가영,010-1111-2222,ko,,\n")).headers["location"]
    await settled(office, where)
    assert (await office.admin.get(where)).status_code == 404
    async with office.signed_in(office.ours.users[Role.SUPERVISOR]) as elsewhere:
        assert (await elsewhere.get(where)).status_code == 404
        assert (await elsewhere.post(f"{where}/confirm")).status_code == 404
    await office.supervisor.post(f"{where}/discard")
    assert (await office.supervisor.get(where)).status_code == 404


async def test_a_list_is_forgotten_after_half_an_hour(office: Office) -> None:
    where = (await send(office, HEADING + "가영,010-1111-2222,ko,,\n")).headers["location"]
    await settled(office, where)
    office.clock.pass_(timedelta(minutes=31))
    assert (await office.supervisor.get(where)).status_code == 404


async def test_lists_meet_no_one_of_another_organisation(office: Office) -> None:
    with office.store._database.reading() as session:
        theirs = session.get_one(RecipientRow, office.others.fine)
    answer = await send(office, HEADING + f"{theirs.name},{theirs.phone},ko,,\n")
    assert "New: 1. Known already: 0." in await settled(office, answer.headers["location"])
    crossing = await send(office, HEADING, campaign=str(office.others.campaign))
    assert crossing.status_code == 422
    for path in ("/people/import", "/people/import/x/confirm", "/people/import/x/discard"):
        assert (await office.care_worker.post(path)).status_code == 403


async def test_the_store_itself_lets_nobody_cross_organisations(office: Office) -> None:
    with pytest.raises(StoreError, match="different organisations"):
        office.store.recipients.enroll(office.ours.fine, office.others.campaign)
    with pytest.raises(StoreError, match="no such campaign"):
        office.store.people.import_people([], campaign_id=office.others.campaign)
    (_, theirs), *_ = office.store.outreach.campaigns(office.others.organisation_id)
    office.store.outreach.save_campaign(replace(theirs, paused=True))
    assert office.store.outreach.campaigns(office.others.organisation_id) == [(office.others.campaign, theirs)]


def test_an_index_leads_to_the_checks_that_are_open(office: Office) -> None:
    viewer = office.ours.users[Role.VIEWER]
    plans = plans_of(office.store, lambda: office.store.care.people_page(viewer, Wanted()))
    (of_slots,) = [plan for plan in plans if "slot.state" in plan]
    assert "SEARCH slot USING INDEX slot_open (enrollment_id=?)" in of_slots
