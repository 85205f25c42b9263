"""What an upload has of some pictures and groups is found without reading all of its images."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_COUNT = """
UPDATE uploads SET contradictions = (
    SELECT count(*) FROM (
        SELECT label, first_value(label) OVER (
            PARTITION BY coalesce(images.pixels_sha256, images.sha256) ORDER BY position
        ) AS first
        FROM upload_images JOIN images ON images.sha256 = upload_images.sha256
        WHERE upload_images.upload_id = uploads.id
    ) AS labelled WHERE label <> first
)
"""


def upgrade() -> None:
    """Apply, and count the contradictions of existing uploads."""
    grouped = sa.text('"group" IS NOT NULL')
    op.create_index("ix_images_pixels_sha256", "images", ["pixels_sha256"])
    op.create_index(
        "ix_upload_images_upload_id_group_position",
        "upload_images",
        ["upload_id", "group", "position"],
        sqlite_where=grouped,
        postgresql_where=grouped,
    )
    column = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column(
        "uploads", sa.Column("contradictions", column, nullable=False, server_default="0")
    )
    op.execute(_COUNT)


def downgrade() -> None:
    """Undo."""
    op.drop_column("uploads", "contradictions")
    op.drop_index("ix_upload_images_upload_id_group_position", "upload_images")
    op.drop_index("ix_images_pixels_sha256", "images")
