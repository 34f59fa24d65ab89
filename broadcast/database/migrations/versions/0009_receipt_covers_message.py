"""An attempt says whether one receipt of its account speaks for all parts of the message."""

from alembic import op

revision = "0009"
down_revision = "0008"


STATEMENTS = (
    "ALTER TABLE attempts ADD COLUMN receipt_covers_message boolean",
    # false would make every row 8 bytes longer.
    "COMMENT ON COLUMN attempts.receipt_covers_message IS 'null: a receipt speaks for its own part only'",
)


def upgrade() -> None:
    """Add the column."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE attempts DROP COLUMN receipt_covers_message")
