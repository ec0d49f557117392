"""The audit trail's chain: each row's hash covers the row and the hash before it, and the newest hash is kept sealed.

Rows are linked at the end of the transaction that writes them, one transaction after the other. Rows from before there
was a chain have no hash of their own; the first hash covers them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ScalarResult, Table, delete, insert, text
from sqlmodel import Session, col, select

from carecall.errors import PersonalDataChanged
from carecall.store.personal import ALL_BOUND
from carecall.store.tables import AuditHeadRow, AuditRow, KeyCheckRow

_LINKING = 4_119_990  # any number, the same in every process
_WAITING = "audit"
_AT_ONCE = 1000
_AUDIT: Table = getattr(AuditRow, "__table__")  # noqa: B009


@dataclass(frozen=True, slots=True)
class Head:
    """The ends of the chain."""

    before: str = ""  # the hash before the oldest row that is kept
    newest: str = ""
    lost: bool = False  # there was no sealed head where one should have been: rows may be missing before it


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at the whole chain found. ``trouble`` is empty when it holds."""

    rows: int
    newest: str
    trouble: str = ""
    broken_at: int | None = None  # the first row at which the chain does not hold
    seen: bool = False  # the hash that was asked for is in the chain


def wait(session: Session, **values: Any) -> None:
    """Has a row of the audit trail written when the transaction ends."""
    session.info.setdefault(_WAITING, []).append(values)


def link(session: Session) -> None:
    """Writes the rows that wait, each linked to the one before."""
    waiting: list[dict[str, Any]] = session.info.pop(_WAITING, [])
    if not waiting:
        return
    session.flush()
    _one_at_a_time(session)
    row, head = _open_head(session)
    newest = head.newest
    for values in waiting:
        newest = values["hash"] = chained(newest, **values)
    session.connection().execute(insert(_AUDIT), waiting)
    _keep(session, row, Head(head.before, newest, head.lost))


def chained(previous: str, *, at: datetime, actor: str, action: str, subject: str, details: Any, **_: object) -> str:
    """The SHA-256, in hexadecimal, over the hash before and the row's moment (UTC), actor, action, subject, details.

    They are written as one JSON list, without spaces, keys in order, in UTF-8.
    """
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    written = [previous, moment, actor, action, subject, details]
    canonical = json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def check(session: Session, *, seen: str = "", progress: Callable[[int], None] = lambda _rows: None) -> Checked:
    """Follows the chain from the oldest row to the newest. ``seen`` is a hash that is to be in it."""
    try:
        sealed = session.get(AuditHeadRow, 1)
    except PersonalDataChanged as error:
        return Checked(0, "", f"The sealed end of the chain cannot be read: {error}")
    head = _parse(sealed) if sealed is not None else Head()
    newest, rows, linked, found = head.before, 0, False, seen != "" and seen == head.before
    with closing(_in_order(session)) as trail:
        for row in trail:
            newest = _next(newest, row)
            if row.hash != newest and (row.hash or linked):
                return Checked(rows, "", _broken(row, linked), row.id, found)
            rows, linked, found = rows + 1, linked or bool(row.hash), found or newest == seen
            if rows % _AT_ONCE == 0:
                progress(rows)
    trouble = ""
    if sealed is None:
        trouble = "The sealed end of the chain is gone." if rows and (linked or _expected(session)) else ""
    elif newest != head.newest:
        trouble = f"Rows are missing after row {rows}: the newest rows were taken away."
    elif head.lost:
        trouble = "The sealed end of the chain was lost once: rows may have been taken away before it was made anew."
    return Checked(rows, newest, trouble, None, found)


def forget(session: Session, before: datetime) -> int:
    """Deletes the oldest rows, some hundreds at most, that are older than the moment. Gives their number."""
    _one_at_a_time(session)
    oldest = session.exec(select(AuditRow).order_by(col(AuditRow.id)).limit(_AT_ONCE)).all()
    row, head = _open_head(session)
    last, gone = head.before, []
    for each in oldest:
        if each.at >= before:
            break
        last = _next(last, each)
        gone.append(each.id)
    if gone:
        session.connection().execute(delete(_AUDIT).where(_AUDIT.c.id.in_(gone)))
        _keep(session, row, Head(last, head.newest, head.lost))
    return len(gone)


def newest(session: Session) -> str:
    """The newest hash, empty where nothing is linked yet. Raises StoreError when it was tampered with."""
    row = session.get(AuditHeadRow, 1)
    return _parse(row).newest if row is not None else ""


def _broken(row: AuditRow, linked: bool) -> str:
    which = f"row {row.id} of {row.at:%Y-%m-%d %H:%M:%S} UTC"
    if linked:
        return f"The chain breaks at {which}: it was changed, or rows before it were changed or taken away."
    return f"The chain does not begin as it should at {which}: it or rows before it were changed or taken away."


def _next(previous: str, row: AuditRow) -> str:
    return chained(previous, at=row.at, actor=row.actor, action=row.action, subject=row.subject, details=row.details)


def _open_head(session: Session) -> tuple[AuditHeadRow | None, Head]:
    try:
        row = session.get(AuditHeadRow, 1, populate_existing=True)
        if row is not None:
            return row, _parse(row)
    except PersonalDataChanged:
        session.connection().execute(delete(AuditHeadRow))
    expected = _expected(session)
    with closing(_in_order(session)) as trail:
        return None, _found(trail, expected)


def _in_order(session: Session) -> ScalarResult[AuditRow]:
    return session.exec(select(AuditRow).order_by(col(AuditRow.id)).execution_options(yield_per=_AT_ONCE))


def _expected(session: Session) -> bool:
    """Whether there must be a head as soon as there are rows: the database is younger than the chain."""
    known = session.get(KeyCheckRow, 1)
    return known is not None and known.sample == ALL_BOUND


def _found(rows: Iterable[AuditRow], expected: bool) -> Head:
    """The ends of a chain whose head is not there: the rows are taken as they are."""
    newest, lost = "", False
    for row in rows:
        newest = row.hash or _next(newest, row)
        lost = expected or lost or bool(row.hash)
    return Head("", newest, lost)


def _keep(session: Session, row: AuditHeadRow | None, head: Head) -> None:
    written = json.dumps(asdict(head))
    if row is None:
        session.add(AuditHeadRow(ends=written))
    else:
        row.ends = written


def _parse(row: AuditHeadRow) -> Head:
    return Head(**json.loads(row.ends))


def _one_at_a_time(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LINKING})
