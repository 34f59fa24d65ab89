"""The control record of each alert, kept as it was first written to Kafka."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the column; alerts that were planned before have none."""
    op.execute("ALTER TABLE alerts ADD COLUMN control bytea")
    op.execute("COMMENT ON COLUMN alerts.control IS 'value of its record on control.v1, written when it is planned'")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE alerts DROP COLUMN control")
