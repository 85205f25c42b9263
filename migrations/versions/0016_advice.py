"""Jobs that belong to no classifier."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _alter(nullable=True)


def downgrade() -> None:
    """Undo. Such jobs are deleted with what refers to them."""
    jobs = "SELECT id FROM jobs WHERE classifier_id IS NULL"
    op.execute(f"UPDATE webhook_deliveries SET job_id = NULL WHERE job_id IN ({jobs})")
    for table in ("webhooks", "checkpoints", "job_events", "job_uploads"):
        op.execute(f"DELETE FROM {table} WHERE job_id IN ({jobs})")
    op.execute("DELETE FROM jobs WHERE classifier_id IS NULL")
    _alter(nullable=False)


def _alter(*, nullable: bool) -> None:
    with op.batch_alter_table("jobs") as batch:
        batch.alter_column("classifier_id", existing_type=sa.String(64), nullable=nullable)
