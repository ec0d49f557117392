"""The sealed end of the audit trail's chain."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ends", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name="audit_head_one_row"),
        sa.PrimaryKeyConstraint("id"),
    )
