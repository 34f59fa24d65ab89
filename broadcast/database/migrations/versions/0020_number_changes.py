"""The number that a recipient had before each change, for audiences that are not sent yet."""

from alembic import op

revision = "0020"
down_revision = "0019"

STATEMENTS = (
    """
    CREATE TABLE number_changes (
        recipient_id bigint NOT NULL,
        id           bigint GENERATED ALWAYS AS IDENTITY,
        msisdn       text COLLATE "C",
        changed_by   xid8 NOT NULL DEFAULT pg_current_xact_id(),
        changed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (recipient_id, id)
    )
    """,
    "CREATE INDEX number_changes_changed ON number_changes (changed_at)",
    "COMMENT ON TABLE number_changes IS 'deleted by the sweep once no alert that is on its way needs it'",
    "COMMENT ON COLUMN number_changes.id IS 'changes of one recipient in their order: the row lock holds it'",
    "COMMENT ON COLUMN number_changes.msisdn IS 'before the change; null: who has this number now was erased'",
    "COMMENT ON COLUMN number_changes.changed_by IS 'compared with audiences.snapshot, which is exact; times are not'",
    # A trigger, because a change by whatever statement counts; its condition costs an import nothing otherwise.
    """
    CREATE FUNCTION keep_number() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO number_changes (recipient_id, msisdn) VALUES (OLD.id, OLD.msisdn);
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER recipients_keep_number AFTER UPDATE OF msisdn ON recipients
    FOR EACH ROW WHEN (OLD.msisdn IS DISTINCT FROM NEW.msisdn) EXECUTE FUNCTION keep_number()
    """,
    "ALTER TABLE audiences ADD COLUMN snapshot pg_snapshot",
    "COMMENT ON COLUMN audiences.snapshot IS 'what the resolution saw; null: resolved before this column'",
)


def upgrade() -> None:
    """Add the table, the trigger that fills it, and the snapshot of audiences."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("ALTER TABLE audiences DROP COLUMN snapshot")
    op.execute("DROP TRIGGER recipients_keep_number ON recipients")
    op.execute("DROP FUNCTION keep_number")
    op.execute("DROP TABLE number_changes")
