"""Who may sign in, and who is: users, their sessions at browsers, organisations."""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.errors import StoreConflict, StoreError, StoreNotFound
from carecall.store.audit import PROGRAM, Detail, note
from carecall.store.engine import Repository
from carecall.store.scope import scoped, the
from carecall.store.tables import DEFAULT_ORGANISATION, OrganisationRow, UserRow, WebSessionRow

SESSION_LASTS = timedelta(hours=12)
SESSION_IDLES = timedelta(minutes=60)
CODE_WAITS = timedelta(minutes=10)  # between the password and the code of the second factor
WRONG_BEFORE_A_PAUSE = 5
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(minutes=15)
_NOTED_EVERY = timedelta(minutes=1)  # how exactly a session's last sign of life is kept
_ONCE = "once:"  # before the hash of a password that somebody else has chosen: the first thing to do is to change it


@dataclass(frozen=True, slots=True)
class Account:
    """What signing in asks about a user."""

    user_id: uuid.UUID
    password_hash: str
    totp_secret: str | None
    paused: bool  # too many wrong tries: nothing is good for a while


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that is good."""

    viewer: Viewer
    must_change_password: bool


@dataclass(frozen=True, slots=True)
class User:
    """A user as an administrator, and they themselves, see them."""

    id: uuid.UUID
    email: str
    name: str
    role: Role
    language: Language
    time_zone: str
    second_factor: bool
    escalation: int | None
    active: bool
    created_at: datetime
    seen_at: datetime | None  # None: signed in nowhere


@dataclass(frozen=True, slots=True)
class Organisation:
    id: uuid.UUID
    name: str
    users: int


class LastAdmin(StoreError):
    """The organisation would be left without anybody who can add users."""

    code = "store_last_admin"


def pause_after(failures: int) -> timedelta | None:
    """How long nothing is good after so many wrong tries in a row: 30 s from the fifth on, doubled, 15 min at most."""
    if failures < WRONG_BEFORE_A_PAUSE:
        return None
    return min(_FIRST_PAUSE * (1 << min(failures - WRONG_BEFORE_A_PAUSE, 10)), _LONGEST_PAUSE)


def session_digest(token: str) -> str:
    """What is kept of a cookie."""
    return hashlib.sha256(token.encode()).hexdigest()


class Users(Repository):
    # Signing in: nobody is known yet.

    def account(self, email: str) -> Account | None:
        """The active user of this address."""
        with self._database.reading() as session:
            return self._account(self._of_address(session, email))

    def half_signed_in(self, digest: str) -> Account | None:
        """The user who has given the password and still owes the code."""
        with self._database.reading() as session:
            query = (
                select(UserRow)
                .join(WebSessionRow, col(WebSessionRow.user_id) == UserRow.id)
                .where(
                    WebSessionRow.digest == digest,
                    col(WebSessionRow.verified).is_(False),
                    col(WebSessionRow.expires_at) > self._database.now(),
                )
            )
            return self._account(session.exec(query).first())

    def wrong_try(self, user_id: uuid.UUID) -> None:
        """A wrong password or code: from the fifth in a row on, a growing pause."""
        with self._database.writing() as session:
            user = session.get_one(UserRow, user_id, with_for_update=True)
            user.failures += 1
            pause = pause_after(user.failures)
            user.locked_until = self._database.now() + pause if pause else None
            note(
                session,
                self._database,
                PROGRAM,
                "user.sign_in_refused",
                f"user:{user_id}",
                failures=user.failures,
                pause_s=int(pause.total_seconds()) if pause else 0,
            )

    def begin_session(
        self, user_id: uuid.UUID, *, verified: bool, instead_of: str | None = None, new_hash: str | None = None
    ) -> str:
        """A new session's cookie. ``verified``: nothing is owed any more, and wrong tries are forgotten.

        ``instead_of`` is the digest of a session that ends with this; ``new_hash`` is of the same password.
        """
        token = secrets.token_urlsafe(32)
        with self._database.writing() as session:
            now = self._database.now()
            user = session.get_one(UserRow, user_id, with_for_update=True)
            session.connection().execute(
                delete(WebSessionRow).where(
                    (col(WebSessionRow.expires_at) <= now) | (col(WebSessionRow.digest) == (instead_of or ""))
                )
            )
            session.add(
                WebSessionRow(
                    digest=session_digest(token),
                    user_id=user_id,
                    verified=verified,
                    created_at=now,
                    seen_at=now,
                    expires_at=now + (SESSION_LASTS if verified else CODE_WAITS),
                )
            )
            if new_hash is not None:
                user.password_hash = (_ONCE if user.password_hash.startswith(_ONCE) else "") + new_hash
            if verified:
                user.failures, user.locked_until = 0, None
                note(session, self._database, str(user_id), "user.signed_in", f"user:{user_id}")
        return token

    def use_code(self, user_id: uuid.UUID, step: int) -> bool:
        """Takes the code of this step; False when it, or a later one, was used before."""
        with self._database.writing() as session:
            used = (
                update(UserRow)
                .where(col(UserRow.id) == user_id, col(UserRow.totp_step) < step)
                .values(totp_step=step)
                .returning(col(UserRow.id))
            )
            return session.connection().execute(used).first() is not None

    def signed_in(self, digest: str, *, active: bool = True) -> SignedIn | None:
        """Whose session this is, when it is good. ``active``: the person does something, so that it does not idle."""
        with self._database.reading() as session:
            now = self._database.now()
            query = (
                select(WebSessionRow, UserRow)
                .join(UserRow, col(UserRow.id) == WebSessionRow.user_id)
                .where(
                    WebSessionRow.digest == digest,
                    col(WebSessionRow.verified),
                    col(WebSessionRow.expires_at) > now,
                    col(WebSessionRow.seen_at) > now - SESSION_IDLES,
                    col(UserRow.active),
                )
            )
            found = session.exec(query).first()
        if found is None:
            return None
        kept, user = found
        if active and now - kept.seen_at > _NOTED_EVERY:
            with self._database.writing() as session:
                seen = update(WebSessionRow).where(col(WebSessionRow.digest) == digest).values(seen_at=now)
                session.connection().execute(seen)
        viewer = Viewer(user.id, user.organisation_id, user.role, user.language, user.time_zone)
        return SignedIn(viewer, user.password_hash.startswith(_ONCE))

    def end_session(self, digest: str) -> None:
        """Signs out at this browser."""
        with self._database.writing() as session:
            ended = (
                delete(WebSessionRow).where(col(WebSessionRow.digest) == digest).returning(col(WebSessionRow.user_id))
            )
            user_id = session.connection().execute(ended).scalar()
            if user_id is not None:
                note(session, self._database, str(user_id), "user.signed_out", f"user:{user_id}")

    # What somebody changes about themselves.

    def me(self, viewer: Viewer) -> User:
        with self._database.reading() as session:
            return _user(the(session, select(UserRow).where(UserRow.id == viewer.user_id), viewer), None)

    def my_account(self, viewer: Viewer) -> Account | None:
        """For asking the password again before something that an open session alone may not do."""
        with self._database.reading() as session:
            return self._account(the(session, select(UserRow).where(UserRow.id == viewer.user_id), viewer))

    def change_me(self, viewer: Viewer, *, name: str, language: Language, time_zone: str) -> None:
        with self._changing(viewer, viewer.user_id, "user.details_changed") as (_, user):
            user.name, user.language, user.time_zone = name, language, time_zone

    def set_password(self, viewer: Viewer, new_hash: str) -> None:
        """Signs out everywhere: the caller begins a new session at this browser."""
        with self._changing(viewer, viewer.user_id, "user.password_changed") as (session, user):
            user.password_hash = new_hash
            _sign_out_everywhere(session, user.id)

    def set_second_factor(self, viewer: Viewer, secret: str | None, step: int = 0) -> None:
        """Turns the second factor on with a secret whose code of this step was just given, or off."""
        action = "user.second_factor_on" if secret else "user.second_factor_off"
        with self._changing(viewer, viewer.user_id, action) as (_, user):
            user.totp_secret, user.totp_step = secret, max(step, user.totp_step)

    def offered_secret(self, viewer: Viewer, digest: str) -> str:
        """The secret that this session may make its second factor: nothing is kept until its code was given."""
        key = self._database.cipher.name_index(f"second factor of {viewer.user_id} at {digest}")
        return base64.b32encode(bytes.fromhex(key)[:20]).decode()

    def sign_out_everywhere(self, viewer: Viewer, *, besides: str = "") -> None:
        """Ends all sessions but the one of this digest."""
        with self._changing(viewer, viewer.user_id, "user.signed_out_everywhere") as (session, user):
            _sign_out_everywhere(session, user.id, besides=besides)

    def sessions(self, viewer: Viewer) -> int:
        """At how many browsers they are signed in."""
        with self._database.reading() as session:
            now = self._database.now()
            query = select(func.count()).where(
                WebSessionRow.user_id == viewer.user_id,
                col(WebSessionRow.verified),
                col(WebSessionRow.expires_at) > now,
                col(WebSessionRow.seen_at) > now - SESSION_IDLES,
            )
            return session.exec(query).one()

    # What an administrator sees and changes.

    def all(self, viewer: Viewer) -> list[User]:
        """The users of the organisation: those who may sign in first, the others after them, by name."""
        with self._database.reading() as session:
            seen = dict(
                session.exec(
                    select(WebSessionRow.user_id, func.max(WebSessionRow.seen_at)).group_by(col(WebSessionRow.user_id))
                ).all()
            )
            users = [_user(row, seen.get(row.id)) for row in session.exec(scoped(select(UserRow), viewer))]
        return sorted(users, key=lambda user: (not user.active, user.name.casefold(), user.email.casefold()))

    def get(self, viewer: Viewer, user_id: uuid.UUID) -> User:
        """Raises StoreNotFound."""
        with self._database.reading() as session:
            row = the(session, select(UserRow).where(UserRow.id == user_id), viewer)
            seen = session.exec(
                select(func.max(WebSessionRow.seen_at)).where(WebSessionRow.user_id == user_id)
            ).one_or_none()
            return _user(row, seen)

    def set_role(self, viewer: Viewer, user_id: uuid.UUID, seen: Role, role: Role) -> None:
        """Signs them out everywhere. Raises StoreConflict when the role is not what was seen; LastAdmin."""
        with self._changing(viewer, user_id, "user.role_changed", before=seen.value, role=role.value) as (
            session,
            user,
        ):
            if user.role is not seen:
                raise StoreConflict
            self._keep_an_admin(session, user)
            user.role = role
            _sign_out_everywhere(session, user.id)

    def set_active(self, viewer: Viewer, user_id: uuid.UUID, active: bool) -> None:
        """Lets them sign in, or not any more, from this moment on. Raises StoreConflict; LastAdmin."""
        action = "user.activated" if active else "user.deactivated"
        with self._changing(viewer, user_id, action) as (session, user):
            if user.active is active:
                raise StoreConflict
            if not active:
                self._keep_an_admin(session, user)
            _set_active(session, user, active)

    def reset(self, viewer: Viewer, user_id: uuid.UUID, password_hash: str) -> None:
        """A first password again, no second factor, no session. Raises StoreNotFound."""
        with self._changing(viewer, user_id, "user.reset") as (session, user):
            _reset(session, user, password_hash)

    def set_escalation(self, viewer: Viewer, order: Sequence[uuid.UUID]) -> None:
        """In which order alerts go on to people. Raises StoreNotFound for a user who is not theirs."""
        with self._database.writing() as session:
            users = {user.id: user for user in session.exec(scoped(select(UserRow), viewer).with_for_update())}
            if not users.keys() >= set(order):
                raise StoreNotFound
            for user in users.values():
                user.escalation = order.index(user.id) if user.id in order else None
            subject = f"organisation:{viewer.organisation_id}"
            note(session, self._database, str(viewer.user_id), "escalation.changed", subject, people=len(order))

    # What the command line does.

    def any(self) -> bool:
        """Whether there is any user at all."""
        with self._database.reading() as session:
            return session.exec(select(UserRow.id).limit(1)).first() is not None

    def add(
        self,
        email: str,
        role: Role,
        password_hash: str,
        *,
        name: str = "",
        language: Language = Language.ENGLISH,
        time_zone: str = "UTC",
        organisation_id: uuid.UUID = DEFAULT_ORGANISATION,
        change_password: bool = False,
        actor: str = PROGRAM,
    ) -> uuid.UUID:
        """A new user. ``change_password``: they must at their first sign-in. Raises StoreError for a taken address."""
        with self._database.writing() as session:
            if self._of_address(session, email) is not None:
                raise StoreError("There is a user with this address already.")
            row = UserRow(
                organisation_id=organisation_id,
                email=email.strip(),
                email_index=self._database.cipher.email_index(email),
                name=name.strip(),
                role=role,
                language=language,
                time_zone=time_zone,
                password_hash=(_ONCE if change_password else "") + password_hash,
                created_at=self._database.now(),
            )
            session.add(row)
            note(session, self._database, actor, "user.added", f"user:{row.id}", role=role.value)
            return row.id

    def add_organisation(self, name: str, *, actor: str = PROGRAM) -> uuid.UUID:
        """Raises StoreError when the name is taken."""
        with self._database.writing() as session:
            if session.exec(select(OrganisationRow.id).where(OrganisationRow.name == name)).first() is not None:
                raise StoreError(f"There is an organisation named {name} already.")
            row = OrganisationRow(name=name, created_at=self._database.now())
            session.add(row)
            note(session, self._database, actor, "organisation.added", f"organisation:{row.id}")
            return row.id

    def organisations(self) -> list[Organisation]:
        """All of them, by name."""
        with self._database.reading() as session:
            query = (
                select(OrganisationRow, func.count(col(UserRow.id)))
                .outerjoin(UserRow, col(UserRow.organisation_id) == OrganisationRow.id)
                .group_by(col(OrganisationRow.id))
                .order_by(col(OrganisationRow.name))
            )
            return [Organisation(row.id, row.name, users) for row, users in session.exec(query)]

    def everybody(self) -> list[tuple[User, str]]:
        """All users with the names of their organisations, for the operator."""
        with self._database.reading() as session:
            query = (
                select(UserRow, OrganisationRow.name)
                .join(OrganisationRow, col(OrganisationRow.id) == UserRow.organisation_id)
                .order_by(col(OrganisationRow.name), col(UserRow.created_at))
            )
            return [(_user(row, None), name) for row, name in session.exec(query)]

    def operator_resets(self, email: str, password_hash: str, *, actor: str) -> None:
        """What ``reset`` does, at the command line. Raises StoreNotFound."""
        with self._database.writing() as session:
            user = self._one_of_address(session, email)
            _reset(session, user, password_hash)
            note(session, self._database, actor, "user.reset", f"user:{user.id}")

    def operator_sets_active(self, email: str, active: bool, *, actor: str) -> None:
        """What ``set_active`` does, at the command line, and for the last admin too. Raises StoreNotFound."""
        with self._database.writing() as session:
            user = self._one_of_address(session, email)
            _set_active(session, user, active)
            note(session, self._database, actor, "user.activated" if active else "user.deactivated", f"user:{user.id}")

    @contextmanager
    def _changing(
        self, viewer: Viewer, user_id: uuid.UUID, action: str, **details: Detail
    ) -> Iterator[tuple[Session, UserRow]]:
        """A user's row to be changed in one transaction, with its audit entry. Raises StoreNotFound."""
        with self._database.writing() as session:
            user = the(session, select(UserRow).where(UserRow.id == user_id).with_for_update(), viewer)
            yield session, user
            note(session, self._database, str(viewer.user_id), action, f"user:{user_id}", **details)

    def _keep_an_admin(self, session: Session, user: UserRow) -> None:
        """Raises LastAdmin when the organisation would be left without anybody who can add users."""
        admins = select(UserRow.id).where(
            UserRow.organisation_id == user.organisation_id, UserRow.role == Role.ADMIN, col(UserRow.active)
        )
        if set(session.exec(admins.order_by(col(UserRow.id)).with_for_update())) == {user.id}:
            raise LastAdmin

    def _of_address(self, session: Session, email: str) -> UserRow | None:
        indexes = self._database.cipher.email_indexes(email)
        return session.exec(select(UserRow).where(col(UserRow.email_index).in_(indexes))).first()

    def _one_of_address(self, session: Session, email: str) -> UserRow:
        user = self._of_address(session, email)
        if user is None:
            raise StoreNotFound("There is no user with this address: look with 'carecall user list'.")
        return user

    def _account(self, user: UserRow | None) -> Account | None:
        if user is None or not user.active:
            return None
        paused = user.locked_until is not None and user.locked_until > self._database.now()
        return Account(user.id, user.password_hash.removeprefix(_ONCE), user.totp_secret, paused)


def _user(row: UserRow, seen_at: datetime | None) -> User:
    return User(
        row.id,
        row.email,
        row.name,
        row.role,
        row.language,
        row.time_zone,
        row.totp_secret is not None,
        row.escalation,
        row.active,
        row.created_at,
        seen_at,
    )


def _set_active(session: Session, user: UserRow, active: bool) -> None:
    user.active = active
    if not active:
        user.escalation = None
        _sign_out_everywhere(session, user.id)


def _reset(session: Session, user: UserRow, password_hash: str) -> None:
    user.password_hash = _ONCE + password_hash
    user.totp_secret, user.failures, user.locked_until = None, 0, None
    _sign_out_everywhere(session, user.id)


def _sign_out_everywhere(session: Session, user_id: uuid.UUID, *, besides: str = "") -> None:
    session.connection().execute(
        delete(WebSessionRow).where(col(WebSessionRow.user_id) == user_id, col(WebSessionRow.digest) != besides)
    )
