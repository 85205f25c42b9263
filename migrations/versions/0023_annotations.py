"""Users describe versions, and keep texts of their own with them."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    column = sa.Column("annotations", sa.JSON(), nullable=False, server_default="{}")
    op.add_column("versions", column)


def downgrade() -> None:
    """Undo."""
    op.drop_column("versions", "annotations")
