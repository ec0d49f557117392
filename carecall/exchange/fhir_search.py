"""Search parameters of FHIR (https://hl7.org/fhir/R4/search.html) as far as the interface has them: pure functions."""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from carecall.store.care_exchange import Place, Span

_MOMENT = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d))?)?)?"
)
_PREFIXES = ("eq", "ge", "gt", "le", "lt")


class QueryError(ValueError):
    """A search parameter cannot be understood. The message names it and says what is wanted."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a page of resources ended: after the call at a place, and so many resources of the call that follows."""

    place: Place | None = None
    index: int = 0


def span_of(name: str, values: Iterable[str]) -> Span:
    """The span that all values of a date parameter leave, such as ``ge2026-05-04`` and ``lt2026-05-05``.

    A date without a time is a day in UTC. Raises QueryError.
    """
    since: datetime | None = None
    until: datetime | None = None
    for value in values:
        prefix, moment = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
        if prefix not in _PREFIXES:
            raise QueryError(f"{name}: the prefix is one of {', '.join(_PREFIXES)}, not {prefix!r}")
        begins, ends = _moment(name, moment)
        lower = {"eq": begins, "ge": begins, "gt": ends}.get(prefix)
        upper = {"eq": ends, "le": ends, "lt": begins}.get(prefix)
        since = max(filter(None, (since, lower)), default=None)
        until = min(filter(None, (until, upper)), default=None)
    return Span(since, until)


def id_of(name: str, value: str, kind: str = "") -> uuid.UUID | None:
    """The id in ``ID`` or ``Patient/ID``; None for an id that is none of ours. Raises QueryError for another kind."""
    before, slash, id_ = value.rpartition("/")
    if slash and before != kind:
        raise QueryError(f"{name}: a reference is an id, or {kind}/id")
    return known_id(id_)


def known_id(text: str) -> uuid.UUID | None:
    """The id, written as we write it; None for any other."""
    try:
        id_ = uuid.UUID(text)
    except ValueError:
        return None
    return id_ if str(id_) == text else None


def wanted_code(tokens: str, codings: Iterable[tuple[str, str]]) -> bool:
    """Whether a token parameter, such as ``http://loinc.org|8310-5,49727002``, asks for one of the codings."""
    known = list(codings)
    for token in tokens.split(","):
        system, bar, code = token.rpartition("|")
        if any((not code or code == each[1]) and (not bar or system == each[0]) for each in known):
            return True
    return False


def write_cut(cut: Cut) -> str:
    """The cut for the address of the next page."""
    place = [cut.place[0].isoformat(), str(cut.place[1])] if cut.place is not None else None
    return base64.urlsafe_b64encode(json.dumps([place, cut.index]).encode()).decode().rstrip("=")


def read_cut(name: str, value: str) -> Cut:
    """What write_cut has written. Raises QueryError."""
    try:
        read: Any = json.loads(base64.urlsafe_b64decode(value.encode("ascii") + b"=" * (-len(value) % 4)))
        place, index = read
        if place is None:
            return Cut(None, _small(index))
        at = datetime.fromisoformat(place[0])
        return Cut((at if at.tzinfo else at.replace(tzinfo=UTC), uuid.UUID(place[1])), _small(index))
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, binascii.Error, RecursionError):
        raise QueryError(f"{name}: take the address of the next page from the answer as it is") from None


def _small(index: Any) -> int:
    if type(index) is not int or not 0 <= index < 10_000:
        raise ValueError
    return index


def _moment(name: str, text: str) -> tuple[datetime, datetime]:
    """When it begins and ends, as exactly as it is written."""
    wanted = f"{name}: a moment is written as 2026-05-04 or 2026-05-04T09:00:00+09:00"
    match = _MOMENT.fullmatch(text)
    if match is None or not text.isascii():
        raise QueryError(wanted)
    try:
        if match["hour"] is not None:
            whole = re.sub(r"\.\d+", lambda digits: digits[0][:7].ljust(7, "0"), text.replace("Z", "+00:00"))
            begins = datetime.fromisoformat(whole).astimezone(UTC)
            length = timedelta(minutes=1) if match["second"] is None else timedelta(seconds=1)
            return begins, begins + (timedelta(milliseconds=1) if match["fraction"] else length)
        year, month, day = int(match["year"]), int(match["month"] or 1), int(match["day"] or 1)
        begins = datetime(year, month, day, tzinfo=UTC)
        if match["day"] is not None:
            return begins, begins + timedelta(days=1)
        if match["month"] is not None:
            return begins, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        return begins, datetime(year + 1, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise QueryError(wanted) from None
