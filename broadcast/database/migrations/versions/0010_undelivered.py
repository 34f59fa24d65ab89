"""Who was reported undelivered and goes once by another route, by the policy of their route."""

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    """
    CREATE TABLE undelivered (
        alert_id     uuid NOT NULL,
        recipient_id bigint NOT NULL,
        route        text NOT NULL,
        noted_at     timestamptz NOT NULL DEFAULT now(),
        due_at       timestamptz NOT NULL DEFAULT now(),
        attempt      smallint,
        claimed_at   timestamptz,
        sent_at      timestamptz,
        PRIMARY KEY (alert_id, recipient_id)
    )
    """,
    "COMMENT ON TABLE undelivered IS 'reported undelivered on a route with undelivered_route; once for each person'",
    "COMMENT ON COLUMN undelivered.route IS 'the other route, by which the new copy goes'",
    "COMMENT ON COLUMN undelivered.due_at IS 'not looked at before'",
    "COMMENT ON COLUMN undelivered.attempt IS 'of the new copy'",
    "COMMENT ON COLUMN undelivered.claimed_at IS 'set before the job is written to Kafka'",
    "COMMENT ON COLUMN undelivered.sent_at IS 'set after; null beside claimed_at: nobody knows whether it was written'",
    "CREATE INDEX undelivered_due ON undelivered (due_at) WHERE sent_at IS NULL",
)


def upgrade() -> None:
    """Add the table and its index."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE undelivered")
