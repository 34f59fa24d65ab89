"""Counters of states for each chunk of an audience, and lists of those in a rare state."""

from alembic import op

revision = "0017"
down_revision = "0016"

STATEMENTS = (
    """
    CREATE TABLE chunk_counters (
        alert_id uuid NOT NULL,
        chunk    integer NOT NULL,
        shard    smallint NOT NULL,
        state    smallint NOT NULL,
        count    bigint NOT NULL,
        PRIMARY KEY (alert_id, chunk, shard, state)
    ) WITH (fillfactor = 50)
    """,
    "COMMENT ON COLUMN chunk_counters.chunk IS '-1: counted before its chunk was known; the sweep moves it there'",
    "COMMENT ON COLUMN chunk_counters.state IS '101: how many transactions changed the chunk'",
    "CREATE INDEX chunk_counters_unassigned ON chunk_counters (alert_id) WHERE chunk = -1",
    # What was counted so far is of no chunk yet: these rows make the sweep count it by chunk.
    "INSERT INTO chunk_counters SELECT DISTINCT alert_id, -1, -2, 101, 1 FROM counters",
    """
    CREATE TABLE chunk_lists (
        alert_id   uuid NOT NULL,
        chunk      integer NOT NULL,
        state      smallint NOT NULL,
        changes    bigint NOT NULL,
        recipients bigint[] NOT NULL,
        PRIMARY KEY (alert_id, chunk, state)
    )
    """,
    "COMMENT ON TABLE chunk_lists IS 'who is in a state that few of the chunk are in; true while changes are the same'",
    "CREATE INDEX alerts_large ON alerts (completed_at) WHERE chunks > 4",
)


def upgrade() -> None:
    """Create the tables; mark what is counted already as not counted by chunk."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX alerts_large")
    op.execute("DROP TABLE chunk_counters, chunk_lists")
