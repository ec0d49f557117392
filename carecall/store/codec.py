"""How values that are not columns are written: as JSON, finding values as kind and text."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import time
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from pydantic import TypeAdapter, ValidationError

from carecall.domain.campaign import DEFAULT_LADDER, Ladder, Schedule
from carecall.domain.finding import Evidence, Finding, FindingValue, Layer, Missing, Ternary
from carecall.domain.turn import Turn
from carecall.errors import StoreError
from carecall.store.tables import ValueKind

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Plan = TypeVar("Plan", Schedule, Ladder)

_SCHEDULE = TypeAdapter(Schedule)
_LADDER = TypeAdapter(Ladder)
_DEFAULT_SCHEDULE = Schedule(times=(time(10),))


def dump_schedule(schedule: Schedule) -> dict[str, Any]:
    written: dict[str, Any] = _SCHEDULE.dump_python(schedule, mode="json")
    return written


def parse_schedule(stored: Mapping[str, Any]) -> Schedule:
    """The schedule; of nothing the default one, daily at ten. Raises StoreError for what is no schedule."""
    return _parse(_SCHEDULE, stored, "schedule") if stored else _DEFAULT_SCHEDULE


def dump_ladder(ladder: Ladder) -> dict[str, Any]:
    written: dict[str, Any] = _LADDER.dump_python(ladder, mode="json")
    return written


def parse_ladder(stored: Mapping[str, Any]) -> Ladder:
    """The ladder; of nothing the default one. Raises StoreError for what is no ladder."""
    return _parse(_LADDER, stored, "ladder") if stored else DEFAULT_LADDER


def _parse(adapter: TypeAdapter[Plan], stored: Mapping[str, Any], what: str) -> Plan:
    try:
        return adapter.validate_python(stored)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "all of it"
        raise StoreError(
            f"A campaign's {what} is wrong in the database ({where}: {first['msg']}): save the campaign again."
        ) from None


def dump_understanding(understanding: "DataclassInstance") -> str:
    return json.dumps(dataclasses.asdict(understanding), ensure_ascii=False)


def dump_notes(notes: tuple[str, ...]) -> str:
    return json.dumps(notes, ensure_ascii=False)


def load_notes(stored: str) -> tuple[str, ...]:
    return tuple(json.loads(stored))


def dump_value(value: FindingValue) -> tuple[ValueKind, str]:
    match value:
        case Ternary():
            return ValueKind.TERNARY, value.value
        case Missing():
            return ValueKind.MISSING, value.value
        case str():
            return ValueKind.WORDS, value
        case int() | float():
            return ValueKind.NUMBER, repr(float(value))
        case _:
            assert_never(value)


def load_value(kind: ValueKind, stored: str) -> FindingValue:
    match kind:
        case ValueKind.TERNARY:
            return Ternary(stored)
        case ValueKind.MISSING:
            return Missing(stored)
        case ValueKind.WORDS:
            return stored
        case ValueKind.NUMBER:
            return float(stored)
        case _:
            assert_never(kind)


def understood_findings(turn: Turn, understanding: str) -> list[Finding]:
    """What a recipient's turn was understood to state: what was volunteered, then the answer to what was asked."""
    read: dict[str, Any] = json.loads(understanding)
    findings = [
        _finding(reading["id"], Ternary(reading["value"]), reading, turn) for reading in read.get("volunteered") or ()
    ]
    answer = read.get("answer")
    if turn.asked and answer and answer["value"] is not None:
        value = answer["value"]
        known = isinstance(value, str) and value in set(Ternary)
        findings.append(_finding(turn.asked, Ternary(value) if known else value, answer, turn))
    return findings


def _finding(code: str, value: FindingValue, reading: dict[str, Any], turn: Turn) -> Finding:
    evidence = Evidence(turn.index, reading["quote"] or turn.text, turn.started_s)
    return Finding(code, value, (evidence,), Layer(reading["layer"]))
