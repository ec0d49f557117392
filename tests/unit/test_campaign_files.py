"""A campaign file is read whole, or refused with every problem by its line."""

import json
import re
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Ending, HumanStep, Ladder, Schedule, TaskKind, Window
from carecall.errors import CampaignFileError
from carecall.outreach.campaign_file import as_yaml, load_campaign
from carecall.outreach.campaign_schema import RETRIED

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
DIALOGS = ["active-monitoring.en", "active-monitoring.ko", "wellbeing.en", "wellbeing.ko"]
SHORTEST = """\
name: contacts
dialog: wellbeing
starts_on: 2026-12-01
schedule:
  times: [09:30]
"""


def load(folder: Path, text: str, dialogs: list[str] | None = None) -> Campaign:
    path = folder / "any.yaml"
    path.write_text(text, encoding="utf-8")
    return load_campaign(path, DIALOGS if dialogs is None else dialogs)


def problems(folder: Path, text: str) -> list[str]:
    """Line and words of each problem, without the name of the file."""
    with pytest.raises(CampaignFileError) as refused:
        load(folder, text)
    return [line.partition("any.yaml:")[2] for line in str(refused.value).splitlines()]


def test_the_shortest_file_has_the_usual_rest(tmp_path: Path) -> None:
    assert load(tmp_path, SHORTEST) == Campaign(
        "contacts", "wellbeing", date(2026, 12, 1), None, Schedule(times=(time(9, 30),)), DEFAULT_LADDER
    )


@pytest.mark.parametrize("path", sorted(CAMPAIGNS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_campaigns(path: Path) -> None:
    assert load_campaign(path, DIALOGS).name == path.stem


def test_the_examples_say_what_they_are_for() -> None:
    contacts = load_campaign(CAMPAIGNS / "close-contacts.yaml")
    assert contacts.schedule.times == (time(9, 30), time(16))
    assert contacts.schedule.weekdays == frozenset(range(7))
    assert contacts.ladder == DEFAULT_LADDER
    alone = load_campaign(CAMPAIGNS / "living-alone.yaml")
    assert (alone.schedule.weekdays, alone.schedule.holidays) == (frozenset((0, 3)), "KR")
    assert alone.ladder.then == (
        HumanStep(TaskKind.CALL, timedelta(hours=4)),
        HumanStep(TaskKind.VISIT, timedelta(hours=24)),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", timedelta(seconds=30)), ("10m", timedelta(minutes=10)), ("4h", timedelta(hours=4))],
)
def test_durations_have_units(tmp_path: Path, text: str, expected: timedelta) -> None:
    ladder = load(tmp_path, f"{SHORTEST}ladder: {{retry_after: {{busy: {text}}}}}\n").ladder
    assert ladder.retry_after == {Ending.BUSY: expected}


@pytest.mark.parametrize("text", ["10", "10 minutes", "-5m", "1.5h", "'4'", "", "3d"])
def test_other_durations_are_refused(tmp_path: Path, text: str) -> None:
    assert len(problems(tmp_path, f"{SHORTEST}ladder: {{retry_after: {{busy: {text}}}}}\n")) == 1


def test_every_problem_is_told_at_once_with_its_line_and_its_mend(tmp_path: Path) -> None:
    text = """\
name: Ad hoc thing
dialog: welbeing
starts_on: 2026-02-30
ends_on: tomorrow
schedule:
  times: [16:00, 09:30]
  weekdays: [mon, tusday]
  window: {opens: 09:00, closes: 23:00}
  holidays: Korea
  open_for: 4
  daily_cap: 0
  weekday: 3
ladder:
  attempts: three
  retry_after: {bussy: 10m, busy: 3w}
  then:
    - {task: cal, within: 4h}
    - {task: visit}
"""
    assert problems(tmp_path, text) == [
        "1: `name` is `Ad hoc thing`; names that begin with `Ad hoc` are those of test calls; take another",
        "2: there is no dialog `welbeing`; did you mean `wellbeing`?",
        "3: `starts_on` is `2026-02-30`; write a day of the calendar as year-month-day, such as 2026-12-01",
        "4: `ends_on` is `tomorrow`; write a day of the calendar as year-month-day, such as 2026-12-01",
        "6: `times`: write each time once, the earlier first",
        "7: `weekdays` has `tusday`; known are mon, tue, wed, thu, fri, sat, sun",
        "8: `closes` is `23:00`; nobody is called at night: write a time from 08:00 to 21:00",
        "9: `holidays` is `Korea`; write the two capital letters of a country, such as KR or US, or take the line away",
        "10: `open_for` is `4`; write a number with its unit, such as 30s, 10m, 4h or 2d",
        "11: `daily_cap` is `0`; write 1 or more",
        "12: `weekday` is not known here; did you mean `weekdays`?",
        "14: `attempts` is `three`; write a whole number, without quotes",
        "15: `bussy` is not known here; did you mean `busy`?",
        "15: `busy` is `3w`; write a number with its unit, such as 30s, 10m, 4h or 2d",
        "17: `task` has `cal`; did you mean `call`?",
        "18: `then` lacks `within`; add it",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: there is no campaign in this file; start from an example in campaigns/"),
        ("- a list\n", "1: there is no campaign in this file; start from an example in campaigns/"),
        (SHORTEST.replace("times: [09:30]", "times: []"), "5: `times` is empty; write at least one"),
        (SHORTEST.replace("times: [09:30]", "times: 09:30"), "5: `times` is `09:30`; write a list, such as"),
        (
            SHORTEST.replace("times: [09:30]", "times: [25:00]"),
            "5: `times` is `25:00`; write a time of day such as 09:30",
        ),
        (
            SHORTEST.replace("times: [09:30]", "times: [20:00]"),
            "5: `times`: 20:00 is outside the window of 09:00 to 20:00: move the time or the window",
        ),
        (f"{SHORTEST}  window: {{opens: 12:00, closes: 10:00}}\n", "6: `closes` is `10:00`; write a time later than"),
        (f"{SHORTEST}  window: {{opens: 06:00, closes: 10:00}}\n", "6: `opens` is `06:00`; nobody is called at night"),
        (SHORTEST.replace("name: contacts\n", ""), "1: the file lacks `name`; add it"),
        (f"{SHORTEST}ends_on: 2026-11-30\n", "6: `ends_on` is `2026-11-30`; write a day that is not before"),
        (f"{SHORTEST}ladder: {{then: []}}\n", "6: `then` is empty; write at least one"),
        (f"{SHORTEST}ladder: {{retry_after: {{reached: 5m}}}}\n", "6: `retry_after`: after reached nobody is called"),
        (SHORTEST.replace("wellbeing", "wellbeing.ko"), "2: `dialog` is `wellbeing.ko`; "),
        (f"{SHORTEST}name: again\n", "6: `name` is given twice; keep one"),
    ],
)
def test_a_wrong_file_says_what_to_mend(tmp_path: Path, text: str, problem: str) -> None:
    assert any(line.startswith(problem) for line in problems(tmp_path, text)), problems(tmp_path, text)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CampaignFileError, match="cannot be read"):
        load_campaign(tmp_path / "none.yaml")


