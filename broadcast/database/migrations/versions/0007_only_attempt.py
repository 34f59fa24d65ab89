"""The column that says that an attempt is the only one of its recipient is named so."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Rename it."""
    op.execute("ALTER TABLE attempts RENAME COLUMN alone TO only_attempt")


def downgrade() -> None:
    """Give it its old name."""
    op.execute("ALTER TABLE attempts RENAME COLUMN only_attempt TO alone")
