"""The tables. What must never happen is refused here: closed sets, one live call a person, one report a call."""

import uuid
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Time,
    UniqueConstraint,
    Uuid,
    event,
    text,
)
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import TaskKind
from carecall.domain.finding import Layer, Unit
from carecall.domain.language import Language
from carecall.domain.progress import AnsweredBy, CallFailure
from carecall.domain.report import Outcome
from carecall.domain.triage import Urgency
from carecall.domain.turn import Speaker
from carecall.domain.viewer import Role
from carecall.store.personal import PersonalText, bind_to_row

LIVE = (AttemptState.DIALING, AttemptState.RINGING, AttemptState.IN_PROGRESS)
ENDED = tuple(state for state in AttemptState if state.terminal)


class ConsentSource(StrEnum):
    """How the consent to be called was given."""

    WRITTEN = "written"
    SPOKEN = "spoken"
    TRIAL = "trial"  # a demo, a chat or a test call that the operator holds


class Resolution(StrEnum):
    """How an alert was settled."""

    HANDLED = "handled"
    REFERRED = "referred"
    FALSE_ALARM = "false_alarm"
    DUPLICATE = "duplicate"


class DayState(StrEnum):
    """What a local day was like for a recipient; the most pressing of its calls counts."""

    FINE = "fine"
    ATTENTION = "attention"
    URGENT = "urgent"
    EMERGENCY = "emergency"
    UNREACHED = "unreached"


class HistoryKind(StrEnum):
    """What happened to a recipient's record."""

    NOTE = "note"
    ALERT_ACKNOWLEDGED = "alert_acknowledged"
    ALERT_ASSIGNED = "alert_assigned"
    ALERT_ESCALATED = "alert_escalated"
    ALERT_RESOLVED = "alert_resolved"
    TASK_OPENED = "task_opened"
    TASK_CLOSED = "task_closed"
    MANUAL_CALL = "manual_call"  # a human tried by telephone
    CALL_NOW = "call_now"
    FINDING_CORRECTED = "finding_corrected"
    MEMORY_ADDED = "memory_added"
    MEMORY_EDITED = "memory_edited"
    MEMORY_FORGOTTEN = "memory_forgotten"
    ENROLLED = "enrolled"
    UNENROLLED = "unenrolled"
    CONSENT = "consent"
    PAUSED = "paused"
    RESUMED = "resumed"
    OPTED_OUT = "opted_out"
    DETAILS_CHANGED = "details_changed"
    EXPORTED = "exported"


class Direction(StrEnum):
    """Who called whom."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class SlotState(StrEnum):
    """What became of a due check."""

    OPEN = "open"
    REACHED = "reached"  # the person was spoken to; the report says the rest
    HANDED_OVER = "handed_over"  # the ladder has ended in a task for a human
    DROPPED = "dropped"  # no longer wanted before anybody was reached: opted out, ended, paused; see ``reason``


class Channel(StrEnum):
    """Where an alert is delivered to, beside the dashboard."""

    WEBHOOK = "webhook"
    EMAIL = "email"


class ValueKind(StrEnum):
    """Which of the types of a finding's value is meant."""

    TERNARY = "ternary"
    MISSING = "missing"
    NUMBER = "number"
    WORDS = "words"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. Goes in with any time zone and comes out in UTC, also from SQLite, which knows none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Row(SQLModel):
    """A row shows its table and its key, never what it holds."""

    def __repr__(self) -> str:
        keys = [column.name for column in getattr(type(self), "__table__").primary_key]  # noqa: B009
        return f"{type(self).__name__}({', '.join(f'{key}={getattr(self, key)!s}' for key in keys)})"

    __str__ = __repr__


for _moment_of_writing in ("before_insert", "before_update"):
    event.listen(Row, _moment_of_writing, bind_to_row, propagate=True)


def _key() -> Any:
    return Field(default_factory=uuid.uuid4, sa_column=Column(Uuid, primary_key=True))


def _to(target: str, *, required: bool = True, index: bool = True, unique: bool = False, key: bool = False) -> Any:
    column = Column(Uuid, ForeignKey(target), nullable=not required, index=index, unique=unique, primary_key=key)
    return Field(sa_column=column) if required else Field(default=None, sa_column=column)


