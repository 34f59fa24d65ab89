"""API keys, stored as hashes."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
    CREATE TABLE api_keys (
        id         text PRIMARY KEY,
        name       text NOT NULL,
        hash       bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        revoked_at timestamptz
    )
    """,
    "COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the secret, which has 256 random bits'",
    # The name of a revoked key is free again, so that a key can be replaced and its owner stays the same actor.
    "CREATE UNIQUE INDEX api_keys_active_name ON api_keys (name) WHERE revoked_at IS NULL",
)


def upgrade() -> None:
    """Create the table of keys."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE api_keys")
