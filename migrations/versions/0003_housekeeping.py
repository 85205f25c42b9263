"""Columns and a table for housekeeping: the database's identity, revisions of classifiers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    for name, default in (("revision", "1"), ("kept_revision", "0")):
        column = sa.Column(name, integer, nullable=False, server_default=default)
        op.add_column("classifiers", column)
    op.create_table(
        "installation",
        sa.Column("number", integer, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("sweep_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_installation_one_row")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_installation")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("installation")
    with op.batch_alter_table("classifiers") as classifiers:
        for name in ("kept_revision", "revision"):
            classifiers.drop_column(name)
