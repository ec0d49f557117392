"""Personal data at rest: text columns encrypted with AES-256-GCM, each value bound to its table, column and row.

A value knows its row by its place: whenever a personal column is selected, the statement gives the row's key beside the
value, and the value opens with that key only. When it is written, the row's key is taken from the row.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Column, ColumnElement, Connection, Dialect, Engine, FromClause, Label, LargeBinary, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from carecall.errors import PersonalDataChanged, StoreError

_PLAIN = b"T"
_SEALED_FOR_COLUMN = b"G"  # as values were sealed before they were bound to their row
_SEALED_FOR_ROW = b"K"
_FORMS = _PLAIN + _SEALED_FOR_COLUMN + _SEALED_FOR_ROW
_NONCE_BYTES = 12
_NAME_BYTES = 4
NOT_ALL_BOUND = "carecall"  # samples of the key: some text of the database may be older than the binding to rows
ALL_BOUND = "carecall 2"
PREFIX_BYTES = len(_SEALED_FOR_ROW) + _NAME_BYTES

_MISSING_KEY = "Personal data is encrypted: set CARECALL_SECRET_KEY to the key it was written with."
_WRONG_KEY = "Personal data cannot be read: set CARECALL_SECRET_KEY to the key it was written with."
_MOVED = "Personal data of {row} was changed or moved in the database: it cannot be read. Restore a backup."


class _Key(NamedTuple):
    name: bytes
    aead: AESGCM
    for_indexes: bytes


class Cipher:
    """Seals and opens texts. Without a secret (development only) texts are kept as they are.

    ``secret`` may hold several keys, newest first, with spaces or commas between: all of them open, the newest seals.
    """

    def __init__(self, secret: str) -> None:
        self._keys = [_key(each) for each in re.split(r"[\s,]+", secret) if each]
        self._by_name = {key.name: key for key in self._keys}
        self._indexes = [key.for_indexes for key in self._keys] or [b"carecall"]
        self.bound_only = False  # every value of the database is sealed for its row: any other was put there by hand

    @property
    def seals(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    @property
    def prefix(self) -> bytes:
        """What every value begins with that is sealed for its row by the newest key."""
        return _SEALED_FOR_ROW + self._keys[0].name if self._keys else _PLAIN

    def seal(self, text: str, column: str, row: str) -> bytes:
        """The stored form: its form, the key's name, a nonce and the ciphertext; or its form and the text.

        ``column`` is ``table.column``, ``row`` the text of the row's key.
        """
        raw = text.encode("utf-8", "surrogatepass")
        if not self._keys:
            return _PLAIN + raw
        nonce = os.urandom(_NONCE_BYTES)
        return self.prefix + nonce + self._keys[0].aead.encrypt(nonce, raw, _place(column, row))

    def open(self, stored: bytes, column: str, row: str) -> str:
        """The text. Raises StoreError for a wrong or missing key; PersonalDataChanged for bytes of another place."""
        form = stored[:1]
        if form == _SEALED_FOR_ROW:
            return self._open_for_row(stored, column, row).decode("utf-8", "surrogatepass")
        if self.bound_only:
            raise PersonalDataChanged(_MOVED.format(row=f"{column} {row}"))
        raw = self._open_for_column(stored[1:], column) if form == _SEALED_FOR_COLUMN else stored[1:]
        return raw.decode("utf-8", "surrogatepass")

    def _open_for_row(self, stored: bytes, column: str, row: str) -> bytes:
        if not self._keys:
            raise StoreError(_MISSING_KEY)
        key = self._by_name.get(stored[1:PREFIX_BYTES])
        if key is None:
            raise StoreError(_WRONG_KEY)
        nonce_end = PREFIX_BYTES + _NONCE_BYTES
        try:
            return key.aead.decrypt(stored[PREFIX_BYTES:nonce_end], stored[nonce_end:], _place(column, row))
        except InvalidTag:
            raise PersonalDataChanged(_MOVED.format(row=f"{column} {row}")) from None

    def _open_for_column(self, raw: bytes, column: str) -> bytes:
        if not self._keys:
            raise StoreError(_MISSING_KEY)
        for key in self._keys:
            try:
                return key.aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], column.encode())
            except InvalidTag:
                continue
        raise StoreError(_WRONG_KEY)

    def name_index(self, name: str) -> str:
        """A keyed digest by which an equal name is found without being read."""
        return self.name_indexes(name)[0]

    def name_indexes(self, name: str) -> list[str]:
        """The digests under every key, the newest first: to look up while keys are being changed."""
        return self._digests(f"name {name.strip()}")

    def phone_index(self, phone: str) -> str | None:
        """The same for a number, however it is spaced and hyphenated; None without a number."""
        return next(iter(self.phone_indexes(phone)), None)

    def phone_indexes(self, phone: str) -> list[str]:
        """The digests under every key, the newest first; none without a number."""
        digits = re.sub(r"[^+\d]", "", phone)
        return self._digests(f"phone {digits}") if digits else []

    def email_index(self, address: str) -> str:
        """The same for an address, in whatever case."""
        return self.email_indexes(address)[0]

    def email_indexes(self, address: str) -> list[str]:
        """The digests under every key, the newest first."""
        return self.name_indexes(address.strip().lower())

    def _digests(self, text: str) -> list[str]:
        raw = text.encode("utf-8", "surrogatepass")
        return [hmac.new(key, raw, hashlib.sha256).hexdigest() for key in self._indexes]


def _key(secret: str) -> _Key:
    return _Key(
        _derive(secret, b"carecall key name 1")[:_NAME_BYTES],
        AESGCM(_derive(secret, b"carecall personal text 1")),
        _derive(secret, b"carecall blind index 1"),
    )


def _derive(secret: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())


def _place(column: str, row: str) -> bytes:
    return f"{column} {row}".encode()


_ciphers: WeakKeyDictionary[Dialect, Cipher] = WeakKeyDictionary()  # an engine has a dialect of its own


def use_cipher(engine: Engine, cipher: Cipher) -> None:
    """From now on the personal columns of this engine's database are read and written with the cipher."""
    _ciphers[engine.dialect] = cipher


