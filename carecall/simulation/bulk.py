"""Millions of rows into an empty database: no triggers, foreign keys and indexes while they are written."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pydantic_core import PydanticUndefined
from sqlalchemy import Table, create_engine, make_url

from carecall.store.personal import Cipher, key_text, of_row, personal_columns, use_cipher
from carecall.store.tables import Row

_PORTION = 5_000  # rows that are held before they are written
_CACHE_KIB = 1_000_000


class _Writer(Protocol):
    def write(self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None: ...


class Bulk:
    """Takes rows by the values of their columns; what is not given has the default of the row's class."""

    def __init__(self, dialect: Any, writer: _Writer) -> None:
        self._dialect = dialect
        self._writer = writer
        self._tables: dict[type[Row], _Rows] = {}
        self.written = 0

    def add(self, row: type[Row], **values: Any) -> None:
        rows = self._tables.get(row)
        if rows is None:
            rows = self._tables[row] = _Rows(row, self._dialect)
        if len(rows.waiting) >= _PORTION:
            self._write(rows)
        rows.add(values)

    def flush(self) -> None:
        for rows in self._tables.values():
            self._write(rows)

    def _write(self, rows: "_Rows") -> None:
        self._writer.write(rows.name, rows.columns, rows.waiting)
        self.written += len(rows.waiting)
        rows.waiting = []


class _Rows:
    """What waits for one table, as the driver takes it."""

    def __init__(self, row: type[Row], dialect: Any) -> None:
        table: Table = getattr(row, "__table__")  # noqa: B009
        self.name = dialect.identifier_preparer.format_table(table)
        self.columns = tuple(column.key for column in table.columns)
        self.waiting: list[tuple[Any, ...]] = []
        self._keys = [column.key for column in table.primary_key]
        self._personal = [column.key for column in personal_columns(table)]
        self._defaults = {name: _default(row, name) for name in self.columns}
        self._drivers: list[tuple[str, Callable[[Any], Any] | None]] = [
            (column.key, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in table.columns
        ]

    def add(self, given: dict[str, Any]) -> None:
        values = {**self._defaults, **given}
        if self._personal:
            key = key_text([values[name] for name in self._keys])
            for name in self._personal:
                if values[name] is not None:
                    values[name] = of_row(values[name], key)
        self.waiting.append(tuple([to(values[name]) if to else values[name] for name, to in self._drivers]))


def _default(row: type[Row], name: str) -> Any:
    default = row.model_fields[name].default
    return None if default is PydanticUndefined else default


@contextmanager
def bulk(url: str, cipher: Cipher) -> Iterator[Bulk]:
    """Writes into a database that is at the newest revision; everything is there when the block ends."""
    engine = create_engine(make_url(url), hide_parameters=True)
    use_cipher(engine, cipher)
    raw = engine.raw_connection()
    try:
        connection: Any = raw.driver_connection
        sqlite = engine.dialect.name == "sqlite"
        writer = _Sqlite(connection) if sqlite else _Postgres(connection)
        writer.undress()
        filling = Bulk(engine.dialect, writer)
        yield filling
        filling.flush()
        writer.dress()
    finally:
        raw.close()
        engine.dispose()


class _Sqlite:
    def __init__(self, connection: Any) -> None:
        connection.isolation_level = None
        self._connection = connection
        self._made_anew: list[str] = []

    def undress(self) -> None:
        for pragma in ("foreign_keys=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "temp_store=MEMORY"):
            self._connection.execute(f"PRAGMA {pragma}")
        query = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
        for kind, name, sql in self._connection.execute(query).fetchall():
            self._connection.execute(f'DROP {kind} "{name}"')
            self._made_anew.append(sql)
        self._connection.execute("BEGIN")

    def write(self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        places = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)

    def dress(self) -> None:
        for sql in sorted(self._made_anew):  # indexes before triggers
            self._connection.execute(sql)
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _Postgres:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._made_anew: list[str] = []

    def undress(self) -> None:
        self._connection.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
        self._connection.execute("SET maintenance_work_mem = '512MB'")
        query = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND indexname NOT IN "
            "(SELECT conname FROM pg_constraint)"
        )
        for name, sql in self._connection.execute(query).fetchall():
            self._connection.execute(f'DROP INDEX "{name}"')
            self._made_anew.append(sql)

    def write(self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        with self._connection.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def dress(self) -> None:
        for sql in self._made_anew:
            self._connection.execute(sql)
        self._connection.execute("SET session_replication_role = origin")
        self._connection.commit()
        self._connection.autocommit = True
        self._connection.execute("VACUUM ANALYZE")  # as the server does by itself, later
        self._connection.execute("CHECKPOINT")


def random_id(random_bits: Callable[[int], int]) -> uuid.UUID:
    """A UUID of version 4 out of a seeded generator's ``getrandbits``."""
    return uuid.UUID(int=random_bits(128), version=4)
