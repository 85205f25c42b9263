"""Keys can be made with keys, and say with which."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("api_keys", sa.Column("created_by", sa.String(64), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("api_keys", "created_by")
