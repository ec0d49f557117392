"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ACTIVE = "ended_at IS NULL AND opted_out_at IS NULL"
_LIVE = "state IN ('dialing', 'ringing', 'in_progress')"
_ENDED = "state IN ('completed', 'busy', 'no_answer', 'machine', 'failed', 'interrupted')"
_APPEND_ONLY = {
    "sqlite": """
        CREATE TRIGGER audit_is_append_only_{event} BEFORE {event} ON audit {condition}
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
    "postgresql": """
        CREATE TRIGGER audit_is_append_only_{event} BEFORE {event} ON audit FOR EACH ROW {condition}
        EXECUTE FUNCTION audit_refuse()
    """,
}
_WITHIN_TWO_YEARS = {
    "sqlite": "WHEN OLD.at > datetime('now', '-2 years')",
    "postgresql": "WHEN (OLD.at > now() - interval '2 years')",
}


def _closed(constraint: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=constraint, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=100), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)
    op.create_table(
        "campaign",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("dialog", sa.String(length=100), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("schedule", sa.JSON(), nullable=False),
        sa.CheckConstraint("ends_on IS NULL OR ends_on >= starts_on", name="campaign_period"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "key_check",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sample", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name="key_check_one_row"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "recipient",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("phone", sa.LargeBinary(), nullable=False),
        sa.Column("name_index", sa.String(length=64), nullable=False),
        sa.Column("phone_index", sa.String(length=64), nullable=True),
        sa.Column("language", _closed("recipient_language", "en", "ko"), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("patience_s", sa.Float(), nullable=False),
        sa.Column("notes", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("patience_s >= 0", name="recipient_patience"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_recipient_name_index", "recipient", ["name_index"], unique=False)
    op.create_index("ix_recipient_phone_index", "recipient", ["phone_index"], unique=False)
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", _closed("user_role", "care_worker", "operator"), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.CheckConstraint("email = lower(email)", name="user_email_lower"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    op.create_table(
        "enrollment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("consent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consent_source", _closed("enrollment_consent_source", "written", "spoken", "trial"), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("opted_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(consent_at IS NULL) = (consent_source IS NULL)", name="enrollment_consent"),
        sa.CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="enrollment_period"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"]),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipient.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "recipient_id", name="enrollment_of_recipient"),
    )
    op.create_index(
        "enrollment_active",
        "enrollment",
        ["recipient_id", "campaign_id"],
        unique=True,
        sqlite_where=sa.text(_ACTIVE),
        postgresql_where=sa.text(_ACTIVE),
    )
    op.create_index("ix_enrollment_campaign_id", "enrollment", ["campaign_id"], unique=False)
    op.create_index("ix_enrollment_recipient_id", "enrollment", ["recipient_id"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("enrollment_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("slot_due", sa.DateTime(timezone=True), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            _closed(
                "attempt_state",
                "planned",
                "dialing",
                "ringing",
                "in_progress",
                "completed",
                "busy",
                "no_answer",
                "machine",
                "failed",
                "interrupted",
            ),
            nullable=False,
        ),
        sa.Column("provider_call_sid", sa.String(length=64), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dialed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "outcome",
            _closed(
                "attempt_outcome",
                "completed",
                "emergency",
                "hung_up",
                "said_goodbye",
                "silent",
                "call_later",
                "wrong_person",
                "opted_out",
                "interrupted",
            ),
            nullable=True,
        ),
        sa.Column("dialog_id", sa.String(length=100), nullable=False),
        sa.Column("dialog_language", _closed("attempt_language", "en", "ko"), nullable=False),
        sa.Column("dialog_version", sa.String(length=40), nullable=False),
        sa.Column("dialog_hash", sa.String(length=64), nullable=False),
        sa.Column("recording_path", sa.String(length=400), nullable=True),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            f"({_ENDED}) = (ended_at IS NOT NULL)",
            name="attempt_end",
        ),
        sa.CheckConstraint("number >= 1", name="attempt_number"),
        sa.ForeignKeyConstraint(
            ["enrollment_id", "recipient_id"], ["enrollment.id", "enrollment.recipient_id"], name="attempt_of_recipient"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("enrollment_id", "slot_due", "number", name="attempt_once"),
        sa.UniqueConstraint("provider_call_sid"),
    )
    op.create_index(
        "attempt_live",
        "attempt",
        ["recipient_id"],
        unique=True,
        sqlite_where=sa.text(_LIVE),
        postgresql_where=sa.text(_LIVE),
    )
    op.create_index("attempt_of_slot", "attempt", ["enrollment_id", "planned_at"], unique=False)
    op.create_table(
        "alert",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("urgency", _closed("alert_urgency", "emergency", "urgent", "attention", "routine"), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", name="alert_acknowledged"),
        sa.ForeignKeyConstraint(["acknowledged_by"], ["user.id"]),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("attempt_id", "code", name="alert_once"),
    )
    op.create_table(
        "finding",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", _closed("finding_kind", "ternary", "missing", "number", "words"), nullable=False),
        sa.Column("value", sa.String(length=40), nullable=True),
        sa.Column("words", sa.LargeBinary(), nullable=True),
        sa.Column(
            "unit", _closed("finding_unit", "celsius", "fahrenheit", "hours", "meals", "score_0_10"), nullable=True
        ),
        sa.Column("layer", _closed("finding_layer", "rules", "llm", "policy"), nullable=False),
        sa.CheckConstraint("(kind = 'words') = (value IS NULL)", name="finding_value"),
        sa.CheckConstraint("(kind = 'words') = (words IS NOT NULL)", name="finding_words"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("attempt_id", "code", name="finding_once"),
    )
    op.create_table(
        "memory",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("source_attempt_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replaced_by", sa.Uuid(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("replaced_by IS NULL OR ended_at IS NOT NULL", name="memory_replaced_is_ended"),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipient.id"]),
        sa.ForeignKeyConstraint(["replaced_by"], ["memory.id"]),
        sa.ForeignKeyConstraint(["source_attempt_id"], ["attempt.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_memory_recipient_id", "memory", ["recipient_id"], unique=False)
    op.create_table(
        "report",
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("dialog_id", sa.String(length=100), nullable=False),
        sa.Column("dialog_language", sa.String(length=8), nullable=False),
        sa.Column("dialog_version", sa.String(length=40), nullable=False),
        sa.Column("dialog_hash", sa.String(length=64), nullable=False),
        sa.Column(
            "outcome",
            _closed(
                "report_outcome",
                "completed",
                "emergency",
                "hung_up",
                "said_goodbye",
                "silent",
                "call_later",
                "wrong_person",
                "opted_out",
                "interrupted",
            ),
            nullable=False,
        ),
        sa.Column("urgency", _closed("report_urgency", "emergency", "urgent", "attention", "routine"), nullable=False),
        sa.Column("notes", sa.LargeBinary(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"]),
        sa.PrimaryKeyConstraint("attempt_id"),
    )
    op.create_table(
        "stream_token",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("needs_signature", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"]),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_stream_token_attempt_id", "stream_token", ["attempt_id"], unique=False)
    op.create_table(
        "turn",
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("turn_index", sa.Integer(), nullable=False),
        sa.Column("speaker", _closed("turn_speaker", "agent", "recipient"), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("started_s", sa.Float(), nullable=False),
        sa.Column("ended_s", sa.Float(), nullable=False),
        sa.Column("asked", sa.String(length=100), nullable=True),
        sa.Column("interrupted", sa.Boolean(), nullable=False),
        sa.Column("understanding", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("turn_index >= 0", name="turn_index_from_0"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"]),
        sa.PrimaryKeyConstraint("attempt_id", "turn_index"),
    )
    op.create_table(
        "evidence",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("finding_id", sa.Uuid(), nullable=True),
        sa.Column("alert_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("turn_index", sa.Integer(), nullable=False),
        sa.Column("quote", sa.LargeBinary(), nullable=False),
        sa.Column("start_s", sa.Float(), nullable=True),
        sa.CheckConstraint("(finding_id IS NULL) <> (alert_id IS NULL)", name="evidence_of_one"),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"]),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_evidence_alert_id", "evidence", ["alert_id"], unique=False)
    op.create_index("ix_evidence_finding_id", "evidence", ["finding_id"], unique=False)

    dialect = op.get_context().dialect.name
    if dialect == "postgresql":
        op.execute("""
            CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN
                RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'integrity_constraint_violation';
            END $$
        """)
    op.execute(_APPEND_ONLY[dialect].format(event="UPDATE", condition=""))
    op.execute(_APPEND_ONLY[dialect].format(event="DELETE", condition=_WITHIN_TWO_YEARS[dialect]))
