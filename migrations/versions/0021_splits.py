"""Uploads know how many of their images are only measured on."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_COUNT = """
UPDATE uploads SET test_images = (
    SELECT count(*) FROM upload_images
    WHERE upload_images.upload_id = uploads.id AND upload_images.split = 'test'
)
"""


def upgrade() -> None:
    """Apply, and count the images of existing uploads."""
    column = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("uploads", sa.Column("test_images", column, nullable=False, server_default="0"))
    op.execute(_COUNT)


def downgrade() -> None:
    """Undo."""
    op.drop_column("uploads", "test_images")