def cipher_of(dialect: Dialect) -> Cipher:
    """The cipher of the engine that has this dialect: ``session.get_bind().dialect``."""
    return _ciphers[dialect]


class OfRow(str):
    """A text on its way into a row. ``row`` is the text of the row's key."""

    __slots__ = ("row",)
    row: str


def of_row(text: str, row: str) -> OfRow:
    """The text, to be sealed for the row whose key is so written by ``key_text``."""
    bound = OfRow(text)
    bound.row = row
    return bound


def key_text(key: Sequence[Any]) -> str:
    """A row's key as values are bound to it, such as ``5f0c…/12``; the statement writes it in the same way."""
    return "/".join(part.hex if isinstance(part, UUID) else str(part) for part in key)


def bind_to_row(mapper: Mapper[Any], _connection: Connection, row: Any) -> None:
    """Before a row is inserted or updated: its personal texts are bound to its key."""
    columns = personal_columns(mapper.local_table)
    if columns:
        values = row.__dict__
        key = key_text(mapper.primary_key_from_instance(row))
        for column in columns:
            if isinstance(text := values.get(column.key), str):
                values[column.key] = of_row(text, key)


def bind_values(table: FromClause, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of one row for a statement, its personal texts bound to its key, which must be among them."""
    bound = dict(values)
    if columns := personal_columns(table):
        key = key_text([values[each.key] for each in table.primary_key])
        bound |= {each.key: of_row(bound[each.key], key) for each in columns if bound.get(each.key) is not None}
    return bound


def personal_columns(table: FromClause) -> list[Column[Any]]:
    if not isinstance(table, Table):
        return []
    known: list[Column[Any]] | None = table.info.get("personal")
    if known is None:
        known = table.info["personal"] = [each for each in table.columns if isinstance(each.type, PersonalText)]
    return known


class PersonalText(TypeDecorator[str]):
    """A column of text about a person. ``column`` is ``table.column``: what is sealed for one opens in no other."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """The row's key before the stored value."""
        while isinstance(column, Label):
            column = column.element
        table = getattr(column, "table", None)
        if table is None or not table.primary_key:
            raise TypeError(f"{self.column} is selected from its own table, as a column")
        placed = _Placed(*table.primary_key, column)
        placed.type = self
        return placed

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        if not isinstance(value, OfRow):
            raise TypeError(f"{self.column} is written by its row object, or by bind_values; it cannot be compared")
        return _ciphers[dialect].seal(value, self.column, value.row)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        row, _, stored = value.partition(b" ")
        if value[0] in _FORMS:
            raise TypeError(f"{self.column} was selected without its row's key")
        return _ciphers[dialect].open(stored, self.column, row.decode())


class _Placed(FunctionElement[str]):
    """A row's key, a space, and the stored value; NULL for NULL. The last argument is the value."""

    inherit_cache = True


def _key_and_value(element: _Placed, compiler: SQLCompiler) -> tuple[list[str], str]:
    *key, value = (compiler.process(each) for each in element.clauses)
    return key, value


@compiles(_Placed, "sqlite")
def _placed_in_sqlite(element: _Placed, compiler: SQLCompiler, **_: object) -> str:
    key, value = _key_and_value(element, compiler)
    text = " || '/' || ".join(key)
    return f"CAST({text} || ' ' || {value} AS BLOB)"


@compiles(_Placed, "postgresql")
def _placed_in_postgres(element: _Placed, compiler: SQLCompiler, **_: object) -> str:
    key, value = _key_and_value(element, compiler)
    text = " || '/' || ".join(f"replace({part}::text, '-', '')" for part in key)
    return f"convert_to({text} || ' ', 'UTF8') || {value}"
