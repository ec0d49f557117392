"""The engine: SQLite in WAL mode or Postgres, one transaction at a time for whoever writes, and its revision."""

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from sqlite3 import SQLITE_BUSY, OperationalError
from sqlite3 import Connection as SqliteConnection
from typing import Any, ParamSpec, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlmodel import Session, select

from carecall.domain.triage import Urgency
from carecall.errors import StoreError, StoreUnavailable
from carecall.store import chain, holder
from carecall.store.personal import ALL_BOUND, NOT_ALL_BOUND, Cipher, bind_values, use_cipher
from carecall.store.tables import Channel, KeyCheckRow, RecipientRow, Row, UserRow

MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_MS = 10_000
_MIGRATION_LOCK = 4_119_988  # any number, the same in every process
_UPGRADE = "Run 'carecall db upgrade'."
ESCALATE_AFTER = {Urgency.EMERGENCY: timedelta(minutes=5), Urgency.URGENT: timedelta(minutes=30)}

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """A connected database. Every repository reads and writes through it, one method one transaction."""

    def __init__(
        self,
        url: str,
        cipher: Cipher,
        clock: Callable[[], datetime],
        alert_channels: Sequence[Channel] = (),
        escalate_after: Mapping[Urgency, timedelta] = ESCALATE_AFTER,
    ) -> None:
        """Raises StoreError when the URL is not usable; connects only when first used."""
        self.cipher = cipher
        self.now = clock
        self.alert_channels = tuple(alert_channels)
        self.escalate_after = dict(escalate_after)
        try:
            parsed = make_url(url)
            self._sqlite = parsed.get_backend_name() == "sqlite"
            if self._sqlite:
                _prepare_file(parsed.database)
            self._engine = create_engine(parsed, hide_parameters=True, pool_pre_ping=not self._sqlite)
        except (ArgumentError, ModuleNotFoundError):
            raise StoreError(
                "The database URL is not usable: set CARECALL_DATABASE_URL to sqlite:///FILE, or to "
                "postgresql+psycopg://USER:PASSWORD@HOST/NAME with 'carecall[postgres]' installed."
            ) from None
        use_cipher(self._engine, cipher)
        if self._sqlite:
            event.listen(self._engine, "connect", _set_pragmas)
            event.listen(self._engine, "begin", _begin)
        self._reader = (
            self._engine if self._sqlite else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._writer = self._engine.execution_options(carecall_writes=True)
        self._lock: AbstractContextManager[object] = threading.Lock() if self._sqlite else nullcontext()
        self._threads = ThreadPoolExecutor(1 if self._sqlite else 8, thread_name_prefix="carecall-store")
        self.holder = holder.enter()

    def goes_on_at(self, urgency: Urgency) -> datetime | None:
        """When an alert that is put before somebody now goes on to the next person; None: it waits."""
        after = self.escalate_after.get(urgency)
        return None if after is None else self.now() + after

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that sees one state of the database. Raises StoreError."""
        with _one_clear_line(), Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is durable when the block ends, or leaves nothing behind. Raises StoreError."""
        with (
            _one_clear_line(),
            self._lock,
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
            chain.link(session)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a repository's method on the store's own thread, off the event loop.

        What has been handed over is carried out even when the caller is cancelled, as at a hang-up.
        """
        work = functools.partial(call, *args, **kwargs)
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, work))

    def close(self) -> None:
        holder.leave(self.holder)
        self._threads.shutdown()
        self._engine.dispose()

    def tidy(self) -> None:
        """Has what was deleted leave the file's log as well, as far as nobody reads it at this moment."""
        if self._sqlite:
            with _one_clear_line(), self._lock, closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def revision(self) -> str | None:
        """The revision that the database is at; None for an empty one."""
        with _one_clear_line(), self._engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def upgrade(self) -> tuple[str | None, str]:
        """Migrates to the newest revision in one transaction; safe to call from several processes at once.

        Gives the revisions before and after. Raises StoreError for a database that a newer CareCall has made.
        """
        with _one_clear_line(), self._lock, self._writer.begin() as connection:
            if not self._sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            before = MigrationContext.configure(connection).get_current_revision()
            _refuse_newer(before)
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return before, newest_revision()

    def check(self) -> None:
        """Raises StoreError unless the database is at the newest revision and written with this key."""
        current = self.revision()
        if current != newest_revision():
            _refuse_newer(current)
            trouble = "is empty" if current is None else "was made by an older CareCall"
            raise StoreError(f"The database {trouble}. {_UPGRADE}")
        with self.reading() as session:
            known = session.get(KeyCheckRow, 1)
        if known is None and self.cipher.seals:
            with self.writing() as session:
                known = session.get(KeyCheckRow, 1) or _first_key_check(session)
        self.cipher.bound_only = known is not None and known.sample == ALL_BOUND


def _first_key_check(session: Session) -> KeyCheckRow:
    """Of a database that gets its first key; what it holds already was written without one."""
    people = (session.exec(select(each).limit(1)).first() for each in (RecipientRow.id, UserRow.id))
    row = KeyCheckRow(sample=NOT_ALL_BOUND if any(people) else ALL_BOUND)
    session.add(row)
    return row


class Repository:
    """Reads and writes one part of the database: one method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database


def insert_new(session: Session, row: Row) -> bool:
    """Adds a row unless its key is taken, whoever else is adding it at the same moment. False when it was taken."""
    table = _table(type(row))
    added = _insert_new(session, type(row)).values(bind_values(table, row.model_dump())).returning(*table.primary_key)
    return session.connection().execute(added).first() is not None


def insert_all_new(session: Session, rows: type[Row], values: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows by the values of all their columns, in one go; those whose key is taken are left out."""
    if values:
        bound = [bind_values(_table(rows), each) for each in values]
        session.connection().execute(_insert_new(session, rows), bound)


def _insert_new(session: Session, rows: type[Row]) -> sqlite.Insert | postgresql.Insert:
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(_table(rows)).on_conflict_do_nothing()


def _table(rows: type[Row]) -> Table:
    table: Table = getattr(rows, "__table__")  # noqa: B009
    return table


@functools.cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def newest_revision() -> str:
    """The revision that this program works with."""
    return str(_scripts().get_current_head())


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in {script.revision for script in _scripts().walk_revisions()}:
        raise StoreError(f"The database was made by a newer CareCall. Install that version, then: {_UPGRADE}")


def _prepare_file(path: str | None) -> None:
    """The folder and the file, readable by this user alone."""
    if not path or path == ":memory:":
        raise StoreError("SQLite needs a file: set CARECALL_DATABASE_URL to sqlite:///FILE.")
    file = Path(path)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The database file {file} cannot be written: {error.strerror}.") from None


def _set_pragmas(connection: SqliteConnection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by _begin, not by the driver
    connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    _keep_a_log(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _keep_a_log(connection: SqliteConnection) -> None:
    """WAL mode. While another process switches a new file to it, SQLite refuses without waiting."""
    until = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except OperationalError as error:
            if error.sqlite_errorcode != SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.05)


def _begin(connection: Connection) -> None:
    """A writer takes the lock at once: a reader that becomes a writer midway could be refused without waiting."""
    writes: Any = connection.get_execution_options().get("carecall_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _one_clear_line() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        kind = StoreError
        match error:
            case IntegrityError():
                line = f"The database refused: {_first_line(error)}."
            case DBAPIError() if not isinstance(error, DataError | ProgrammingError):
                kind = StoreUnavailable
                line = f"The database cannot be used: {_first_line(error)}. Try 'carecall doctor'."
            case _:
                line = f"The database refused ({type(error).__name__})."
        raise kind(line) from error


def _first_line(error: DBAPIError) -> str:
    """The driver's own words; in its further lines Postgres quotes values."""
    return str(error.orig).partition("\n")[0].rstrip(".")
