"""Who asked to be erased or left alone, as keyed hashes of numbers."""

from alembic import op

revision = "0018"
down_revision = "0017"

STATEMENTS = (
    """
    CREATE TABLE exclusions (
        number_hash bigint PRIMARY KEY,
        key_check   bytea NOT NULL,
        wish        text NOT NULL CHECK (wish IN ('erased', 'do_not_contact')),
        reason      text,
        at          timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON TABLE exclusions IS 'people whom an import does not load, or loads as suppressed'",
    "COMMENT ON COLUMN exclusions.key_check IS 'tells which key the hash was made with'",
)


def upgrade() -> None:
    """Add the table."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE exclusions")
