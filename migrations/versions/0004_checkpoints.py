"""Checkpoints, from which the next attempt of a job continues."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "checkpoints",
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("attempt", integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", integer, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("phase", integer, nullable=False),
        sa.Column("epoch", integer, nullable=False),
        sa.Column("step", integer, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("threads", integer, nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_checkpoints"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_checkpoints_job_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name="fk_checkpoints_sha256"),
    )
    op.create_index("ix_checkpoints_sha256", "checkpoints", ["sha256"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("checkpoints")
