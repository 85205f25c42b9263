"""Jobs that belong to no classifier."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _alter(nullable=True)


def downgrade() -> None:
    """Undo. Such jobs are deleted with what refers to them."""
    jobs = sa.table("jobs", sa.column("id"), sa.column("classifier_id"))
    without = sa.select(jobs.c.id).where(jobs.c.classifier_id.is_(None))
    deliveries = sa.table("webhook_deliveries", sa.column("job_id"))
    op.execute(
        sa.update(deliveries).where(deliveries.c.job_id.in_(without)).values(job_id=sa.null())
    )
    for name in ("webhooks", "checkpoints", "job_events", "job_uploads"):
        table = sa.table(name, sa.column("job_id"))
        op.execute(sa.delete(table).where(table.c.job_id.in_(without)))
    op.execute(sa.delete(jobs).where(jobs.c.classifier_id.is_(None)))
    _alter(nullable=False)


def _alter(*, nullable: bool) -> None:
    with op.batch_alter_table("jobs") as batch:
        batch.alter_column("classifier_id", existing_type=sa.String(64), nullable=nullable)
