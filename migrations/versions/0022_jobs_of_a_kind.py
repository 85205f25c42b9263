"""Lists of jobs of a kind take a short look at an index."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_NAME = "ix_jobs_workspace_kind_state_id"


def upgrade() -> None:
    """Apply."""
    op.create_index(_NAME, "jobs", ["workspace", "kind", "state", "id"])


def downgrade() -> None:
    """Undo."""
    op.drop_index(_NAME, table_name="jobs")
