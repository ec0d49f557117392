"""Reports by the moment they were written, calls by the moment they were planned for, people by id: read in pages."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("report_written", "report", ["written_at", "attempt_id"])
    op.create_index("attempt_planned", "attempt", ["planned_at", "id"])
    op.create_index("recipient_listed", "recipient", ["organisation_id", "id"])
