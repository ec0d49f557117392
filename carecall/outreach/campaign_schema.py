"""The shape of a campaign file: what may stand where, and what goes together.

A field is checked against the ones above it, so that one reading finds every problem.
"""

import itertools
import re
from datetime import date, time, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from carecall.domain.campaign import DEFAULT_LADDER, Ending, Schedule, TaskKind, Window
from carecall.outreach.public_holidays import is_known

DAYTIME = Window(time(8), time(21))  # outside of it no telephone may ring, whatever the file says
RETRIED = tuple(DEFAULT_LADDER.retry_after)
_USUAL = Schedule(times=())
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DURATION = re.compile(r"(\d{1,5}) ?([smhd])")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _wanted(text: str) -> PydanticCustomError:
    return PydanticCustomError("wanted", "{wanted}", {"wanted": text})


def _duration(value: object) -> object:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wanted("write a number with its unit, such as 30s, 10m, 4h or 2d")
    return int(match[1]) * _UNITS[match[2]]


def _within(least: timedelta, most: timedelta, text: str) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise _wanted(f"write a time {text}")
        return value

    return AfterValidator(check)


def _clock(value: object) -> object:
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wanted("write a time of day such as 09:30")
    return time(int(match[1]), int(match[2]))


def _date(value: object) -> object:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise _wanted("write a day of the calendar as year-month-day, such as 2026-12-01")


def _country(value: object) -> object:
    if value is not None and (not isinstance(value, str) or not is_known(value)):
        raise _wanted("write the two capital letters of a country, such as KR or US, or take the line away")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Wait = Annotated[Duration, _within(timedelta(), timedelta(days=1), "up to 24h")]
Clock = Annotated[time, BeforeValidator(_clock)]
Date = Annotated[date, BeforeValidator(_date)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowPart(_Part):
    """Contact hours on the recipient's own clock."""

    opens: Clock
    closes: Clock

    @field_validator("opens", "closes")
    @classmethod
    def _by_day(cls, clock: time) -> time:
        if not DAYTIME.opens <= clock <= DAYTIME.closes:
            raise _wanted(
                f"nobody is called at night: write a time from {DAYTIME.opens:%H:%M} to {DAYTIME.closes:%H:%M}"
            )
        return clock

    @field_validator("closes")
    @classmethod
    def _later(cls, closes: time, info: ValidationInfo) -> time:
        if "opens" in info.data and closes <= info.data["opens"]:
            raise _wanted("write a time later than `opens`")
        return closes


class SchedulePart(_Part):
    """When a check is due."""

    window: WindowPart = WindowPart.model_construct(opens=_USUAL.window.opens, closes=_USUAL.window.closes)
    times: tuple[Clock, ...] = Field(min_length=1, max_length=12)
    weekdays: tuple[Weekday, ...] = Field(default=WEEKDAYS, min_length=1)
    holidays: Annotated[str | None, BeforeValidator(_country)] = _USUAL.holidays
    open_for: Annotated[Duration, _within(timedelta(minutes=5), timedelta(days=1), "from 5m to 24h")] = _USUAL.open_for
    daily_cap: int = Field(default=_USUAL.daily_cap, strict=True, ge=1, le=20)

    @field_validator("times")
    @classmethod
    def _in_the_window(cls, times: tuple[time, ...], info: ValidationInfo) -> tuple[time, ...]:
        if any(later <= earlier for earlier, later in itertools.pairwise(times)):
            raise _wanted("write each time once, the earlier first")
        window: WindowPart | None = info.data.get("window")
        for clock in times:
            if window and not window.opens <= clock < window.closes:
                raise _wanted(
                    f"{clock:%H:%M} is outside the window of {window.opens:%H:%M} to {window.closes:%H:%M}: "
                    "move the time or the window"
                )
        return times


class HumanStepPart(_Part):
    """What a human is asked to do, and within what time."""

    task: TaskKind
    within: Annotated[Duration, _within(timedelta(minutes=5), timedelta(days=30), "from 5m to 30d")]


class LadderPart(_Part):
    """What happens until somebody is reached."""

    attempts: int = Field(default=DEFAULT_LADDER.attempts, strict=True, ge=1, le=10)
    retry_after: dict[Ending, Wait] = Field(default_factory=lambda: dict(DEFAULT_LADDER.retry_after))
    then: tuple[HumanStepPart, ...] = Field(
        default=tuple(
            HumanStepPart.model_construct(task=step.kind, within=step.within) for step in DEFAULT_LADDER.then
        ),
        min_length=1,
        max_length=8,
    )

    @field_validator("retry_after")
    @classmethod
    def _worth_a_retry(cls, waits: dict[Ending, timedelta]) -> dict[Ending, timedelta]:
        if useless := [ending for ending in waits if ending not in RETRIED]:
            raise _wanted(f"after {', '.join(useless)} nobody is called again: take it away")
        return waits


class CampaignPart(_Part):
    """The file."""

    name: str = Field(pattern=r"^\S(.{0,198}\S)?$")
    dialog: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    starts_on: Date
    ends_on: Date | None = None
    schedule: SchedulePart
    ladder: LadderPart = LadderPart()

    @field_validator("name")
    @classmethod
    def _ours_alone(cls, name: str) -> str:
        if name.lower().startswith("ad hoc"):
            raise _wanted("names that begin with `Ad hoc` are those of test calls; take another")
        return name

    @field_validator("ends_on")
    @classmethod
    def _not_before_the_start(cls, ends_on: date | None, info: ValidationInfo) -> date | None:
        if ends_on is not None and "starts_on" in info.data and ends_on < info.data["starts_on"]:
            raise _wanted("write a day that is not before `starts_on`")
        return ends_on