def _plain_to_user() -> Any:
    """A user's id without a foreign key, which SQLite cannot add to a table that has rows."""
    return Field(default=None, sa_column=Column(Uuid))


def _personal(column: str, *, required: bool = True) -> Any:
    """A personal column; empty or absent when nothing is known."""
    return Field(default="" if required else None, sa_column=Column(PersonalText(column), nullable=not required))


def _moment(*, required: bool = True) -> Any:
    column = Column(UtcDateTime, nullable=not required)
    return Field(sa_column=column) if required else Field(default=None, sa_column=column)


def _values(members: type[StrEnum], constraint: str) -> Enum:
    return Enum(
        members,
        name=constraint,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda enum: [member.value for member in enum],
    )


def _closed(members: type[StrEnum], constraint: str, *, required: bool = True) -> Any:
    """A closed set, kept as its values under a CHECK."""
    kind = _values(members, constraint)
    return Field(sa_column=Column(kind, nullable=False)) if required else Field(default=None, sa_column=Column(kind))


def _in(states: tuple[AttemptState, ...]) -> str:
    return f"state IN ({', '.join(repr(state.value) for state in states)})"


def _unique_where(name: str, condition: str, *columns: str) -> Index:
    return Index(name, *columns, unique=True, sqlite_where=text(condition), postgresql_where=text(condition))


DEFAULT_ORGANISATION = uuid.UUID(int=1)  # of an installation that serves one


def _organisation() -> Any:
    """No foreign key: SQLite cannot add one to a table that has rows, and organisations are never deleted."""
    return Field(default=DEFAULT_ORGANISATION, sa_column=Column(Uuid, nullable=False, index=True))


class OrganisationRow(Row, table=True):
    """Whose recipients, campaigns and users these are. Nobody sees those of another."""

    __tablename__ = "organisation"

    id: uuid.UUID = _key()
    name: str = Field(sa_column=Column(String(200), nullable=False, unique=True))
    created_at: datetime = _moment()


class RecipientRow(Row, table=True):
    """A person who is called."""

    __tablename__ = "recipient"
    __table_args__ = (
        CheckConstraint("patience_s >= 0", name="recipient_patience"),
        Index("recipient_listed", "organisation_id", "id"),
    )

    id: uuid.UUID = _key()
    organisation_id: uuid.UUID = _organisation()
    name: str = _personal("recipient.name")
    phone: str = _personal("recipient.phone")
    name_index: str = Field(sa_column=Column(String(64), nullable=False, index=True))  # blind indexes
    phone_index: str | None = Field(default=None, sa_column=Column(String(64), index=True))
    language: Language = _closed(Language, "recipient_language")
    time_zone: str = Field(sa_column=Column(String(64), nullable=False))  # IANA name
    patience_s: float = 0.0  # seconds to wait longer than usual before taking a pause for the end of a reply
    opens: time | None = Field(default=None, sa_column=Column(Time))  # the person's own hours, local; within them only
    closes: time | None = Field(default=None, sa_column=Column(Time))
    notes: str = _personal("recipient.notes")
    recording_consent_at: datetime | None = _moment(required=False)  # None: no call of theirs is recorded
    created_at: datetime = _moment()


class CampaignRow(Row, table=True):
    """Who is called about what, when."""

    __tablename__ = "campaign"
    __table_args__ = (
        CheckConstraint("ends_on IS NULL OR ends_on >= starts_on", name="campaign_period"),
        UniqueConstraint("organisation_id", "name", name="campaign_named"),
    )

    id: uuid.UUID = _key()
    organisation_id: uuid.UUID = _organisation()
    name: str = Field(sa_column=Column(String(200), nullable=False))
    dialog: str = Field(sa_column=Column(String(100), nullable=False))  # id of the dialog; the language is the person's
    starts_on: date = Field(sa_column=Column(Date, nullable=False))
    ends_on: date | None = Field(default=None, sa_column=Column(Date))
    schedule: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    ladder: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    paused: bool = False


