"""Where records are that PostgreSQL refused: evidence and a dead letter hold them, and nothing else."""

from alembic import op

revision = "0019"
down_revision = "0018"

STATEMENTS = (
    """
    CREATE TABLE refused_records (
        evidence_id   bigint NOT NULL,
        record_offset bigint NOT NULL,
        error         text NOT NULL,
        refused_at    timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (evidence_id, record_offset)
    )
    """,
    "COMMENT ON TABLE refused_records IS 'records that hold a value that PostgreSQL does not take; they are evidence'",
)


def upgrade() -> None:
    """Add the table."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE refused_records")
