"""Receipts that were parked say of which account, and deliveries that nobody could read are listed."""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    """
    ALTER TABLE parked_receipts
        ADD COLUMN account integer, ADD COLUMN by_text boolean NOT NULL DEFAULT false
    """,
    "COMMENT ON COLUMN parked_receipts.account IS 'null: parked before accounts were kept here'",
    "COMMENT ON COLUMN parked_receipts.by_text IS 'only its text says that it is a receipt: its number must fit too'",
    """
    CREATE TABLE unreadable_deliveries (
        evidence_id   bigint NOT NULL,
        record_offset bigint NOT NULL,
        account       integer,
        received_at   bigint NOT NULL,
        PRIMARY KEY (evidence_id, record_offset)
    )
    """,
    "COMMENT ON TABLE unreadable_deliveries IS 'what SMSCs delivered and nobody could read; its octets are evidence'",
    "COMMENT ON COLUMN unreadable_deliveries.received_at IS 'milliseconds since the epoch'",
    # Attempts come in the order of their submits, nearly: this finds those of an hour at hardly any cost.
    "CREATE INDEX attempts_submitted ON attempts USING brin (submitted_at) WITH (pages_per_range = 32)",
)


def upgrade() -> None:
    """Add the columns, the table and the index."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX attempts_submitted")
    op.execute("DROP TABLE unreadable_deliveries")
    op.execute("ALTER TABLE parked_receipts DROP COLUMN account, DROP COLUMN by_text")
