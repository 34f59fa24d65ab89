"""Alerts as the planner read them, what happened to each, and their audiences as chunks."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """
    CREATE TABLE alerts (
        alert_id     uuid PRIMARY KEY,
        state        text NOT NULL,
        reason       text,
        lane         text NOT NULL,
        sender       text NOT NULL,
        identifier   text NOT NULL,
        sent         timestamptz NOT NULL,
        status       text NOT NULL,
        msg_type     text NOT NULL,
        document     jsonb NOT NULL,
        digest       bytea NOT NULL,
        groups       text[] NOT NULL,
        event_offset bigint NOT NULL,
        actor        text NOT NULL,
        expires_at   timestamptz NOT NULL,
        accepted_at  timestamptz NOT NULL,
        planned_at   timestamptz,
        expanded_at  timestamptz,
        stopped_at   timestamptz,
        completed_at timestamptz,
        audience     bigint,
        suppressed   bigint,
        chunks       integer,
        chain        bytea
    )
    """,
    "COMMENT ON COLUMN alerts.digest IS 'SHA-256 of the document: the same alert again, or another by its name'",
    "COMMENT ON COLUMN alerts.audience IS 'found by the expander, the suppressed included, before anything was sent'",
    "COMMENT ON COLUMN alerts.chain IS 'chain of the last chunk'",
    "CREATE INDEX alerts_accepted ON alerts (accepted_at DESC, alert_id)",
    "CREATE INDEX alerts_sender ON alerts (sender, identifier)",
    """
    CREATE TABLE alert_events (
        alert_id     uuid NOT NULL,
        event_offset bigint NOT NULL,
        event        text NOT NULL,
        actor        text NOT NULL,
        reason       text,
        at           timestamptz NOT NULL,
        PRIMARY KEY (alert_id, event_offset, event)
    )
    """,
    """
    CREATE TABLE audiences (
        alert_id          uuid PRIMARY KEY,
        groups            text[] NOT NULL,
        participants_only boolean NOT NULL,
        missing           text[] NOT NULL,
        count             bigint NOT NULL,
        suppressed        bigint NOT NULL,
        chunks            integer NOT NULL,
        chain             bytea NOT NULL,
        resolved_at       timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON TABLE audiences IS 'written with its chunks by one statement, once, even if empty'",
    "COMMENT ON COLUMN audiences.missing IS 'groups that did not exist: then the audience is empty, never a part'",
    """
    CREATE TABLE chunks (
        alert_id   uuid NOT NULL,
        chunk      integer NOT NULL,
        first_id   bigint NOT NULL,
        last_id    bigint NOT NULL,
        count      integer NOT NULL,
        recipients bigint[] NOT NULL,
        suppressed jsonb NOT NULL DEFAULT '{}',
        digest     bytea NOT NULL,
        chain      bytea NOT NULL,
        PRIMARY KEY (alert_id, chunk)
    )
    """,
    "COMMENT ON COLUMN chunks.recipients IS 'ids in ascending order, the suppressed included'",
    "COMMENT ON COLUMN chunks.suppressed IS 'recipient id to reason'",
    "COMMENT ON COLUMN chunks.digest IS 'SHA-256 of the text that broadcast.audience.chunks.chunk_text writes'",
    "COMMENT ON COLUMN chunks.chain IS 'SHA-256 of the chain before and this digest'",
)


def upgrade() -> None:
    """Create alerts, their events and their chunks."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE chunks, audiences, alert_events, alerts")
