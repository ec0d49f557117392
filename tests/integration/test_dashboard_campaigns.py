"""Campaigns on the dashboard: in plain words, changed by a form that checks as files are checked, and planned ahead."""

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dashboard_office import Office
from sqlmodel import select

from carecall.domain.language import Language
from carecall.domain.viewer import Role
from carecall.outreach.campaign_file import load_campaign
from carecall.store.tables import AuditRow, ConsentSource

FORM: dict[str, Any] = {
    "name": "Fever watch",
    "dialog": "wellbeing",
    "starts_on": "2026-05-01",
    "ends_on": "",
    "times": "09:30, 16:00",
    "weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "opens": "09:00",
    "closes": "20:00",
    "holidays": "",
    "open_for": "4",
    "open_for_unit": "h",
    "daily_cap": "6",
    "attempts": "3",
    "retry_busy": "10",
    "retry_busy_unit": "m",
    "step_0": "call",
    "step_0_within": "4",
    "step_0_within_unit": "h",
}


def text(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


async def make(office: Office, **changed: Any) -> str:
    answer = await office.supervisor.post("/campaigns/add", data={**FORM, **changed})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].split("?")[0]


async def test_the_list_shows_our_campaigns_in_words(office: Office) -> None:
    page = text((await office.viewer.get("/campaigns")).text)
    assert "Seniors" in page
    assert "Called every day at 10:00." in page
    assert "3 people" in page
    assert "Neighbours" not in page


async def test_a_campaign_is_made_by_a_form_and_told_in_plain_words(office: Office) -> None:
    page = text((await office.viewer.get(await make(office))).text)
    for told in (
        "Called every day at 09:30, 16:00.",
        "No telephone rings before 09:00 or from 20:00 on.",
        "A call that could not begin within 4 hours is left out.",
        "At most 6 calls to a person a day",
        "The telephone rings up to 3 times",
        "Busy Again after 10 minutes",
        "No answer Not called again",
        "A care worker calls within 4 hours",
    ):
        assert told in page


async def test_the_words_are_korean_for_who_reads_korean(office: Office) -> None:
    where = await make(office, weekdays=["mon", "thu"], holidays="KR")
    of = office.ours.users[Role.VIEWER]
    user_id = office.store.users.add(
        "korean@here.test",
        Role.VIEWER,
        "no password",
        name="Korean",
        language=Language.KOREAN,
        time_zone=of.time_zone,
        organisation_id=of.organisation_id,
    )
    async with office.signed_in(replace(of, user_id=user_id)) as browser:
        page = text((await browser.get(where)).text)
    for told in (
        "월, 목 09:30, 16:00에 전화합니다.",
        "대한민국의 공휴일에는 전화하지 않습니다.",
        "담당자 전화: 4시간 이내",
    ):
        assert told in page


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("name", "Ad hoc: x", "Names that begin with"),
        ("name", "", "Write a name"),
        ("dialog", "unknown", "Choose a talk"),
        ("starts_on", "soon", "Write the first day"),
        ("ends_on", "2026-04-01", "not before the first day"),
        ("times", "25:00", "Write times such as"),
        ("times", "21:30", "Write times such as"),
        ("times", "16:00 09:30", "Write times such as"),
        ("opens", "03:00", "Write a time from 08:00"),
        ("closes", "08:30", "later than the earliest ring"),
        ("holidays", "ZZ", "Choose a country"),
        ("open_for", "90", "from 5 minutes to 24 hours"),
        ("daily_cap", "many", "Write a number from 1 to 20"),
        ("attempts", "11", "Write a number from 1 to 10"),
        ("retry_busy", "9999", "up to 24 hours"),
        ("step_0", "", "Choose at least one step"),
        ("step_0_within", "99", "from 5 minutes to 30 days"),
    ],
)
async def test_what_is_wrong_is_told_beside_its_field_and_what_was_typed_stays(
    office: Office, field: str, typed: str, told: str
) -> None:
    data = {**FORM, field: typed, "step_0_within_unit": "d" if field == "step_0_within" else "h"}
    answer = await office.supervisor.post("/campaigns/add", data=data)
    assert answer.status_code == 422
    wrong = re.findall(r'id="(\w+)-hint">([^<]*)', answer.text)
    assert told in html.unescape(dict(wrong)[field])
    assert answer.text.count("aria-invalid") == 1
    assert 'value="2026-05-01"' in answer.text or field == "starts_on"
    if typed and field not in ("dialog", "holidays", "step_0"):
        assert f'value="{typed}"' in html.unescape(answer.text)


async def test_no_day_of_the_week_is_told(office: Office) -> None:
    answer = await office.supervisor.post("/campaigns/add", data={**FORM, "weekdays": []})
    assert "Choose at least one day" in answer.text


async def test_a_campaign_is_changed_and_who_is_second_loses_nothing(office: Office) -> None:
    where = await make(office)
    page = (await office.supervisor.get(f"{where}/edit")).text
    seen = re.search(r'name="seen" value="(\w+)"', page)
    assert seen
    first = await office.supervisor.post(f"{where}/edit", data={**FORM, "times": "11:00", "seen": seen[1]})
    assert first.status_code == 303
    second = await office.admin.post(f"{where}/edit", data={**FORM, "times": "12:00", "seen": seen[1]})
    assert second.status_code == 409
    assert 'value="12:00"' in second.text
    fresh = re.search(r'name="seen" value="(\w+)"', second.text)
    assert fresh
    again = await office.admin.post(f"{where}/edit", data={**FORM, "times": "12:00", "seen": fresh[1]})
    assert again.status_code == 303
    assert "at 12:00" in text((await office.viewer.get(where)).text)


