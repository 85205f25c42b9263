"""The folder that was taken off the folders of an archive is shown with its upload."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("uploads", sa.Column("wrapping_folder", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("uploads", "wrapping_folder")
