"""A campaign's name is its organisation's own; indexes for open checks and for the audit trail of one person."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COLUMNS = "id, name, dialog, starts_on, ends_on, schedule, ladder, paused, organisation_id"


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("campaign_name_key", "campaign")
        op.create_unique_constraint("campaign_named", "campaign", ["organisation_id", "name"])
    else:
        _campaigns_anew()
    # The campaigns of calls outside of any schedule carried their organisation in their names.
    op.execute(
        "UPDATE campaign SET name = substr(name, 1, length(name) - 33) WHERE name LIKE 'Ad hoc: %' "
        "AND name LIKE '% ' || replace(CAST(organisation_id AS VARCHAR(36)), '-', '')"
    )
    still_open = sa.text("state = 'open'")
    op.create_index("slot_open", "slot", ["enrollment_id"], sqlite_where=still_open, postgresql_where=still_open)
    op.create_index("audit_of_actor", "audit", ["actor", "id"])


def _campaigns_anew() -> None:
    """SQLite cannot drop a constraint. What refers to a campaign is checked when the transaction ends."""
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute(f"CREATE TEMPORARY TABLE kept_campaign AS SELECT {_COLUMNS} FROM campaign")
    op.drop_table("campaign")
    op.create_table(
        "campaign",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("dialog", sa.String(100), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("schedule", sa.JSON(), nullable=False),
        sa.Column("ladder", sa.JSON(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.CheckConstraint("ends_on IS NULL OR ends_on >= starts_on", name="campaign_period"),
        sa.UniqueConstraint("organisation_id", "name", name="campaign_named"),
    )
    op.execute(f"INSERT INTO campaign ({_COLUMNS}) SELECT {_COLUMNS} FROM kept_campaign")
    op.execute("DROP TABLE kept_campaign")
    op.create_index("ix_campaign_organisation_id", "campaign", ["organisation_id"])
