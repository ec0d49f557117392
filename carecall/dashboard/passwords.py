"""Passwords: argon2id, off the event loop, a few at a time."""

import asyncio
import secrets
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 12
LONGEST = 128
_AT_ONCE = 2  # each takes 64 MiB and a core for some tens of milliseconds
_hasher = PasswordHasher()
_EASY_TO_READ = "abcdefghjkmnpqrstuvwxyz23456789"


class Passwords:
    """Checks and hashes passwords for one event loop."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def good(self, stored: str | None, password: str) -> bool:
        """Whether it is the password; takes as long for nobody (None) as for somebody."""
        async with self._places:
            return await asyncio.to_thread(_good, stored, password)

    async def hash(self, password: str) -> str:
        async with self._places:
            return await asyncio.to_thread(hash_password, password)


def hash_password(password: str) -> str:
    return _hasher.hash(_normal(password))


def is_outdated(stored: str) -> bool:
    """Whether it was hashed with other parameters than are used now."""
    return _hasher.check_needs_rehash(stored)


def first_password() -> str:
    """A random one that can be read out: 80 bits, in groups of four."""
    letters = [secrets.choice(_EASY_TO_READ) for _ in range(16)]
    return "-".join("".join(letters[start : start + 4]) for start in range(0, 16, 4))


def wrong_with(password: str, email: str) -> str | None:
    """Why it may not be a password: short, long, or the address; None when it may."""
    if len(password) < SHORTEST:
        return "short"
    if len(password) > LONGEST:
        return "long"
    if password.casefold().strip() == email.casefold().strip():
        return "address"
    return "repeated" if len(set(password)) < 5 else None


def _good(stored: str | None, password: str) -> bool:
    try:
        _hasher.verify(stored or _nobody(), _normal(password[: LONGEST + 1]))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe())


def _normal(password: str) -> str:
    """The same letters however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password)
