"""Images are recognised by their pixels, and what was trained on is remembered."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Images of the uploads that a version was learnt from, without those that were held out.
_SENT = """
INSERT INTO trained_images (version_id, label, sha256)
SELECT DISTINCT versions.id, upload_images.label, upload_images.sha256
FROM versions
JOIN job_uploads ON job_uploads.job_id = versions.job_id
JOIN upload_images ON upload_images.upload_id = job_uploads.upload_id
WHERE upload_images.split = 'train' AND NOT EXISTS (
    SELECT 1 FROM held_out JOIN versions AS holder ON holder.id = held_out.version_id
    WHERE holder.classifier_id = versions.classifier_id
    AND held_out.sha256 = upload_images.sha256
)
"""
# Exemplars, whose uploads may have expired; each with the versions that it was ranked for.
_RANKED = """
INSERT INTO trained_images (version_id, label, sha256)
SELECT DISTINCT version_classes.version_id, version_classes.label, ranking_images.sha256
FROM version_classes
JOIN ranking_images ON ranking_images.ranking_id = version_classes.ranking_id
WHERE NOT EXISTS (
    SELECT 1 FROM trained_images
    WHERE trained_images.version_id = version_classes.version_id
    AND trained_images.label = version_classes.label
    AND trained_images.sha256 = ranking_images.sha256
)
"""


def upgrade() -> None:
    """Apply."""
    op.add_column("images", sa.Column("pixels_sha256", sa.String(64), nullable=True))
    op.add_column("images", sa.Column("perceptual_hash", sa.String(70), nullable=True))
    op.add_column("uploads", sa.Column("warnings", sa.JSON(), nullable=False, server_default="[]"))
    op.create_table(
        "trained_images",
        sa.Column("version_id", sa.String(64), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("pixels_sha256", sa.String(64), nullable=True),
        sa.Column("perceptual_hash", sa.String(70), nullable=True),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["versions.id"],
            name="fk_trained_images_version_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "label", "sha256", name="pk_trained_images"),
    )
    op.execute(_SENT)
    op.execute(_RANKED)


def downgrade() -> None:
    """Undo."""
    op.drop_table("trained_images")
    op.drop_column("uploads", "warnings")
    op.drop_column("images", "perceptual_hash")
    op.drop_column("images", "pixels_sha256")
