"""Tickets for media streams: each admits one stream to one call, once, for a short time."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult
from sqlmodel import col, update

from carecall.store.engine import Database
from carecall.store.tables import StreamTokenRow


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token admits to."""

    attempt_id: uuid.UUID
    needs_signature: bool  # the stream's request must be signed by the telephone provider


class StreamTokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, attempt_id: uuid.UUID, ttl_s: float, needs_signature: bool) -> str:
        """A new token, good once within ``ttl_s`` seconds. Only its hash is kept."""
        token = secrets.token_urlsafe(32)
        with self._database.writing() as session:
            session.add(
                StreamTokenRow(
                    digest=_digest(token),
                    attempt_id=attempt_id,
                    expires_at=self._database.now() + timedelta(seconds=ttl_s),
                    needs_signature=needs_signature,
                )
            )
        return token

    def redeem(self, token: str, now: datetime) -> Grant | None:
        """Uses the token up. None for one that is unknown, used or expired; of two at once only one gets the grant."""
        with self._database.writing() as session:
            used = session.exec(
                update(StreamTokenRow)
                .where(
                    col(StreamTokenRow.digest) == _digest(token),
                    col(StreamTokenRow.used_at).is_(None),
                    col(StreamTokenRow.expires_at) > now,
                )
                .values(used_at=now)
            )
            if cast(CursorResult[Any], used).rowcount != 1:
                return None
            row = session.get_one(StreamTokenRow, _digest(token))
            return Grant(row.attempt_id, row.needs_signature)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
