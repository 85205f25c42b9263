"""An index for `turns.is_next`, so that it stays fast with many queued jobs and classifiers."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_jobs_classifier_state", "jobs", ["classifier_id", "state", "id"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_jobs_classifier_state", table_name="jobs")