async def test_a_form_that_is_only_opened_and_saved_changes_nothing(office: Office) -> None:
    where = f"/campaigns/{office.ours.campaign}"
    before = (await office.viewer.get(f"{where}/file")).text
    page = (await office.supervisor.get(f"{where}/edit")).text
    data: dict[str, Any] = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', page))
    data["weekdays"] = re.findall(r'value="(\w+)" checked', page)
    for name, options in re.findall(r'<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'value="(\w*)" selected', options)
        data[name] = chosen[1] if chosen else ""
    assert (await office.supervisor.post(f"{where}/edit", data=data)).status_code == 303
    assert (await office.viewer.get(f"{where}/file")).text == before


async def test_a_name_is_used_once(office: Office) -> None:
    await make(office)
    taken = await office.supervisor.post("/campaigns/add", data=FORM)
    assert taken.status_code == 409
    assert "This name is in use" in taken.text


async def test_a_name_of_another_organisation_is_free(office: Office) -> None:
    theirs = office.store.care.campaign_of(office.others.users[Role.ADMIN], office.others.campaign)
    where = await make(office, name=theirs.campaign.name)
    seen = re.search(r'name="seen" value="(\w+)"', (await office.supervisor.get(f"{where}/edit")).text)
    assert seen
    again = {**FORM, "name": theirs.campaign.name, "times": "11:00", "seen": seen[1]}
    assert (await office.supervisor.post(f"{where}/edit", data=again)).status_code == 303
    assert office.store.care.campaign_of(office.others.users[Role.ADMIN], office.others.campaign) == theirs


async def test_a_campaign_is_paused_resumed_and_noted(office: Office) -> None:
    where = f"/campaigns/{office.ours.campaign}"
    await office.supervisor.post(f"{where}/pause")
    assert "Paused" in (await office.viewer.get(where)).text
    assert "campaign is paused" in text((await office.viewer.get(f"{where}/plan")).text)
    again = await office.supervisor.post(f"{where}/pause")
    assert again.headers["location"].endswith("done=unchanged")
    await office.supervisor.post(f"{where}/resume")
    assert "The campaign is paused" not in (await office.viewer.get(f"{where}/plan")).text
    with office.store._database.reading() as session:
        changes = session.exec(select(AuditRow).where(AuditRow.subject == f"campaign:{office.ours.campaign}")).all()
    assert [row.action for row in changes] == ["campaign.changed", "campaign.changed"]


async def test_the_file_is_one_that_the_command_takes(office: Office, tmp_path: Path) -> None:
    answer = await office.viewer.get(f"{await make(office)}/file")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''Fever%20watch.yaml"
    file = tmp_path / "campaign.yaml"
    file.write_text(answer.text, "utf-8")
    assert load_campaign(file).name == "Fever watch"


async def test_the_plan_tells_who_is_called_when_and_why_somebody_is_not(office: Office) -> None:
    without = office.store.recipients.add("새사람", "+821012345678", Language.KOREAN, time_zone="Asia/Seoul")
    office.store.recipients.enroll(without, office.ours.campaign)
    page = text((await office.viewer.get("/plan?on=2026-05-06")).text)
    for told in ("김영자", "10:00", "Will be called 3", "No consent 1", "no consent is recorded"):
        assert told in page
    one = text((await office.viewer.get(f"/campaigns/{office.ours.campaign}/plan?on=2026-05-06&only=no_consent")).text)
    assert "새사람" in one
    assert "김영자" not in one


async def test_a_plan_comes_in_pages_and_everybody_stands_on_one(office: Office) -> None:
    for number in range(230):
        person = office.store.recipients.add(f"사람 {number}", f"+82105000{number:04}", Language.KOREAN)
        office.store.recipients.enroll(
            person, office.ours.campaign, consent_at=office.clock.now, consent_source=ConsentSource.SPOKEN
        )
    seen: list[str] = []
    address: str | None = "/plan?on=2026-05-06"
    while address:
        page = (await office.viewer.get(address)).text
        seen += re.findall(r"/recipients/([0-9a-f-]{36})", page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        address = html.unescape(found[1]) if found else None
    assert len(seen) == len(set(seen)) == 233


@pytest.mark.parametrize("day", ["2026-05-01", "tomorrow"])
async def test_a_day_that_is_over_or_none_is_told(office: Office, day: str) -> None:
    answer = await office.viewer.get(f"/plan?on={day}")
    assert answer.status_code == 422
    assert "Today is shown instead" in answer.text
    assert f'value="{day}"' in answer.text


async def test_campaigns_of_another_organisation_are_not_found(office: Office) -> None:
    theirs = f"/campaigns/{office.others.campaign}"
    for path in ("", "/edit", "/file", "/plan"):
        assert (await office.admin.get(theirs + path)).status_code == 404, path
    for path in ("/edit", "/pause", "/resume"):
        assert (await office.admin.post(theirs + path, data=FORM)).status_code == 404, path
    assert "최옥순" not in (await office.admin.get("/plan?on=2026-05-06")).text


async def test_each_role_does_what_it_may(office: Office) -> None:
    ours = f"/campaigns/{office.ours.campaign}"
    for path in ("/campaigns/add", f"{ours}/edit", f"{ours}/pause", f"{ours}/resume"):
        assert (await office.care_worker.post(path, data=FORM)).status_code == 403, path
    assert "/edit" not in (await office.viewer.get(ours)).text
