"""The alerts that the sweep looks at each second are found without reading all that ever were."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the index."""
    op.execute("CREATE INDEX alerts_open ON alerts (alert_id) WHERE completed_at IS NULL AND state <> 'refused'")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP INDEX alerts_open")
