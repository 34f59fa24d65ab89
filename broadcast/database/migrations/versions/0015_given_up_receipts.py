"""Receipts that no attempt can claim any more have their own table; those that wait are found by time."""

from alembic import op

revision = "0015"
down_revision = "0014"

STATEMENTS = (
    "DROP INDEX parked_receipts_at",
    "CREATE INDEX parked_receipts_at ON parked_receipts (parked_at, message_key)",
    """
    CREATE TABLE given_up_receipts (
        message_key bigint NOT NULL,
        number_hash bigint NOT NULL,
        evidence_id bigint NOT NULL,
        received_at bigint NOT NULL,
        state       smallint NOT NULL,
        error       text,
        parked_at   timestamptz NOT NULL,
        account     integer,
        by_text     boolean NOT NULL,
        nameless    boolean NOT NULL
    )
    """,
    "COMMENT ON TABLE given_up_receipts IS 'parked for so long that no attempt may claim them any more; only added to'",
    "COMMENT ON COLUMN given_up_receipts.nameless IS 'it named no attempt when it was given up'",
    "CREATE INDEX given_up_receipts_message ON given_up_receipts (message_key)",
    "CREATE INDEX given_up_receipts_account ON given_up_receipts (account, received_at) WHERE nameless",
    """
    CREATE VIEW unmatched_receipts AS
    SELECT message_key, number_hash, evidence_id, received_at, state, error, parked_at, account, by_text
    FROM parked_receipts
    UNION ALL
    SELECT message_key, number_hash, evidence_id, received_at, state, error, parked_at, account, by_text
    FROM given_up_receipts
    """,
)


def upgrade() -> None:
    """Create the table and the view, and replace the index."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Back to one table; nothing is lost."""
    op.execute("DROP VIEW unmatched_receipts")
    op.execute(
        "INSERT INTO parked_receipts (message_key, number_hash, evidence_id, received_at, state, error, parked_at, "
        "account, by_text) SELECT message_key, number_hash, evidence_id, received_at, state, error, parked_at, "
        "account, by_text FROM given_up_receipts"
    )
    op.execute("DROP TABLE given_up_receipts")
    op.execute("DROP INDEX parked_receipts_at")
    op.execute("CREATE INDEX parked_receipts_at ON parked_receipts USING brin (parked_at)")
