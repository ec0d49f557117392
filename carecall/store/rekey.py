"""The change of the key: everything personal is sealed anew with the newest key, in small portions, while others work.

It may be broken off and begun again at any time: what is sealed with the newest key already is passed over.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, LargeBinary, Table, bindparam, func, literal, or_, tuple_, type_coerce
from sqlmodel import Session, select

from carecall.errors import StoreError
from carecall.store.audit import note
from carecall.store.engine import Repository
from carecall.store.personal import ALL_BOUND, PREFIX_BYTES, Cipher, key_text, personal_columns
from carecall.store.tables import KeyCheckRow, Row

_AT_ONCE = 200  # rows in one transaction
_LAST = "key_check"  # sealed anew when all else is: until then the old key still opens the database
_INDEXES: dict[str, Callable[[Cipher, str], str | None]] = {  # of what column they are the blind index
    "name_index": lambda cipher, name: cipher.name_index(name),
    "phone_index": lambda cipher, phone: cipher.phone_index(phone),
    "email_index": lambda cipher, address: cipher.email_index(address),
}


class Rekey(Repository):
    def remaining(self) -> int:
        """How many rows are not sealed with the newest key."""
        with self._database.reading() as session:
            counts = [session.execute(_count(table, self._database.cipher)).scalar_one() for table in _tables()]
        return sum(counts)

    def rekey(self, actor: str, progress: Callable[[int], None] = lambda _rows: None) -> int:
        """Seals everything with the newest key. ``progress`` hears of each portion. Gives the number of rows.

        Raises StoreError without a key, and for a row that cannot be read.
        """
        if not self._database.cipher.seals:
            raise StoreError("There is no key: set CARECALL_SECRET_KEY to the new key and, after a space, the old.")
        done = 0
        while portion := sum(self._table(table, progress) for table in _tables()):  # others may write meanwhile
            done += portion
        with self._database.writing() as session:
            note(session, self._database, actor, "database.rekeyed", "database", rows=done)
            known = session.get(KeyCheckRow, 1)
            if known is not None:
                known.sample = ALL_BOUND
        self._database.cipher.bound_only = True
        return done

    def _table(self, table: Table, progress: Callable[[int], None]) -> int:
        done, last = 0, None
        while True:
            with self._database.writing() as session:
                rows = session.execute(_portion(table, self._database.cipher, last)).mappings().all()
                if rows:
                    _reseal(session, table, self._database.cipher, rows)
            if not rows:
                return done
            done, last = done + len(rows), [rows[-1][f"key {key.key}"] for key in table.primary_key]
            progress(len(rows))


def _tables() -> list[Table]:
    tables = [table for table in Row.metadata.sorted_tables if personal_columns(table)]
    return sorted(tables, key=lambda table: table.name == _LAST)


def _stored(column: Column[Any]) -> ColumnElement[bytes]:
    """The bytes as they lie in the table."""
    return type_coerce(column, LargeBinary())


def _stale(table: Table, cipher: Cipher) -> ColumnElement[bool]:
    newest = literal(cipher.prefix, LargeBinary())
    return or_(*(func.substr(_stored(each), 1, PREFIX_BYTES) != newest for each in personal_columns(table)))


def _count(table: Table, cipher: Cipher) -> Any:
    return select(func.count()).select_from(table).where(_stale(table, cipher))


def _portion(table: Table, cipher: Cipher, last: Sequence[Any] | None) -> Any:
    """The next rows after the key ``last`` that are not sealed with the newest key, locked."""
    keys = list(table.primary_key)
    columns = [key.label(f"key {key.key}") for key in keys]
    columns += [_stored(each).label(each.key) for each in personal_columns(table)]
    query = select(*columns).where(_stale(table, cipher))
    if last is not None:
        after = tuple_(*(literal(value, key.type) for value, key in zip(last, keys, strict=True)))
        query = query.where(tuple_(*keys) > after)
    return query.order_by(*keys).limit(_AT_ONCE).with_for_update()


def _reseal(session: Session, table: Table, cipher: Cipher, rows: Sequence[Any]) -> None:
    columns = personal_columns(table)
    indexes = {name: name.removesuffix("_index") for name in _INDEXES if name in table.columns}
    changed = []
    for row in rows:
        keys = {f"key {key.key}": row[f"key {key.key}"] for key in table.primary_key}
        key = key_text(list(keys.values()))
        texts = {
            each.key: None if row[each.key] is None else cipher.open(bytes(row[each.key]), str(each), key)
            for each in columns
        }
        sealed = {
            f"new {each.key}": None if (text := texts[each.key]) is None else cipher.seal(text, str(each), key)
            for each in columns
        }
        digests = {f"new {name}": _INDEXES[name](cipher, texts[of] or "") for name, of in indexes.items()}
        changed.append(keys | sealed | digests)
    values: dict[str, Any] = {each.key: bindparam(f"new {each.key}", type_=LargeBinary()) for each in columns}
    values |= {name: bindparam(f"new {name}") for name in indexes}
    where = [key == bindparam(f"key {key.key}", type_=key.type) for key in table.primary_key]
    session.connection().execute(table.update().where(*where).values(values), changed)
