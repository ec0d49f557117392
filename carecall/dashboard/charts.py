"""The geometry of the charts of a record: across in percent, so that they fit every screen, down in pixels.

Templates draw them, each with its table.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from carecall.domain.finding import Ternary, Unit
from carecall.domain.turn import Speaker, Turn
from carecall.store.care_recipient import Measured

_LEFT, _PLOT = 6.0, 92.0  # percent; left of the plot stand the degrees
_TOP = 14.0
_CURVE = 120.0  # the height of the temperature's plot
_FEVER_C = 38.0
_STRIP = 72.0  # the height of the latency's bars
_BAR = 34.0
_PRESSING = (Ternary.YES, Ternary.UNKNOWN, Ternary.NO)  # of several calls on a day, the first counts
_DEGREES = (Unit.CELSIUS, Unit.FAHRENHEIT)


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    day: date
    value: Ternary


@dataclass(frozen=True, slots=True)
class Row:
    """One finding over the days; days on which it was not asked have no dot."""

    code: str
    dots: tuple[Dot, ...]

    def count(self, value: str) -> int:
        return sum(dot.value == value for dot in self.dots)


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    day: date


@dataclass(frozen=True, slots=True)
class Reading:
    x: float
    y: float
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Line:
    """Body temperature. ``steps`` lead from one reading to the next, unless a call in between did not ask."""

    readings: tuple[Reading, ...]
    steps: tuple[tuple[Reading, Reading], ...]
    grid: tuple[tuple[float, float], ...]  # y and the value there
    fever: tuple[float, float]
    unit: Unit
    height: float


@dataclass(frozen=True, slots=True)
class Gap:
    """From the end of what the person said to the beginning of the answer; below 0 it was spoken over."""

    turn: int
    seconds: float
    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Latency:
    """In pixels both ways."""

    gaps: tuple[Gap, ...]
    median_s: float
    longest_s: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Period:
    """The days that the charts show, on the person's own calendar."""

    today: date
    days: int
    day_of: Callable[[datetime], date]

    @property
    def first(self) -> date:
        return self.today - timedelta(days=self.days - 1)

    def covers(self, at: datetime) -> bool:
        return self.first <= self.day_of(at) <= self.today

    def x(self, day: date) -> float:
        return round(_LEFT + ((day - self.first).days + 0.5) / self.days * _PLOT, 2)

    def ticks(self) -> tuple[Tick, ...]:
        """About five dates, the last of them today."""
        wanted = range(self.days - 1, -1, -max(1, self.days // 5))
        return tuple(Tick(self.x(day), day) for day in sorted(self.first + timedelta(days=ahead) for ahead in wanted))


def dots(calls: Sequence[Measured], period: Period) -> tuple[Row, ...]:
    """What was answered with yes or no, finding by finding, day by day; a day of several calls is one dot."""
    found: dict[str, dict[date, Ternary]] = {}
    for call in calls:
        for code, value in call.values.items():
            if isinstance(value, Ternary) and period.covers(call.at):
                day, of_code = period.day_of(call.at), found.setdefault(code, {})
                of_code[day] = min(of_code.get(day, Ternary.NO), value, key=_PRESSING.index)
    return tuple(
        Row(code, tuple(Dot(period.x(day), day, of_code[day]) for day in sorted(of_code)))
        for code, of_code in found.items()
    )


def temperature(calls: Sequence[Measured], period: Period) -> Line | None:
    """None when no temperature was told."""
    read = [(call, _degrees(call)) for call in calls if period.covers(call.at)]
    told = [degrees for _, degrees in read if degrees is not None]
    if not told:
        return None
    unit = Unit.CELSIUS if any(unit is Unit.CELSIUS for _, unit in told) else Unit.FAHRENHEIT
    values = [_in(unit, *degrees) for degrees in told]
    low = min(_in(unit, 36.0, Unit.CELSIUS), *values, values[0])
    high = max(_in(unit, 39.5, Unit.CELSIUS), *values, values[0])

    def y(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * _CURVE, 1)

    readings: list[Reading] = []
    steps: list[tuple[Reading, Reading]] = []
    newest: Reading | None = None
    for call, degrees in read:
        before, newest = newest, None
        if degrees is not None:
            value = _in(unit, *degrees)
            newest = Reading(period.x(period.day_of(call.at)), y(value), call.at, value)
            readings.append(newest)
            if before is not None:
                steps.append((before, newest))
    grid = tuple((y(float(value)), float(value)) for value in range(int(low), int(high) + 1) if value >= low)
    fever = _in(unit, _FEVER_C, Unit.CELSIUS)
    return Line(
        tuple(readings),
        tuple(steps),
        grid if unit is Unit.CELSIUS else grid[::2],
        (y(fever), fever),
        unit,
        _TOP + _CURVE + 8,
    )


def latency(turns: Sequence[Turn]) -> Latency | None:
    """How long the person waited for each answer; None when nothing was answered."""
    waits = [
        (answer.index, answer.started_s - said.ended_s)
        for said, answer in itertools.pairwise(turns)
        if said.speaker is Speaker.RECIPIENT and answer.speaker is Speaker.AGENT
    ]
    if not waits:
        return None
    seconds = sorted(wait for _, wait in waits)
    most = max(seconds[-1], 1.0)
    gaps = []
    for index, (turn, wait) in enumerate(waits):
        height = round(max(wait, 0.0) / most * _STRIP, 1)
        gaps.append(Gap(turn, wait, 8 + index * _BAR, round(18 + _STRIP - height, 1), max(height, 1.0)))
    return Latency(tuple(gaps), seconds[len(seconds) // 2], seconds[-1], 16 + len(gaps) * _BAR, 18 + _STRIP + 22)


def _degrees(call: Measured) -> tuple[float, Unit] | None:
    """The temperature that was told in a call, in its unit; of a number without one, in the likely unit."""
    for code, value in call.values.items():
        unit = call.units.get(code)
        if isinstance(value, float) and (unit in _DEGREES or code == "temperature"):
            return value, unit or (Unit.FAHRENHEIT if value > 50 else Unit.CELSIUS)
    return None


def _in(wanted: Unit, value: float, unit: Unit) -> float:
    if wanted is unit:
        return value
    return round((value - 32) / 1.8, 1) if wanted is Unit.CELSIUS else round(value * 1.8 + 32, 1)
