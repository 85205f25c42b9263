"""Changes of classifiers, which API processes follow."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_CHANGED = sa.text("kept_revision != revision")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "classifier_changes",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("classifier_id", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_classifiers_changed",
        "classifiers",
        ["id"],
        sqlite_where=_CHANGED,
        postgresql_where=_CHANGED,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_classifiers_changed", table_name="classifiers")
    op.drop_table("classifier_changes")
