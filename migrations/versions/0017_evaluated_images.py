"""What versions say of images that jobs evaluated."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "evaluated_images",
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("position", integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("label_score", sa.Float(), nullable=True),
        sa.Column("p_known", sa.Float(), nullable=True),
        sa.Column("known", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_evaluated_images"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_evaluated_images_job_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("evaluated_images")
