"""How much of an alert's way is simulated, decided when it is planned."""

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = (
    "ALTER TABLE alerts ADD COLUMN simulated text CHECK (simulated IN ('none', 'partly', 'all'))",
    "COMMENT ON COLUMN alerts.simulated IS 'which of the routes that may carry it reach no phone; null: not planned'",
)


def upgrade() -> None:
    """Add the column."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE alerts DROP COLUMN simulated")
