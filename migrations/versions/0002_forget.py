"""Columns for forgetting: reports of jobs; the last index and task that versions have used."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.add_column("jobs", sa.Column("report", sa.JSON(), nullable=True))
    for name in ("last_index", "last_task"):
        op.add_column("versions", sa.Column(name, integer, nullable=False, server_default="-1"))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("versions") as versions:
        for name in ("last_task", "last_index"):
            versions.drop_column(name)
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("report")
