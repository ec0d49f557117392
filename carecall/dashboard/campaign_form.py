"""A campaign as a form: its fields, and the same checks as of a campaign file, told beside the fields."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData

from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Schedule
from carecall.outreach.campaign_file import campaign_of
from carecall.outreach.campaign_schema import RETRIED, WEEKDAYS, CampaignPart

STEPS = 8  # human steps that a ladder may have
UNITS = ("m", "h", "d", "s")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_USUAL = Schedule(times=())
_FIELD_OF = {
    ("schedule", "times"): "times",
    ("schedule", "weekdays"): "weekdays",
    ("schedule", "window", "opens"): "opens",
    ("schedule", "window", "closes"): "closes",
    ("schedule", "holidays"): "holidays",
    ("schedule", "open_for"): "open_for",
    ("schedule", "daily_cap"): "daily_cap",
    ("ladder", "attempts"): "attempts",
    ("ladder", "then"): "step_0",
}


@dataclass(frozen=True, slots=True)
class CampaignForm:
    """What stands in the fields, and which of them are wrong."""

    values: Mapping[str, str]
    weekdays: Collection[str]
    troubles: Collection[str] = field(default_factory=frozenset)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "h" if name.endswith("_within_unit") else "")

    @property
    def steps(self) -> Sequence[int]:
        """The human steps to show: those that are filled in, and one more."""
        filled = [number for number in range(STEPS) if self[f"step_{number}"]]
        return range(min(STEPS, max(filled, default=0) + 2))


def form_of(campaign: Campaign) -> CampaignForm:
    """A form to change a campaign by."""
    schedule, ladder = campaign.schedule, campaign.ladder
    values = {
        "name": campaign.name,
        "dialog": campaign.dialog,
        "starts_on": campaign.starts_on.isoformat(),
        "ends_on": campaign.ends_on.isoformat() if campaign.ends_on else "",
        "times": ", ".join(f"{clock:%H:%M}" for clock in schedule.times),
        "opens": f"{schedule.window.opens:%H:%M}",
        "closes": f"{schedule.window.closes:%H:%M}",
        "holidays": schedule.holidays or "",
        "daily_cap": str(schedule.daily_cap),
        "attempts": str(ladder.attempts),
        **_span("open_for", schedule.open_for),
    }
    for ending, wait in ladder.retry_after.items():
        values |= _span(f"retry_{ending.value}", wait)
    for number, step in enumerate(ladder.then):
        values |= {f"step_{number}": step.kind.value, **_span(f"step_{number}_within", step.within)}
    return CampaignForm(values, [WEEKDAYS[day] for day in schedule.weekdays])


def new_form(today: str, holidays: str) -> CampaignForm:
    """A form for a new campaign, with what is usual filled in."""
    values = {
        "starts_on": today,
        "times": "10:00",
        "opens": f"{_USUAL.window.opens:%H:%M}",
        "closes": f"{_USUAL.window.closes:%H:%M}",
        "holidays": holidays,
        "daily_cap": str(_USUAL.daily_cap),
        "attempts": str(DEFAULT_LADDER.attempts),
        **_span("open_for", _USUAL.open_for),
    }
    for ending, wait in DEFAULT_LADDER.retry_after.items():
        values |= _span(f"retry_{ending.value}", wait)
    for number, step in enumerate(DEFAULT_LADDER.then):
        values |= {f"step_{number}": step.kind.value, **_span(f"step_{number}_within", step.within)}
    return CampaignForm(values, WEEKDAYS)


def read_form(form: FormData, dialogs: Collection[str]) -> tuple[CampaignForm, Campaign | None]:
    """The form as it was typed, and the campaign when nothing is wrong with it."""
    values = {key: value.strip() for key, value in form.items() if isinstance(value, str)}
    weekdays = [str(day) for day in form.getlist("weekdays")]
    typed = CampaignForm(values, weekdays)
    steps = [number for number in range(STEPS) if typed[f"step_{number}"]]
    part: CampaignPart | None = None
    troubles: set[str] = set()
    try:
        part = CampaignPart.model_validate(_plain(typed, steps))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        troubles = {_field(each["loc"], steps) for each in found if not (steps and each["loc"] == ("ladder", "then"))}
    if typed["dialog"] not in dialogs:
        troubles.add("dialog")
    if part is None or troubles:
        return CampaignForm(values, weekdays, frozenset(troubles)), None
    return typed, campaign_of(part)


def _plain(typed: CampaignForm, steps: Sequence[int]) -> dict[str, Any]:
    """What a file would hold."""
    retries = {ending.value: _duration(typed, f"retry_{ending.value}") for ending in RETRIED}
    return {
        "name": typed["name"],
        "dialog": typed["dialog"],
        "starts_on": typed["starts_on"],
        **({"ends_on": typed["ends_on"]} if typed["ends_on"] else {}),
        "schedule": {
            "times": [clock for clock in re.split(r"[\s,;·]+", typed["times"]) if clock],
            "weekdays": list(typed.weekdays),
            "window": {"opens": typed["opens"][:5], "closes": typed["closes"][:5]},
            "holidays": typed["holidays"] or None,
            "open_for": _duration(typed, "open_for"),
            "daily_cap": _whole(typed["daily_cap"]),
        },
        "ladder": {
            "attempts": _whole(typed["attempts"]),
            "retry_after": {ending: wait for ending, wait in retries.items() if wait},
            "then": [
                {"task": typed[f"step_{number}"], "within": _duration(typed, f"step_{number}_within")}
                for number in steps
            ],
        },
    }


def _field(loc: Sequence[int | str], steps: Sequence[int]) -> str:
    """The field that a place in the file is in the form."""
    match tuple(loc):
        case ("ladder", "then", int(place), "within", *_):
            return f"step_{steps[place]}_within"
        case ("ladder", "then", int(place), *_):
            return f"step_{steps[place]}"
        case ("ladder", "retry_after", str(ending), *_):
            return f"retry_{ending}"
        case place:
            for path, name in _FIELD_OF.items():
                if place[: len(path)] == path:
                    return name
            return str(place[0]) if place else "name"


def _whole(text: str) -> int | str:
    return int(text) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else text


def _duration(typed: CampaignForm, name: str) -> str:
    """As a file has it; empty when no number was given."""
    return f"{typed[name]}{typed[f'{name}_unit'] or 'm'}" if typed[name] else ""


def _span(name: str, duration: timedelta) -> dict[str, str]:
    number, unit = span_of(duration)
    return {name: str(number), f"{name}_unit": unit}


def span_of(duration: timedelta) -> tuple[int, str]:
    """A number and its unit: the largest in which it is whole, and not more than what people count in."""
    seconds = int(duration.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0 and (unit != "d" or seconds > _SECONDS["d"]):
            return seconds // _SECONDS[unit], unit
    return seconds, "s"
