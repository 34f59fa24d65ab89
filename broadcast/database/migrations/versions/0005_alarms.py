"""Alarms can be cleared, and verifications are remembered."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "ALTER TABLE alarms ADD COLUMN cleared_at timestamptz, ADD COLUMN cleared_by text",
    # What holds again after it was cleared is a new alarm.
    "ALTER TABLE alarms DROP CONSTRAINT alarms_kind_subject_key",
    "CREATE UNIQUE INDEX alarms_open ON alarms (kind, subject) WHERE cleared_at IS NULL",
    """
    CREATE TABLE verifications (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        verified_at timestamptz NOT NULL DEFAULT now(),
        segments    bigint NOT NULL,
        records     bigint NOT NULL,
        chunks      bigint NOT NULL,
        sound       boolean NOT NULL
    )
    """,
)


def upgrade() -> None:
    """Change the one, create the other."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Back; cleared alarms are forgotten."""
    op.execute("DROP TABLE verifications")
    op.execute("DELETE FROM alarms WHERE cleared_at IS NOT NULL")
    op.execute("DROP INDEX alarms_open")
    op.execute("ALTER TABLE alarms ADD UNIQUE (kind, subject), DROP COLUMN cleared_at, DROP COLUMN cleared_by")
