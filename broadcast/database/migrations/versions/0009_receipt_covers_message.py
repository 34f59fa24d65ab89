"""An attempt says whether one receipt of its account speaks for all parts of the message."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE attempts ADD COLUMN receipt_covers_message boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE attempts DROP COLUMN receipt_covers_message")
