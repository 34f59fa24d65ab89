"""Counts of outcomes by alert, account and time of the submit, for watching shares."""

from alembic import op

revision = "0012"
down_revision = "0011"

STATEMENTS = (
    """
    CREATE TABLE outcome_counts (
        slot     integer NOT NULL,
        alert_id uuid NOT NULL,
        account  integer NOT NULL,
        shard    smallint NOT NULL,
        counted  smallint NOT NULL,
        code     smallint NOT NULL,
        error    text COLLATE "C" NOT NULL,
        count    bigint NOT NULL,
        PRIMARY KEY (slot, alert_id, account, shard, counted, code, error)
    ) WITH (fillfactor = 50)
    """,
    "COMMENT ON TABLE outcome_counts IS 'submits and receipts of the last day: broadcast.audit.outcomes; no evidence'",
    "COMMENT ON COLUMN outcome_counts.slot IS 'instant of the submit, in steps of 5 s since the epoch'",
    "COMMENT ON COLUMN outcome_counts.account IS '0: not submitted'",
    "COMMENT ON COLUMN outcome_counts.counted IS '1: answers to submits, 2: receipts'",
)


def upgrade() -> None:
    """Add the table."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE outcome_counts")
