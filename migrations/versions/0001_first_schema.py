"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
time = sa.DateTime(timezone=True)
holding = sa.text("state IN ('running', 'cancelling')")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", integer, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_blobs"),
    )
    op.create_table(
        "classifiers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("last_version", integer, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_classifiers"),
        sa.UniqueConstraint("workspace", "name", name="uq_classifiers_workspace_name"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", integer, nullable=True),
        sa.Column("headers", sa.JSON(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])

    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("duplicates", integer, nullable=False),
        sa.Column("rejected", sa.JSON(), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_workspace", "uploads", ["workspace"])

    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", integer, nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("seen_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_table(
        "images",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("width", integer, nullable=False),
        sa.Column("height", integer, nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name="fk_images_sha256"),
        sa.PrimaryKeyConstraint("sha256", name="pk_images"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("classifier_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.String(length=32), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("base_version_id", sa.String(length=64), nullable=True),
        sa.Column("attempt", integer, nullable=False),
        sa.Column("failures", integer, nullable=False),
        sa.Column("worker_id", sa.String(length=64), nullable=True),
        sa.Column("lease_expires_at", time, nullable=True),
        sa.Column("sent_at", time, nullable=True),
        sa.Column("created_at", time, nullable=False),
        sa.Column("started_at", time, nullable=True),
        sa.Column("heartbeat_at", time, nullable=True),
        sa.Column("finished_at", time, nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.ForeignKeyConstraint(
            ["base_version_id"],
            ["versions.id"],
            name="fk_jobs_base_version_id",
            ondelete="SET NULL",
            use_alter=True,
        ),
        sa.ForeignKeyConstraint(
            ["classifier_id"], ["classifiers.id"], name="fk_jobs_classifier_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state_lease", "jobs", ["state", "lease_expires_at"])
    op.create_index("ix_jobs_workspace", "jobs", ["workspace"])
    op.create_index(
        "uq_jobs_holding_classifier",
        "jobs",
        ["classifier_id"],
        unique=True,
        sqlite_where=holding,
        postgresql_where=holding,
    )

    op.create_table(
        "rankings",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("classifier_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["classifier_id"],
            ["classifiers.id"],
            name="fk_rankings_classifier_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_rankings"),
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("seq", integer, autoincrement=False, nullable=False),
        sa.Column("at", time, nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_events_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_job_events"),
    )
    op.create_table(
        "job_uploads",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("position", integer, autoincrement=False, nullable=False),
        sa.Column("upload_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_uploads_job_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name="fk_job_uploads_upload_id"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_job_uploads"),
    )
    op.create_index("ix_job_uploads_upload_id", "job_uploads", ["upload_id"])

    op.create_table(
        "ranking_images",
        sa.Column("ranking_id", sa.String(length=64), nullable=False),
        sa.Column("rank", integer, autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["ranking_id"], ["rankings.id"], name="fk_ranking_images_ranking_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["sha256"], ["images.sha256"], name="fk_ranking_images_sha256"),
        sa.PrimaryKeyConstraint("ranking_id", "rank", name="pk_ranking_images"),
    )
    op.create_index("ix_ranking_images_sha256", "ranking_images", ["sha256"])

    op.create_table(
        "upload_images",
        sa.Column("upload_id", sa.String(length=64), nullable=False),
        sa.Column("position", integer, autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.CheckConstraint("split IN ('train', 'test')", name=op.f("ck_upload_images_split")),
        sa.ForeignKeyConstraint(["sha256"], ["images.sha256"], name="fk_upload_images_sha256"),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name="fk_upload_images_upload_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "position", name="pk_upload_images"),
        sa.UniqueConstraint(
            "upload_id", "label", "sha256", name="uq_upload_images_upload_id_label_sha256"
        ),
    )
    op.create_index("ix_upload_images_sha256", "upload_images", ["sha256"])

    op.create_table(
        "versions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("classifier_id", sa.String(length=64), nullable=False),
        sa.Column("number", integer, nullable=False),
        sa.Column("parent_id", sa.String(length=64), nullable=True),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("memory", sa.JSON(), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.ForeignKeyConstraint(
            ["classifier_id"],
            ["classifiers.id"],
            name="fk_versions_classifier_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_versions_job_id", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["versions.id"], name="fk_versions_parent_id"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("classifier_id", "number", name="uq_versions_classifier_id_number"),
        sa.UniqueConstraint("job_id", name="uq_versions_job_id"),
    )
    op.create_table(
        "aliases",
        sa.Column("classifier_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("updated_at", time, nullable=False),
        sa.ForeignKeyConstraint(
            ["classifier_id"],
            ["classifiers.id"],
            name="fk_aliases_classifier_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_aliases_version_id"),
        sa.PrimaryKeyConstraint("classifier_id", "name", name="pk_aliases"),
    )
    op.create_index("ix_aliases_version_id", "aliases", ["version_id"])

    op.create_table(
        "held_out",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("index", integer, autoincrement=False, nullable=False),
        sa.Column("position", integer, autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["images.sha256"], name="fk_held_out_sha256"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_held_out_version_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("version_id", "index", "position", name="pk_held_out"),
    )
    op.create_index("ix_held_out_sha256", "held_out", ["sha256"])

    op.create_table(
        "version_classes",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("index", integer, autoincrement=False, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("task", integer, nullable=False),
        sa.Column("train_images", integer, nullable=False),
        sa.Column("ranking_id", sa.String(length=64), nullable=True),
        sa.Column("kept", integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["ranking_id"], ["rankings.id"], name="fk_version_classes_ranking_id"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["versions.id"],
            name="fk_version_classes_version_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "index", name="pk_version_classes"),
        sa.UniqueConstraint("version_id", "label", name="uq_version_classes_version_id_label"),
    )
    op.create_index("ix_version_classes_ranking_id", "version_classes", ["ranking_id"])

    op.create_table(
        "version_parts",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name="fk_version_parts_sha256"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_version_parts_version_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("version_id", "name", name="pk_version_parts"),
    )
    op.create_index("ix_version_parts_sha256", "version_parts", ["sha256"])

    if op.get_bind().dialect.name != "sqlite":
        # Jobs and versions refer to each other, so this key is added when both tables exist.
        # SQLite has it in the table already: it accepts keys to tables that do not exist yet.
        op.create_foreign_key(
            "fk_jobs_base_version_id",
            "jobs",
            "versions",
            ["base_version_id"],
            ["id"],
            ondelete="SET NULL",
        )


def downgrade() -> None:
    """Undo."""
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint("fk_jobs_base_version_id", "jobs", type_="foreignkey")
    op.drop_table("version_parts")
    op.drop_table("version_classes")
    op.drop_table("held_out")
    op.drop_table("aliases")
    op.drop_table("versions")
    op.drop_table("upload_images")
    op.drop_table("ranking_images")
    op.drop_table("job_uploads")
    op.drop_table("job_events")
    op.drop_table("rankings")
    op.drop_table("jobs")
    op.drop_table("images")
    op.drop_table("workers")
    op.drop_table("uploads")
    op.drop_table("idempotency_keys")
    op.drop_table("classifiers")
    op.drop_table("blobs")
