"""The dashboard: organisations, users with sessions, history, corrections, days, and a chained audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_DEFAULT = "00000000000000000000000000000001"
_ROLES = "viewer care_worker supervisor admin"
_RESOLUTIONS = "handled referred false_alarm duplicate"
_DAYS = "fine attention urgent emergency unreached"
_KINDS = (
    "note alert_acknowledged alert_assigned alert_escalated alert_resolved task_opened task_closed manual_call "
    "call_now finding_corrected memory_added memory_edited memory_forgotten enrolled unenrolled consent paused "
    "resumed opted_out details_changed exported"
)


def _closed(constraint: str, values: str) -> sa.Enum:
    return sa.Enum(*values.split(), name=constraint, native_enum=False, create_constraint=True, length=32)


def _moment(name: str, *, required: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not required)


def _id(name: str, target: str = "", *, required: bool = False, key: bool = False) -> sa.Column[object]:
    column = (sa.ForeignKey(target),) if target else ()
    return sa.Column(name, sa.Uuid(), *column, nullable=not (required or key), primary_key=key)


def _organisation() -> sa.Column[object]:
    return sa.Column("organisation_id", sa.Uuid(), nullable=False, server_default=_DEFAULT)


def upgrade() -> None:
    op.create_table(
        "organisation",
        _id("id", key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        _moment("created_at", required=True),
    )
    op.execute(f"INSERT INTO organisation (id, name, created_at) VALUES ('{_DEFAULT}', 'CareCall', CURRENT_TIMESTAMP)")
    for table in ("recipient", "campaign"):
        op.add_column(table, _organisation())
        op.create_index(f"ix_{table}_organisation_id", table, ["organisation_id"])

    # Nobody could be added as a user before this revision: the table is empty.
    postgres = op.get_context().dialect.name == "postgresql"
    if postgres:
        op.execute('DROP TABLE "user" CASCADE')
    else:
        op.drop_table("user")
    op.create_table(
        "user",
        _id("id", key=True),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.LargeBinary(), nullable=False),
        sa.Column("email_index", sa.String(64), nullable=False, unique=True),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("role", _closed("user_role", _ROLES), nullable=False),
        sa.Column("language", _closed("user_language", "en ko"), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        _moment("locked_until"),
        sa.Column("escalation", sa.Integer(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        _moment("created_at", required=True),
    )
    op.create_index("ix_user_organisation_id", "user", ["organisation_id"])
    if postgres:
        op.create_foreign_key("alert_acknowledged_by_fkey", "alert", "user", ["acknowledged_by"], ["id"])
    op.create_table(
        "web_session",
        sa.Column("digest", sa.String(64), primary_key=True),
        _id("user_id", "user.id", required=True),
        sa.Column("verified", sa.Boolean(), nullable=False),
        _moment("created_at", required=True),
        _moment("seen_at", required=True),
        _moment("expires_at", required=True),
    )
    op.create_index("ix_web_session_user_id", "web_session", ["user_id"])
    op.create_table(
        "api_token",
        _id("id", key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        _moment("created_at", required=True),
        _moment("used_at"),
        _moment("revoked_at"),
    )
    op.create_index("ix_api_token_organisation_id", "api_token", ["organisation_id"])
    op.create_table(
        "history",
        _id("id", key=True),
        _id("recipient_id", "recipient.id", required=True),
        _moment("at", required=True),
        sa.Column("actor", sa.String(254), nullable=False),
        sa.Column("kind", _closed("history_kind", _KINDS), nullable=False),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
    )
    op.create_index("history_of_recipient", "history", ["recipient_id", "at"])
    op.create_table(
        "correction",
        _id("id", key=True),
        _id("attempt_id", "attempt.id", required=True),
        sa.Column("code", sa.String(100), nullable=False),
        sa.Column("kind", _closed("correction_kind", "ternary missing number words"), nullable=False),
        sa.Column("value", sa.String(40), nullable=True),
        sa.Column("words", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.LargeBinary(), nullable=False),
        _id("user_id", "user.id", required=True),
        _moment("at", required=True),
        sa.CheckConstraint("(kind = 'words') = (words IS NOT NULL)", name="correction_words"),
        sa.CheckConstraint("(kind = 'words') = (value IS NULL)", name="correction_value"),
    )
    op.create_index("correction_of_call", "correction", ["attempt_id", "code", "at"])
    op.create_table(
        "day",
        _id("recipient_id", "recipient.id", key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("state", _closed("day_state", _DAYS), nullable=False),
        _id("attempt_id", "attempt.id"),
    )
    op.create_index("day_of_organisation", "day", ["organisation_id", "day", "state"])

    op.add_column("alert", _id("assigned_to"))
    op.add_column("alert", sa.Column("escalations", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("alert", _moment("escalate_at"))
    op.add_column("alert", _moment("settled_at"))
    op.add_column("alert", _id("settled_by"))
    listed = ", ".join(f"'{value}'" for value in _RESOLUTIONS.split())
    op.execute(
        "ALTER TABLE alert ADD COLUMN resolution VARCHAR(32) "
        f"CONSTRAINT alert_resolution CHECK (resolution IN ({listed}))"
    )
    unsettled = sa.text("settled_at IS NULL")
    op.create_index("alert_unsettled", "alert", ["raised_at"], sqlite_where=unsettled, postgresql_where=unsettled)
    op.add_column("task", _id("assigned_to"))
    op.add_column("audit", sa.Column("hash", sa.String(64), nullable=False, server_default=""))
