"""`carecall plan` and `carecall campaign` on a real database."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from carecall.cli import app
from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Schedule
from carecall.domain.language import Language
from carecall.outreach.campaign_file import load_campaign
from carecall.outreach.planning import next_check
from carecall.store import Store
from carecall.store.tables import ConsentSource

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
SEOUL = ZoneInfo("Asia/Seoul")
A_TUESDAY = date(2030, 11, 26)


@pytest.fixture(autouse=True)
def _this_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARECALL_DATABASE_URL", url)


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def enroll(store: Store, name: str, number: int, campaign_name: str, *, consent: bool = True) -> None:
    campaign_id = next(each_id for each_id, each in store.outreach.campaigns() if each.name == campaign_name)
    recipient = store.recipients.add(name, f"+8210{number:08}", Language.KOREAN, time_zone="Asia/Seoul")
    consent_at, source = (datetime.now(UTC), ConsentSource.WRITTEN) if consent else (None, None)
    store.recipients.enroll(recipient, campaign_id, consent_at=consent_at, consent_source=source)


def test_an_empty_plan_says_what_to_do_next(store: Store) -> None:
    assert said("plan") == ("There is no campaign yet. Add one: carecall campaign add campaigns/living-alone.yaml\n")
    added = said("campaign", "add", str(CAMPAIGNS / "living-alone.yaml"))
    assert "carecall people import FILE --campaign living-alone" in added
    assert said("plan").splitlines()[1] == (
        "Nobody is enrolled yet. Put people in: carecall people import FILE --campaign living-alone"
    )


def test_the_plan_of_a_day_tells_who_is_called_when_and_why_somebody_is_not(store: Store) -> None:
    for name in ("close-contacts", "living-alone"):
        said("campaign", "add", str(CAMPAIGNS / f"{name}.yaml"))
    enroll(store, "김순자", 12345601, "close-contacts")
    enroll(store, "이말순", 12345602, "close-contacts", consent=False)
    enroll(store, "박영수", 12345603, "living-alone")
    told = said("plan", "--on", A_TUESDAY.isoformat())
    heading, *lines, totals = told.splitlines()
    assert heading == "Tuesday 26 November 2030, on each person's own clock"
    assert [" ".join(line.split()) for line in lines] == [
        "09:30 close-contacts 김순자 planned",
        "16:00 close-contacts 김순자 planned",
        "- close-contacts 이말순 Not called: no consent is recorded. Calls begin when it is.",
        "- living-alone 박영수 Not called now: no check is due. Next check Thu 28 Nov 10:30.",
    ]
    assert totals == "2 planned, 2 not called (1 no consent, 1 not due)"
    assert "김순자" not in said("plan", "--no-names")
    assert "close-contacts" not in said("plan", "--campaign", "living-alone")


def test_the_plan_as_json_is_an_object_a_line_with_the_totals_last(store: Store) -> None:
    said("campaign", "add", str(CAMPAIGNS / "close-contacts.yaml"))
    enroll(store, "김순자", 12345601, "close-contacts")
    *checks, last = map(json.loads, said("plan", "--on", A_TUESDAY.isoformat(), "--json").splitlines())
    assert [check["due_at"] for check in checks] == ["2030-11-26T09:30:00+09:00", "2030-11-26T16:00:00+09:00"]
    assert {check["standing"] for check in checks} == {"planned"}
    assert last == {"on": "2030-11-26", "totals": {"planned": 2}, "reasons": {}}


def test_a_plan_does_not_look_back(store: Store) -> None:
    assert CliRunner().invoke(app, ["plan", "--on", "2020-01-01"]).exit_code == 2
    assert CliRunner().invoke(app, ["plan", "--on", "soon"]).exit_code == 2


def test_what_is_shown_of_a_campaign_is_a_file_to_add_again(store: Store, tmp_path: Path) -> None:
    said("campaign", "add", str(CAMPAIGNS / "living-alone.yaml"))
    shown = tmp_path / "shown.yaml"
    shown.write_text(said("campaign", "show", "living-alone"))
    assert load_campaign(shown) == load_campaign(CAMPAIGNS / "living-alone.yaml")
    assert said("campaign", "add", str(shown)).startswith("Changed living-alone.")
    assert said("campaign", "list") == "living-alone  wellbeing  from 2026-11-23  mon thu  10:30\n"


def test_a_pause_stands_until_it_is_lifted_also_when_the_file_is_added_again(store: Store) -> None:
    path = CAMPAIGNS / "close-contacts.yaml"
    said("campaign", "add", str(path))
    enroll(store, "김순자", 12345601, "close-contacts")
    assert "paused" in said("campaign", "pause", "close-contacts")
    assert "still paused" in said("campaign", "add", str(path))
    assert "1 campaign paused" in said("plan", "--on", A_TUESDAY.isoformat())
    said("campaign", "resume", "close-contacts")
    assert "2 planned" in said("plan", "--on", A_TUESDAY.isoformat())


def test_an_unknown_campaign_is_answered_with_those_there_are(store: Store) -> None:
    said("campaign", "add", str(CAMPAIGNS / "living-alone.yaml"))
    failed = CliRunner().invoke(app, ["campaign", "pause", "living-alon"])
    assert str(failed.exception) == "There is no campaign 'living-alon'. There are: living-alone."


def test_the_worker_opens_each_check_of_the_plan_once(url: str, store: Store) -> None:
    """What `plan` announces for a day is what the ticks of that day open, looked at only when planning asks to."""
    schedule = Schedule(times=(time(9, 30), time(16)))
    of = Campaign("contacts", "active-monitoring", date(2026, 1, 1), None, schedule, DEFAULT_LADDER)
    campaign_id = store.outreach.save_campaign(of)
    for number in range(20):
        enroll(store, f"사람 {number}", 12345600 + number, "contacts", consent=number % 4 != 0)
    store.outreach.save_campaign(of)
    clock = [datetime.combine(A_TUESDAY, time(), tzinfo=SEOUL)]
    opened: dict[str, int] = {}
    with Store.open(url, clock=lambda: clock[-1]) as later:
        for _ in range(48):
            while later.outreach.plan_due(next_check, limit=7):
                pass
            slots = [each.last_slot for each in later.outreach.enrolled(campaign_id=campaign_id)]
            opened[f"{clock[-1]:%H:%M}"] = slots.count(clock[-1])
            clock.append(clock[-1] + timedelta(minutes=30))
    assert {moment: number for moment, number in opened.items() if number} == {"09:30": 15, "16:00": 15}