def minutes(least: int, most: int) -> st.SearchStrategy[timedelta]:
    return st.integers(least, most).map(lambda number: timedelta(minutes=number))


campaigns = st.builds(
    Campaign,
    name=st.from_regex(r"[A-Za-z가-힣'\"#:-][A-Za-z0-9가-힣 '\"#:{}-]{0,30}[A-Za-z0-9가-힣]", fullmatch=True).filter(
        lambda name: not name.lower().startswith("ad hoc")
    ),
    dialog=st.just("wellbeing"),
    starts_on=st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    ends_on=st.one_of(st.none(), st.dates(date(2030, 1, 1), date(2040, 1, 1))),
    schedule=st.builds(
        Schedule,
        times=st.sets(st.builds(time, st.integers(9, 19), st.integers(0, 59)), min_size=1, max_size=4).map(
            lambda times: tuple(sorted(times))
        ),
        weekdays=st.frozensets(st.integers(0, 6), min_size=1),
        window=st.just(Window(time(8, 30), time(20, 15))),
        holidays=st.sampled_from((None, "KR", "NO", "US")),
        open_for=minutes(5, 1440),
        daily_cap=st.integers(1, 20),
    ),
    ladder=st.builds(
        Ladder,
        attempts=st.integers(1, 10),
        retry_after=st.dictionaries(st.sampled_from(RETRIED), minutes(0, 1440)),
        then=st.lists(st.builds(HumanStep, st.sampled_from(TaskKind), minutes(5, 3000)), min_size=1, max_size=4).map(
            tuple
        ),
    ),
)


@settings(max_examples=60)
@given(campaigns)
def test_a_campaign_that_is_shown_can_be_read_again(tmp_path_factory: pytest.TempPathFactory, any_: Campaign) -> None:
    assert load(tmp_path_factory.mktemp("shown"), as_yaml(any_)) == replace(any_, paused=False)


@settings(max_examples=150)
@given(st.text(max_size=200))
def test_any_text_is_a_campaign_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="ignore")
    with pytest.raises(CampaignFileError, match=r"any\.yaml:\d+: "):
        load_campaign(path)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.sampled_from(("09:30", "4h", "mon"))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)
KEYS = ("times", "weekdays", "window", "holidays", "open_for", "daily_cap")


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(KEYS), values), st.sampled_from(("schedule", "ladder", "name", "starts_on")))
def test_whatever_stands_in_a_place_is_taken_or_refused_by_its_line(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object], place: str
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "any.yaml"
    path.write_text(f"{SHORTEST.replace(place, 'other')}{place}: {json.dumps(value)}\n", encoding="utf-8")
    refused = ""
    try:
        load_campaign(path)
    except CampaignFileError as error:
        refused = str(error)
    assert all(re.match(r".*any\.yaml:\d+: .", line) for line in refused.splitlines())
