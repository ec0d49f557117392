"""The geometry of the charts of a record, in the units of their SVG; templates draw them, each with its table."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from carecall.domain.finding import Missing, Ternary, Unit
from carecall.domain.turn import Speaker, Turn
from carecall.store.care_recipient import Measured

LABELS = 168.0  # the width of the column of names
PLOT = 640.0
_MARGIN = 24.0  # right of the plot, for the last date
ROW = 24.0
_TOP = 12.0
_CURVE = 132.0  # the height of the temperature's plot
_FEVER_C = 38.0
_STRIP = 72.0  # the height of the latency's bars
_BAR = 34.0
_PRESSING = (Ternary.YES, Ternary.UNKNOWN, Ternary.NO)  # of several calls on a day, the first counts


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    day: date
    value: Ternary


@dataclass(frozen=True, slots=True)
class Row:
    """One finding over the days; days on which it was not asked have no dot."""

    code: str
    y: float
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    day: date


@dataclass(frozen=True, slots=True)
class Dots:
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    radius: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Reading:
    x: float
    y: float
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Line:
    """Body temperature. ``paths`` are broken where a call in between did not ask."""

    readings: tuple[Reading, ...]
    paths: tuple[str, ...]
    grid: tuple[tuple[float, float], ...]  # y and the value there
    fever: tuple[float, float]
    ticks: tuple[Tick, ...]
    unit: Unit
    width: float
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
    gaps: tuple[Gap, ...]
    median_s: float
    longest_s: float
    width: float
    height: float


def dots(calls: Sequence[Measured], today: date, days: int, day_of: Callable[[datetime], date]) -> Dots:
    """What was answered with yes or no, finding by finding, day by day; a day of several calls is one dot."""
    first = today - timedelta(days=days - 1)
    found: dict[str, dict[date, Ternary]] = {}
    for call in calls:
        day = day_of(call.at)
        for code, value in call.values.items():
            if isinstance(value, Ternary) and first <= day <= today:
                of_code = found.setdefault(code, {})
                of_code[day] = min(of_code.get(day, Ternary.NO), value, key=_PRESSING.index)
    rows = tuple(
        Row(code, _TOP + (index + 0.5) * ROW, tuple(Dot(_x(day, first, days), day, of[day]) for day in sorted(of)))
        for index, (code, of) in enumerate(found.items())
    )
    return Dots(
        rows, _ticks(first, days), 5.5 if days <= 31 else 2.8, LABELS + PLOT + _MARGIN, _TOP + len(rows) * ROW + 26
    )


def temperature(calls: Sequence[Measured], today: date, days: int, day_of: Callable[[datetime], date]) -> Line | None:
    """None when no temperature was told."""
    first = today - timedelta(days=days - 1)
    read = [(call, _degrees(call)) for call in calls if first <= day_of(call.at) <= today]
    told = [degrees for _, degrees in read if degrees is not None]
    if not told:
        return None
    unit = Unit.CELSIUS if any(unit is Unit.CELSIUS for _, unit in told) else Unit.FAHRENHEIT
    values = [_in(unit, *degrees) for degrees in told]
    low, high = min(_in(unit, 36.0, Unit.CELSIUS), *values, values[0]), max(_in(unit, 39.5, Unit.CELSIUS), *values)

    def y_of(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * _CURVE, 1)

    readings: list[Reading] = []
    runs: list[list[Reading]] = [[]]
    for call, degrees in read:
        if degrees is None:
            runs.append([])
            continue
        value = _in(unit, *degrees)
        reading = Reading(_x(day_of(call.at), first, days), y_of(value), call.at, value)
        readings.append(reading)
        runs[-1].append(reading)
    paths = tuple(" ".join(f"{each.x},{each.y}" for each in run) for run in runs if len(run) > 1)
    step = 1 if unit is Unit.CELSIUS else 2
    grid = tuple((y_of(float(value)), float(value)) for value in range(-(-int(low * 10) // 10), int(high) + 1, step))
    fever = _in(unit, _FEVER_C, Unit.CELSIUS)
    return Line(
        tuple(readings),
        paths,
        grid,
        (y_of(fever), fever),
        _ticks(first, days),
        unit,
        LABELS + PLOT + _MARGIN,
        _TOP + _CURVE + 30,
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


def _x(day: date, first: date, days: int) -> float:
    return round(LABELS + ((day - first).days + 0.5) / days * PLOT, 1)


def _ticks(first: date, days: int) -> tuple[Tick, ...]:
    """About six dates, the last of them today."""
    step = max(1, days // 6)
    wanted = sorted(first + timedelta(days=ahead) for ahead in range(days - 1, -1, -step))
    return tuple(Tick(_x(day, first, days), day) for day in wanted)


def _degrees(call: Measured) -> tuple[float, Unit] | None:
    """The temperature that was told in a call, in its unit; of a number without one, in the likely unit."""
    for code, value in call.values.items():
        unit = call.units.get(code)
        measured = isinstance(value, int | float) and not isinstance(value, bool)
        if measured and not isinstance(value, Missing | str) and (unit in _DEGREES or code == "temperature"):
            return float(value), unit or (Unit.FAHRENHEIT if value > 50 else Unit.CELSIUS)
    return None


_DEGREES = (Unit.CELSIUS, Unit.FAHRENHEIT)


def _in(wanted: Unit, value: float, unit: Unit) -> float:
    if wanted is unit:
        return value
    return round((value - 32) / 1.8, 1) if wanted is Unit.CELSIUS else round(value * 1.8 + 32, 1)