class EnrollmentRow(Row, table=True):
    """A recipient in a campaign."""

    __tablename__ = "enrollment"
    __table_args__ = (
        UniqueConstraint("id", "recipient_id", name="enrollment_of_recipient"),
        CheckConstraint("(consent_at IS NULL) = (consent_source IS NULL)", name="enrollment_consent"),
        CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="enrollment_period"),
        _unique_where("enrollment_active", "ended_at IS NULL AND opted_out_at IS NULL", "recipient_id", "campaign_id"),
        Index("enrollment_due", "next_due_at"),
        Index("enrollment_of_campaign", "campaign_id", "id"),
    )

    id: uuid.UUID = _key()
    recipient_id: uuid.UUID = _to("recipient.id")
    campaign_id: uuid.UUID = _to("campaign.id", index=False)
    consent_at: datetime | None = _moment(required=False)
    consent_source: ConsentSource | None = _closed(ConsentSource, "enrollment_consent_source", required=False)
    started_at: datetime = _moment()
    ended_at: datetime | None = _moment(required=False)
    paused: bool = False
    opted_out_at: datetime | None = _moment(required=False)
    last_day: date | None = Field(default=None, sa_column=Column(Date))  # local; None: as long as the campaign
    next_due_at: datetime | None = _moment(required=False)  # when planning looks again; None: not before a change
    why: str = Field(default="", sa_column=Column(String(40), nullable=False))  # planning's reason for not calling now


