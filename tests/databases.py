"""Databases for tests: SQLite, or one of its own on the Postgres server that CARECALL_TEST_POSTGRES names."""

import atexit
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import create_engine, make_url, text

POSTGRES = os.environ.get("CARECALL_TEST_POSTGRES", "")
Told = TypeVar("Told")


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The URL of an empty database, which is gone afterwards."""
    if not POSTGRES:
        yield _sqlite_url(folder)
        return
    name = _new_name()
    _on_server(f"CREATE DATABASE {name}")
    yield _postgres_url(name)
    _on_server(f"DROP DATABASE {name} WITH (FORCE)")


class FilledDatabase(Generic[Told]):
    """A database that is filled once and copied for each test; ``fill`` gets its URL and tells what is in it."""

    def __init__(self, fill: Callable[[str], Told]) -> None:
        self._fill = fill
        self._file = b""  # SQLite's
        self._template = ""  # the name of Postgres's
        self._told: Told | None = None

    @contextmanager
    def copy(self, folder: Path) -> Iterator[tuple[str, Told]]:
        """The URL of a copy, which is gone afterwards, and what ``fill`` told."""
        if not POSTGRES:
            url = _sqlite_url(folder)
            file = Path(make_url(url).database or "")
            if self._told is None:
                self._told = self._fill(url)
                self._file = file.read_bytes()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self._file)
            yield url, self._told
            return
        if self._told is None:
            self._template = _new_name()
            _on_server(f"CREATE DATABASE {self._template}")
            atexit.register(_on_server, f"DROP DATABASE {self._template} WITH (FORCE)")
            self._told = self._fill(_postgres_url(self._template))
        name = _new_name()
        _on_server(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        yield _postgres_url(name), self._told
        _on_server(f"DROP DATABASE {name} WITH (FORCE)")


def _sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder}/data/carecall.sqlite3"


def _postgres_url(name: str) -> str:
    return make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)


def _new_name() -> str:
    return f"test_{secrets.token_hex(6)}"


def _on_server(statement: str) -> None:
    server = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(statement))
    server.dispose()
