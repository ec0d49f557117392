"""Where a memory was said and when it was asked about; a report's summary."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("memory", sa.Column("source_turn", sa.Integer(), nullable=True))
    op.add_column("memory", sa.Column("followed_up_on", sa.Date(), nullable=True))
    op.add_column("report", sa.Column("summary", sa.LargeBinary(), nullable=True))
