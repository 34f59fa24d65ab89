"""An index of the attempts of which no submit is recorded, so that counting them reads no other."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the index. Its condition holds no column that a receipt changes: such an update stays within its page."""
    op.execute(
        "CREATE INDEX attempts_unsubmitted ON attempts (alert_id, recipient_id) "
        "WHERE outcome = 4 AND submitted_at IS NULL"
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP INDEX attempts_unsubmitted")
