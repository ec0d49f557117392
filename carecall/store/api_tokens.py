"""Tokens of the programs that read through the interface: made, shown once, used, revoked."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import col, select

from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.store.audit import note
from carecall.store.engine import Repository
from carecall.store.scope import scoped, the
from carecall.store.tables import ApiTokenRow

PREFIX = "carecall_"  # by which a token is known when it turns up where it should not be
_NOTED_EVERY = timedelta(minutes=1)  # how exactly the last use is kept


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as an administrator sees it."""

    id: uuid.UUID
    name: str
    created_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


class ApiTokens(Repository):
    def holder(self, token: str) -> Viewer | None:
        """On whose behalf the holder of the token reads: a viewer whose id is the token's. None when it is not good."""
        query = select(ApiTokenRow).where(ApiTokenRow.digest == _digest(token), col(ApiTokenRow.revoked_at).is_(None))
        with self._database.reading() as session:
            row = session.exec(query).first()
        if row is None:
            return None
        now = self._database.now()
        if row.used_at is None or now - row.used_at >= _NOTED_EVERY:
            with self._database.writing() as session:
                session.get_one(ApiTokenRow, row.id).used_at = now
        return Viewer(row.id, row.organisation_id, Role.VIEWER, Language.ENGLISH, "UTC")


class CareApiTokens(Repository):
    def add_api_token(self, viewer: Viewer, name: str, *, actor: str) -> str:
        """A new token of the viewer's organisation; what is returned is kept nowhere."""
        token = PREFIX + secrets.token_urlsafe(32)
        with self._database.writing() as session:
            row = ApiTokenRow(
                digest=_digest(token),
                organisation_id=viewer.organisation_id,
                name=name,
                created_at=self._database.now(),
            )
            session.add(row)
            note(session, self._database, actor, "api_token.added", f"api_token:{row.id}")
        return token

    def api_tokens(self, viewer: Viewer) -> list[ApiToken]:
        """Newest first, revoked ones too."""
        with self._database.reading() as session:
            rows = session.exec(scoped(select(ApiTokenRow), viewer).order_by(col(ApiTokenRow.created_at).desc()))
            return [ApiToken(row.id, row.name, row.created_at, row.used_at, row.revoked_at) for row in rows]

    def revoke_api_token(self, viewer: Viewer, token_id: uuid.UUID, *, actor: str) -> None:
        """It is good for nothing when this returns. A second time changes nothing. Raises StoreNotFound."""
        with self._database.writing() as session:
            row = the(session, select(ApiTokenRow).where(ApiTokenRow.id == token_id), viewer)
            if row.revoked_at is None:
                row.revoked_at = self._database.now()
                note(session, self._database, actor, "api_token.revoked", f"api_token:{row.id}")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
