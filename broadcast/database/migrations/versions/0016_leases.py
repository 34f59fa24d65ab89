"""What one process of several does is a row with an end; each process says that it lives."""

from alembic import op

revision = "0016"
down_revision = "0015"

STATEMENTS = (
    """
    CREATE TABLE leases (
        name     text PRIMARY KEY,
        holder   text NOT NULL,
        taken_at timestamptz NOT NULL,
        ends_at  timestamptz NOT NULL
    ) WITH (fillfactor = 50)
    """,
    "COMMENT ON TABLE leases IS 'what one process of several does, until ends_at unless it renews'",
    """
    CREATE TABLE processes (
        stage      text NOT NULL,
        slot       text NOT NULL,
        host       text NOT NULL,
        pid        integer NOT NULL,
        started_at timestamptz NOT NULL,
        seen_at    timestamptz NOT NULL,
        PRIMARY KEY (stage, slot)
    ) WITH (fillfactor = 50)
    """,
    "COMMENT ON TABLE processes IS 'stages that run: each writes seen_at again and again, and a clean stop removes it'",
)


def upgrade() -> None:
    """Create both tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE processes, leases")
