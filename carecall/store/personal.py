"""Personal data at rest: text columns encrypted with AES-256-GCM, each bound to its own column."""

import hashlib
import hmac
import os
import re
from weakref import WeakKeyDictionary

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Dialect, Engine, LargeBinary
from sqlalchemy.types import TypeDecorator

from carecall.errors import StoreError

_PLAIN = b"T"
_SEALED = b"G"
_NONCE_BYTES = 12


class Cipher:
    """Seals and opens texts. Without a secret (development only) texts are kept as they are."""

    def __init__(self, secret: str) -> None:
        self._aead = AESGCM(_derive(secret, b"carecall personal text 1")) if secret else None
        self._index_key = _derive(secret, b"carecall blind index 1") if secret else b"carecall"

    @property
    def seals(self) -> bool:
        """Whether there is a key."""
        return self._aead is not None

    def seal(self, text: str, column: str) -> bytes:
        """The stored form: one byte that names it, then the text, or a nonce and the ciphertext."""
        raw = text.encode("utf-8", "surrogatepass")
        if self._aead is None:
            return _PLAIN + raw
        nonce = os.urandom(_NONCE_BYTES)
        return _SEALED + nonce + self._aead.encrypt(nonce, raw, column.encode())

    def open(self, stored: bytes, column: str) -> str:
        """The text. Raises StoreError for a wrong or missing key and for bytes that were sealed for another column."""
        form, raw = stored[:1], stored[1:]
        if form == _SEALED:
            if self._aead is None:
                raise StoreError("Personal data is encrypted: set CARECALL_SECRET_KEY to the key it was written with.")
            try:
                raw = self._aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], column.encode())
            except InvalidTag:
                raise StoreError(
                    "Personal data cannot be read: set CARECALL_SECRET_KEY to the key it was written with."
                ) from None
        return raw.decode("utf-8", "surrogatepass")

    def name_index(self, name: str) -> str:
        """A keyed digest by which an equal name is found without being read."""
        return self._digest(f"name {name.strip()}")

    def phone_index(self, phone: str) -> str | None:
        """The same for a number, however it is spaced and hyphenated; None without a number."""
        digits = re.sub(r"[^+\d]", "", phone)
        return self._digest(f"phone {digits}") if digits else None

    def _digest(self, text: str) -> str:
        return hmac.new(self._index_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _derive(secret: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())


_ciphers: WeakKeyDictionary[Dialect, Cipher] = WeakKeyDictionary()  # an engine has a dialect of its own


def use_cipher(engine: Engine, cipher: Cipher) -> None:
    """From now on the personal columns of this engine's database are read and written with the cipher."""
    _ciphers[engine.dialect] = cipher


class PersonalText(TypeDecorator[str]):
    """A column of text about a person. ``column`` is ``table.column``: what is sealed for one opens in no other."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else _ciphers[dialect].seal(value, self.column)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else _ciphers[dialect].open(value, self.column)
