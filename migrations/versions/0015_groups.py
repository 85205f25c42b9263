"""Images know the group that they were taken in, so that no group is on both sides of a split."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLES = ("upload_images", "trained_images", "held_out")


def upgrade() -> None:
    """Apply."""
    for table in _TABLES:
        op.add_column(table, sa.Column("group", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    for table in reversed(_TABLES):
        op.drop_column(table, "group")
