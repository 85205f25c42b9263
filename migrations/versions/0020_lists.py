"""Lists of a full database: indexes for their order, and uploads know what images they have."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_INDEXES = (
    ("ix_uploads_workspace_id", "uploads", ["workspace", "id"]),
    ("ix_jobs_workspace_id", "jobs", ["workspace", "id"]),
    ("ix_jobs_workspace_state_id", "jobs", ["workspace", "state", "id"]),
    ("ix_jobs_classifier_id_id", "jobs", ["classifier_id", "id"]),
    ("ix_jobs_classifier_heartbeat", "jobs", ["classifier_id", "heartbeat_at"]),
    # Deleting a version looks for what refers to it.
    ("ix_jobs_base_version_id", "jobs", ["base_version_id"]),
    ("ix_versions_parent_id", "versions", ["parent_id"]),
)
# The first columns of new ones.
_REPLACED = (
    ("ix_uploads_workspace", "uploads", ["workspace"]),
    ("ix_jobs_workspace", "jobs", ["workspace"]),
)
_CLASSES = """
SELECT upload_id, label, count(*) AS images FROM upload_images
GROUP BY upload_id, label ORDER BY upload_id, min(position)
"""
_GROUPS = """
UPDATE uploads SET groups = (
    SELECT count(DISTINCT upload_images."group") FROM upload_images
    WHERE upload_images.upload_id = uploads.id
)
"""


def upgrade() -> None:
    """Apply, and count the images of existing uploads."""
    op.add_column("uploads", sa.Column("classes", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("uploads", sa.Column("groups", integer, nullable=False, server_default="0"))
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns)
    queued = sa.text("state = 'queued'")
    op.create_index(
        "ix_jobs_queued",
        "jobs",
        ["classifier_id", "id"],
        sqlite_where=queued,
        postgresql_where=queued,
    )
    for name, table, _ in _REPLACED:
        op.drop_index(name, table_name=table)
    connection = op.get_bind()
    classes: dict[str, dict[str, int]] = {}
    for upload_id, label, images in connection.execute(sa.text(_CLASSES)):
        classes.setdefault(upload_id, {})[label] = images
    uploads = sa.table("uploads", sa.column("id", sa.String()), sa.column("classes", sa.JSON()))
    statement = sa.update(uploads).where(uploads.c.id == sa.bindparam("upload"))
    if classes:
        connection.execute(
            statement.values(classes=sa.bindparam("counted")),
            [{"upload": upload_id, "counted": counted} for upload_id, counted in classes.items()],
        )
    op.execute(_GROUPS)


def downgrade() -> None:
    """Undo."""
    for name, table, columns in _REPLACED:
        op.create_index(name, table, columns)
    op.drop_index("ix_jobs_queued", table_name="jobs")
    for name, table, _ in _INDEXES:
        op.drop_index(name, table_name=table)
    op.drop_column("uploads", "groups")
    op.drop_column("uploads", "classes")
