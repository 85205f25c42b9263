"""How many files of an upload were rejected, why, and which classes came to nothing."""

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply, and sum up what existing uploads list."""
    for name, kind, default in (
        ("rejected_count", integer, "0"),
        ("rejected_reasons", sa.JSON(), "[]"),
        ("empty_classes", sa.JSON(), "[]"),
    ):
        op.add_column("uploads", sa.Column(name, kind, nullable=False, server_default=default))
    uploads = sa.table(
        "uploads",
        sa.column("id", sa.String()),
        sa.column("rejected", sa.JSON()),
        sa.column("rejected_count", sa.Integer()),
        sa.column("rejected_reasons", sa.JSON()),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(uploads.c.id, uploads.c.rejected)).all():
        summary = {
            "rejected_count": len(row.rejected),
            "rejected_reasons": _reasons(row.rejected),
        }
        connection.execute(sa.update(uploads).where(uploads.c.id == row.id).values(summary))


def downgrade() -> None:
    """Undo."""
    for name in ("empty_classes", "rejected_reasons", "rejected_count"):
        op.drop_column("uploads", name)


def _reasons(rejected: list[dict[str, str]]) -> list[dict[str, Any]]:
    names = defaultdict(list)
    for each in rejected:
        names[each["reason"].partition(" (")[0]].append(each["name"])
    reasons = [
        {"reason": reason, "count": len(of_reason), "examples": of_reason[:3]}
        for reason, of_reason in names.items()
    ]
    return sorted(reasons, key=lambda each: -each["count"])
