"""Pauses between attempts, events that are written once, and sweeps that could not delete."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.add_column("jobs", sa.Column("outages", integer, server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("last_failure", sa.JSON(), nullable=True))
    op.add_column("job_events", sa.Column("identity", sa.String(64), nullable=True))
    op.create_index("uq_job_events_identity", "job_events", ["job_id", "identity"], unique=True)
    op.add_column(
        "installation", sa.Column("sweep_failures", integer, server_default="0", nullable=False)
    )
    op.add_column(
        "installation", sa.Column("sweep_not_before", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("installation", sa.Column("sweep_error", sa.Text(), nullable=True))
    op.add_column(
        "installation", sa.Column("undeleted_blobs", integer, server_default="0", nullable=False)
    )


def downgrade() -> None:
    """Undo."""
    for name in ("undeleted_blobs", "sweep_error", "sweep_not_before", "sweep_failures"):
        op.drop_column("installation", name)
    op.drop_index("uq_job_events_identity", table_name="job_events")
    op.drop_column("job_events", "identity")
    for name in ("last_failure", "not_before", "outages"):
        op.drop_column("jobs", name)
