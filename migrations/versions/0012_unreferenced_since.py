"""Since when nothing refers to a blob: the sweep's grace counts from then."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    column = sa.Column("unreferenced_since", sa.DateTime(timezone=True), nullable=True)
    op.add_column("blobs", column)


def downgrade() -> None:
    """Undo."""
    op.drop_column("blobs", "unreferenced_since")