class AttemptRow(Row, table=True):
    """One dial."""

    __tablename__ = "attempt"
    __table_args__ = (
        ForeignKeyConstraint(
            ["enrollment_id", "recipient_id"], ["enrollment.id", "enrollment.recipient_id"], name="attempt_of_recipient"
        ),
        UniqueConstraint("enrollment_id", "slot_due", "number", name="attempt_once"),
        CheckConstraint("number >= 1", name="attempt_number"),
        CheckConstraint(f"({_in(ENDED)}) = (ended_at IS NOT NULL)", name="attempt_end"),
        _unique_where("attempt_live", _in(LIVE), "recipient_id"),
        Index("attempt_of_slot", "enrollment_id", "planned_at"),
        Index("attempt_planned", "planned_at", "id"),
        Index(
            "attempt_open",
            "planned_at",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: uuid.UUID = _key()
    enrollment_id: uuid.UUID = Field(sa_column=Column(Uuid, nullable=False))
    recipient_id: uuid.UUID = Field(sa_column=Column(Uuid, nullable=False))
    slot_due: datetime | None = _moment(required=False)  # None: a call outside of any schedule
    number: int = 1  # of the slot's attempts, from 1
    state: AttemptState = _closed(AttemptState, "attempt_state")
    direction: Direction = Field(
        default=Direction.OUTBOUND, sa_column=Column(_values(Direction, "attempt_direction"), nullable=False)
    )
    provider_call_sid: str | None = Field(default=None, sa_column=Column(String(64), unique=True))
    sequence: int = -1  # of the newest message about the call
    answered_by: AnsweredBy | None = _closed(AnsweredBy, "attempt_answered_by", required=False)
    failure: CallFailure | None = _closed(CallFailure, "attempt_failure", required=False)
    planned_at: datetime = _moment()
    dialed_at: datetime | None = _moment(required=False)
    answered_at: datetime | None = _moment(required=False)
    line_ended_at: datetime | None = _moment(required=False)  # the telephone call is over; the report may be to come
    ended_at: datetime | None = _moment(required=False)
    resumes: int = 0  # how often the stream was taken up again after it dropped
    outcome: Outcome | None = _closed(Outcome, "attempt_outcome", required=False)
    dialog_id: str = Field(sa_column=Column(String(100), nullable=False))
    dialog_language: Language = _closed(Language, "attempt_language")
    dialog_version: str = Field(sa_column=Column(String(40), nullable=False))
    dialog_hash: str = Field(sa_column=Column(String(64), nullable=False))
    recording_path: str | None = Field(default=None, sa_column=Column(String(400)))
    holder: str = Field(default="", sa_column=Column(String(200), nullable=False))  # the process that holds the call
    seen_at: datetime | None = _moment(required=False)  # the holder's last sign of life


class RecordingKeyRow(Row, table=True):
    """With what the audio of a call is sealed. Without it the file is noise: who deletes the row deletes the audio."""

    __tablename__ = "recording_key"

    attempt_id: uuid.UUID = _to("attempt.id", key=True, index=False)
    key: str = _personal("recording_key.key")  # hexadecimal


class SlotRow(Row, table=True):
    """One due check of an enrollment, and how far its ladder is."""

    __tablename__ = "slot"
    __table_args__ = (
        CheckConstraint("(state = 'open') = (closed_at IS NULL)", name="slot_closed"),
        CheckConstraint("state = 'open' OR next_attempt_at IS NULL", name="slot_next"),
        Index("slot_next_attempt", "next_attempt_at"),
        Index(
            "slot_open",
            "enrollment_id",
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )

    enrollment_id: uuid.UUID = _to("enrollment.id", key=True, index=False)
    due_at: datetime = Field(sa_column=Column(UtcDateTime, primary_key=True))
    until: datetime = _moment()  # no attempt is begun from this moment on
    state: SlotState = _closed(SlotState, "slot_state")
    next_attempt_at: datetime | None = _moment(required=False)  # None: an attempt is under way, or the slot is closed
    reason: str = Field(default="", sa_column=Column(String(40), nullable=False))  # of the last step, such as busy
    opened_at: datetime = _moment()
    closed_at: datetime | None = _moment(required=False)


class TaskRow(Row, table=True):
    """Something that a human is asked to do."""

    __tablename__ = "task"
    __table_args__ = (
        _unique_where("task_open", "closed_at IS NULL", "enrollment_id", "slot_due", "kind"),
        Index("task_due", "due_at"),
        Index(
            "task_waiting",
            "due_at",
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )

    id: uuid.UUID = _key()
    recipient_id: uuid.UUID = _to("recipient.id")
    enrollment_id: uuid.UUID | None = _to("enrollment.id", required=False)
    slot_due: datetime | None = _moment(required=False)
    attempt_id: uuid.UUID | None = _to("attempt.id", required=False, index=False)  # the one that led to it
    kind: TaskKind = _closed(TaskKind, "task_kind")
    assigned_to: uuid.UUID | None = _plain_to_user()
    step: int = 0  # of the ladder's human steps, from 0; -1 for a task that no ladder opened
    reason: str = Field(sa_column=Column(String(40), nullable=False))  # such as no_answer
    due_at: datetime = _moment()
    opened_at: datetime = _moment()
    closed_at: datetime | None = _moment(required=False)


class LineRow(Row, table=True):
    """One row: the moment from which the telephone line may be used for the next call."""

    __tablename__ = "line"
    __table_args__ = (CheckConstraint("id = 1", name="line_one_row"),)

    id: int = Field(default=1, primary_key=True)
    free_at: datetime = _moment()


class WorkerRow(Row, table=True):
    """A worker, and its last sign of life."""

    __tablename__ = "worker"

    name: str = Field(sa_column=Column(String(100), primary_key=True))
    seen_at: datetime = _moment()


class WebhookReceiptRow(Row, table=True):
    """A webhook that was acted upon, as its SHA-256: it is not acted upon again."""

    __tablename__ = "webhook_receipt"

    digest: str = Field(sa_column=Column(String(64), primary_key=True))
    received_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))


class TurnRow(Row, table=True):
    """One utterance."""

    __tablename__ = "turn"
    __table_args__ = (CheckConstraint("turn_index >= 0", name="turn_index_from_0"),)

    attempt_id: uuid.UUID = _to("attempt.id", key=True, index=False)
    turn_index: int = Field(primary_key=True)
    speaker: Speaker = _closed(Speaker, "turn_speaker")
    text: str = _personal("turn.text")
    started_s: float
    ended_s: float
    asked: str | None = Field(default=None, sa_column=Column(String(100)))
    interrupted: bool = False
    understanding: str | None = _personal("turn.understanding", required=False)  # JSON; it quotes the turn


class ReportRow(Row, table=True):
    """The report of a call."""

    __tablename__ = "report"
    __table_args__ = (Index("report_written", "written_at", "attempt_id"),)

    attempt_id: uuid.UUID = _to("attempt.id", key=True, index=False)
    dialog_id: str = Field(sa_column=Column(String(100), nullable=False))
    dialog_language: str = Field(sa_column=Column(String(8), nullable=False))
    dialog_version: str = Field(sa_column=Column(String(40), nullable=False))
    dialog_hash: str = Field(sa_column=Column(String(64), nullable=False))
    outcome: Outcome = _closed(Outcome, "report_outcome")
    urgency: Urgency = _closed(Urgency, "report_urgency")
    notes: str = _personal("report.notes")  # a JSON list
    summary: str | None = _personal("report.summary", required=False)
    written_at: datetime = _moment()


class FindingRow(Row, table=True):
    """One value of a report."""

    __tablename__ = "finding"
    __table_args__ = (
        UniqueConstraint("attempt_id", "code", name="finding_once"),
        CheckConstraint("(kind = 'words') = (words IS NOT NULL)", name="finding_words"),
        CheckConstraint("(kind = 'words') = (value IS NULL)", name="finding_value"),
    )

    id: uuid.UUID = _key()
    attempt_id: uuid.UUID = _to("attempt.id", index=False)
    code: str = Field(sa_column=Column(String(100), nullable=False))
    position: int  # in the report, from 0
    kind: ValueKind = _closed(ValueKind, "finding_kind")
    value: str | None = Field(default=None, sa_column=Column(String(40)))
    words: str | None = _personal("finding.words", required=False)  # a value that may be the person's own words
    unit: Unit | None = _closed(Unit, "finding_unit", required=False)
    layer: Layer = _closed(Layer, "finding_layer")


class UserRow(Row, table=True):
    """Someone who may sign in."""

    __tablename__ = "user"

    id: uuid.UUID = _key()
    organisation_id: uuid.UUID = _organisation()
    email: str = _personal("user.email")
    email_index: str = Field(sa_column=Column(String(64), nullable=False, unique=True))  # of the address in lower case
    name: str = _personal("user.name")
    role: Role = _closed(Role, "user_role")
    language: Language = _closed(Language, "user_language")
    time_zone: str = Field(sa_column=Column(String(64), nullable=False))  # IANA name; times are shown in it
    password_hash: str = Field(sa_column=Column(String(200), nullable=False))  # argon2id
    totp_secret: str | None = _personal("user.totp_secret", required=False)  # None: no second factor yet
    totp_step: int = 0  # of the last code that was used, so that none is good twice
    failures: int = 0  # wrong sign-ins in a row
    locked_until: datetime | None = _moment(required=False)
    escalation: int | None = None  # place in the order in which alerts go on to people, from 0; None: not at all
    active: bool = True
    created_at: datetime = _moment()


class WebSessionRow(Row, table=True):
    """Somebody signed in at a browser, kept as the SHA-256 of the cookie."""

    __tablename__ = "web_session"

    digest: str = Field(sa_column=Column(String(64), primary_key=True))
    user_id: uuid.UUID = _to("user.id")
    verified: bool = False  # the second factor was given, where there is one
    created_at: datetime = _moment()
    seen_at: datetime = _moment()
    expires_at: datetime = _moment()


class ApiTokenRow(Row, table=True):
    """A ticket for the read-only interface, kept as its SHA-256."""

    __tablename__ = "api_token"

    id: uuid.UUID = _key()
    digest: str = Field(sa_column=Column(String(64), nullable=False, unique=True))
    organisation_id: uuid.UUID = _organisation()
    name: str = Field(sa_column=Column(String(100), nullable=False))
    created_at: datetime = _moment()
    used_at: datetime | None = _moment(required=False)
    revoked_at: datetime | None = _moment(required=False)


class HistoryRow(Row, table=True):
    """One thing that happened to a recipient's record, for people to read. The audit trail is another thing."""

    __tablename__ = "history"
    __table_args__ = (Index("history_of_recipient", "recipient_id", "at"),)

    id: uuid.UUID = _key()
    recipient_id: uuid.UUID = _to("recipient.id", index=False)
    at: datetime = _moment()
    actor: str = Field(sa_column=Column(String(254), nullable=False))  # a user's id, or the part of the program
    kind: HistoryKind = _closed(HistoryKind, "history_kind")
    subject: str = Field(default="", sa_column=Column(String(100), nullable=False))  # such as alert:ID or attempt:ID
    words: str = _personal("history.words")  # what was written: a note, a reason
    details: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # nothing personal


class CorrectionRow(Row, table=True):
    """A finding as a human corrected it, beside the original; the newest of a code counts."""

    __tablename__ = "correction"
    __table_args__ = (
        CheckConstraint("(kind = 'words') = (words IS NOT NULL)", name="correction_words"),
        CheckConstraint("(kind = 'words') = (value IS NULL)", name="correction_value"),
        Index("correction_of_call", "attempt_id", "code", "at"),
    )

    id: uuid.UUID = _key()
    attempt_id: uuid.UUID = _to("attempt.id", index=False)
    code: str = Field(sa_column=Column(String(100), nullable=False))
    kind: ValueKind = _closed(ValueKind, "correction_kind")
    value: str | None = Field(default=None, sa_column=Column(String(40)))
    words: str | None = _personal("correction.words", required=False)
    reason: str = _personal("correction.reason")
    user_id: uuid.UUID = _to("user.id", index=False)
    at: datetime = _moment()


class DayRow(Row, table=True):
    """What a recipient's local day was like; kept with the report so that lists and strips need no sum."""

    __tablename__ = "day"
    __table_args__ = (Index("day_of_organisation", "organisation_id", "day", "state", "at"),)

    recipient_id: uuid.UUID = _to("recipient.id", key=True, index=False)
    day: date = Field(sa_column=Column(Date, primary_key=True))
    organisation_id: uuid.UUID = Field(sa_column=Column(Uuid, nullable=False))
    state: DayState = _closed(DayState, "day_state")
    attempt_id: uuid.UUID | None = _to("attempt.id", required=False, index=False)  # the call that counts
    at: datetime | None = _moment(required=False)  # when it was so: of that call, or of the last try


class AlertRow(Row, table=True):
    """An urgency that a human must acknowledge."""

    __tablename__ = "alert"
    __table_args__ = (
        UniqueConstraint("attempt_id", "code", name="alert_once"),
        CheckConstraint("(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", name="alert_acknowledged"),
        Index(
            "alert_unsettled",
            "raised_at",
            sqlite_where=text("settled_at IS NULL"),
            postgresql_where=text("settled_at IS NULL"),
        ),
        Index(
            "alert_escalating",
            "escalate_at",
            sqlite_where=text("escalate_at IS NOT NULL"),
            postgresql_where=text("escalate_at IS NOT NULL"),
        ),
    )

    id: uuid.UUID = _key()
    attempt_id: uuid.UUID = _to("attempt.id", index=False)
    code: str = Field(sa_column=Column(String(100), nullable=False))
    position: int | None = None  # in the report, from 0; None while it stands in none
    urgency: Urgency = _closed(Urgency, "alert_urgency")
    reason: str
    raised_at: datetime = _moment()
    acknowledged_at: datetime | None = _moment(required=False)
    acknowledged_by: uuid.UUID | None = _to("user.id", required=False, index=False)
    assigned_to: uuid.UUID | None = _plain_to_user()
    escalations: int = 0  # how many places of the order of people it has passed
    escalate_at: datetime | None = _moment(required=False)  # when it goes on, unless acknowledged; None: it does not
    settled_at: datetime | None = _moment(required=False)
    settled_by: uuid.UUID | None = _plain_to_user()
    resolution: Resolution | None = _closed(Resolution, "alert_resolution", required=False)


class AlertDeliveryRow(Row, table=True):
    """An alert on its way to a channel; written with the alert, tried until it is delivered."""

    __tablename__ = "alert_delivery"
    __table_args__ = (
        _unique_where("alert_delivery_once", "user_id IS NULL", "alert_id", "channel"),
        _unique_where("alert_delivery_to_person", "user_id IS NOT NULL", "alert_id", "user_id"),
        Index("alert_delivery_next", "next_try_at"),
    )

    id: uuid.UUID = _key()  # the idempotency key
    alert_id: uuid.UUID = _to("alert.id", index=False)
    channel: Channel = _closed(Channel, "alert_delivery_channel")
    user_id: uuid.UUID | None = _plain_to_user()  # whom an alert went on to; None: the addresses of the installation
    tries: int = 0
    next_try_at: datetime | None = _moment(required=False)  # None: delivered
    delivered_at: datetime | None = _moment(required=False)
    error: str = Field(default="", sa_column=Column(String(200), nullable=False))  # of the last try


class NewsRow(Row, table=True):
    """Something on an open screen has changed: ids only, added by triggers, whoever writes; kept for an hour."""

    __tablename__ = "news"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    )
    organisation_id: uuid.UUID = Field(sa_column=Column(Uuid, nullable=False))
    kind: str = Field(sa_column=Column(String(16), nullable=False))  # alert, attempt, task, turn
    subject: uuid.UUID = Field(sa_column=Column(Uuid, nullable=False))  # of a turn: its attempt
    at: datetime = _moment()


class EvidenceRow(Row, table=True):
    """The words that a finding or an alert rests on.

    The turn is no foreign key: an alert must never be refused because its turn is not there.
    """

    __tablename__ = "evidence"
    __table_args__ = (CheckConstraint("(finding_id IS NULL) <> (alert_id IS NULL)", name="evidence_of_one"),)

    id: uuid.UUID = _key()
    finding_id: uuid.UUID | None = _to("finding.id", required=False)
    alert_id: uuid.UUID | None = _to("alert.id", required=False)
    position: int  # among the evidence of its finding or alert, from 0
    turn_index: int
    quote: str = _personal("evidence.quote")
    start_s: float | None = None


class MemoryRow(Row, table=True):
    """One remembered sentence. It stands until it is replaced or ended."""

    __tablename__ = "memory"
    __table_args__ = (CheckConstraint("replaced_by IS NULL OR ended_at IS NOT NULL", name="memory_replaced_is_ended"),)

    id: uuid.UUID = _key()
    recipient_id: uuid.UUID = _to("recipient.id")
    text: str = _personal("memory.text")
    topic: str = Field(default="", sa_column=Column(String(40), nullable=False))
    source_attempt_id: uuid.UUID | None = _to("attempt.id", required=False, index=False)
    source_turn: int | None = None  # index of the turn it was said in; None: written by a care worker
    followed_up_on: date | None = Field(default=None, sa_column=Column(Date))  # when a call asked about it
    created_at: datetime = _moment()
    replaced_by: uuid.UUID | None = _to("memory.id", required=False, index=False)
    ended_at: datetime | None = _moment(required=False)


class AuditRow(Row, table=True):
    """Who did what to which record. Rows are never changed, nor deleted within two years: a trigger refuses."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_of_actor", "actor", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = _moment()
    actor: str = Field(sa_column=Column(String(254), nullable=False))  # a user's id, or the part of the program
    action: str = Field(sa_column=Column(String(60), nullable=False))
    subject: str = Field(sa_column=Column(String(100), nullable=False, index=True))  # such as attempt:ID
    details: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    hash: str = Field(default="", sa_column=Column(String(64), nullable=False))  # over this row and the one before


class AuditHeadRow(Row, table=True):
    """One row: the ends of the audit trail's chain, sealed, so that rows cannot be taken away from its end unseen."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="audit_head_one_row"),)

    id: int = Field(default=1, primary_key=True)
    ends: str = _personal("audit_head.ends")  # JSON


class StreamTokenRow(Row, table=True):
    """A ticket for one media stream, kept as its SHA-256."""

    __tablename__ = "stream_token"

    digest: str = Field(sa_column=Column(String(64), primary_key=True))
    attempt_id: uuid.UUID = _to("attempt.id")
    expires_at: datetime = _moment()
    used_at: datetime | None = _moment(required=False)
    needs_signature: bool


class KeyCheckRow(Row, table=True):
    """One row, sealed with the key in use: a wrong key is noticed before anything is written with it."""

    __tablename__ = "key_check"
    __table_args__ = (CheckConstraint("id = 1", name="key_check_one_row"),)

    id: int = Field(default=1, primary_key=True)
    sample: str = _personal("key_check.sample")
