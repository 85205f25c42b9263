"""Corrections: which class an image was learnt as, and labels that were taken from images."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# A version that took over what a deleted one was trained on may not know its class any more.
_INDICES = """
UPDATE trained_images SET class_index = (
    SELECT version_classes."index" FROM version_classes
    WHERE version_classes.version_id = trained_images.version_id
    AND version_classes.label = trained_images.label
)
"""


def upgrade() -> None:
    """Apply."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("trained_images", sa.Column("class_index", number, nullable=True))
    op.add_column(
        "trained_images",
        sa.Column("taken_out", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.execute(_INDICES)


def downgrade() -> None:
    """Undo."""
    op.execute("DELETE FROM trained_images WHERE taken_out")
    op.drop_column("trained_images", "taken_out")
    op.drop_column("trained_images", "class_index")
