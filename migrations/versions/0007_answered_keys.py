"""Idempotency keys have a row only once they have an answer."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.execute("DELETE FROM idempotency_keys WHERE status IS NULL")
    _set_nullable(False)


def downgrade() -> None:
    """Undo."""
    _set_nullable(True)


def _set_nullable(nullable: bool) -> None:
    with op.batch_alter_table("idempotency_keys") as batch:
        batch.alter_column("status", existing_type=integer, nullable=nullable)
        batch.alter_column("headers", existing_type=sa.JSON(), nullable=nullable)
        batch.alter_column("body", existing_type=sa.Text(), nullable=nullable)
