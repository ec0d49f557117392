"""Outreach: slots with their ladder, tasks for humans, how a call fared, alerts on their way, workers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ANSWERED_BY = "human machine_start machine_end_beep machine_end_silence machine_end_other fax unknown"
_FAILURE = "bad_number blocked carrier limit account not_placed"


def _closed(constraint: str, values: str) -> sa.Enum:
    return sa.Enum(*values.split(), name=constraint, native_enum=False, create_constraint=True, length=32)


def _moment(name: str, *, required: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not required)


def _add_closed(table: str, column: str, constraint: str, values: str, rest: str = "") -> None:
    """A column with a CHECK of its own, which SQLite takes in no other way."""
    listed = ", ".join(f"'{value}'" for value in values.split())
    op.execute(
        f"ALTER TABLE {table} ADD COLUMN {column} VARCHAR(32) {rest} "
        f"CONSTRAINT {constraint} CHECK ({column} IN ({listed}))"
    )


def upgrade() -> None:
    for column in ("opens", "closes"):
        op.add_column("recipient", sa.Column(column, sa.Time(), nullable=True))
    op.add_column("campaign", sa.Column("ladder", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("campaign", sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("enrollment", sa.Column("last_day", sa.Date(), nullable=True))
    op.add_column("enrollment", _moment("next_due_at"))
    op.add_column("enrollment", sa.Column("why", sa.String(40), nullable=False, server_default=""))
    op.create_index("enrollment_due", "enrollment", ["next_due_at"])
    op.drop_index("ix_enrollment_campaign_id", "enrollment")
    op.create_index("enrollment_of_campaign", "enrollment", ["campaign_id", "id"])
    _add_closed("attempt", "direction", "attempt_direction", "outbound inbound", "DEFAULT 'outbound' NOT NULL")
    op.add_column("attempt", sa.Column("sequence", sa.Integer(), nullable=False, server_default="-1"))
    _add_closed("attempt", "answered_by", "attempt_answered_by", _ANSWERED_BY)
    _add_closed("attempt", "failure", "attempt_failure", _FAILURE)
    op.add_column("attempt", _moment("line_ended_at"))
    op.add_column("attempt", sa.Column("resumes", sa.Integer(), nullable=False, server_default="0"))
    unended = sa.text("ended_at IS NULL")
    op.create_index("attempt_open", "attempt", ["planned_at"], sqlite_where=unended, postgresql_where=unended)
    op.create_table(
        "slot",
        sa.Column("enrollment_id", sa.Uuid(), sa.ForeignKey("enrollment.id"), primary_key=True),
        sa.Column("due_at", sa.DateTime(timezone=True), primary_key=True),
        _moment("until", required=True),
        sa.Column("state", _closed("slot_state", "open reached handed_over dropped"), nullable=False),
        _moment("next_attempt_at"),
        sa.Column("reason", sa.String(40), nullable=False),
        _moment("opened_at", required=True),
        _moment("closed_at"),
        sa.CheckConstraint("(state = 'open') = (closed_at IS NULL)", name="slot_closed"),
        sa.CheckConstraint("state = 'open' OR next_attempt_at IS NULL", name="slot_next"),
    )
    op.create_index("slot_next_attempt", "slot", ["next_attempt_at"])
    op.create_table(
        "task",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("recipient_id", sa.Uuid(), sa.ForeignKey("recipient.id"), nullable=False),
        sa.Column("enrollment_id", sa.Uuid(), sa.ForeignKey("enrollment.id"), nullable=True),
        _moment("slot_due"),
        sa.Column("attempt_id", sa.Uuid(), sa.ForeignKey("attempt.id"), nullable=True),
        sa.Column("kind", _closed("task_kind", "call visit check_number review"), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        _moment("due_at", required=True),
        _moment("opened_at", required=True),
        _moment("closed_at"),
    )
    for column in ("recipient_id", "enrollment_id"):
        op.create_index(f"ix_task_{column}", "task", [column])
    op.create_index("task_due", "task", ["due_at"])
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "task_open",
        "task",
        ["enrollment_id", "slot_due", "kind"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_table(
        "line",
        sa.Column("id", sa.Integer(), primary_key=True),
        _moment("free_at", required=True),
        sa.CheckConstraint("id = 1", name="line_one_row"),
    )
    op.create_table("worker", sa.Column("name", sa.String(100), primary_key=True), _moment("seen_at", required=True))
    op.create_table(
        "webhook_receipt", sa.Column("digest", sa.String(64), primary_key=True), _moment("received_at", required=True)
    )
    op.create_index("ix_webhook_receipt_received_at", "webhook_receipt", ["received_at"])
    op.create_table(
        "alert_delivery",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("alert_id", sa.Uuid(), sa.ForeignKey("alert.id"), nullable=False),
        sa.Column("channel", _closed("alert_delivery_channel", "webhook email"), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        _moment("next_try_at"),
        _moment("delivered_at"),
        sa.Column("error", sa.String(200), nullable=False),
        sa.UniqueConstraint("alert_id", "channel", name="alert_delivery_once"),
    )
    op.create_index("alert_delivery_next", "alert_delivery", ["next_try_at"])
