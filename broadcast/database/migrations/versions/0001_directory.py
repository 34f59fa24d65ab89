"""The directory: recipients, groups, who belongs where."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE recipients (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        external_id text COLLATE "C" UNIQUE,
        msisdn      text COLLATE "C" NOT NULL UNIQUE,
        language    text,
        latitude    double precision,
        longitude   double precision,
        participant boolean NOT NULL DEFAULT false,
        suppressed  text,
        created_at  timestamptz NOT NULL DEFAULT now(),
        updated_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON COLUMN recipients.msisdn IS 'E.164 with its plus sign'",
    "COMMENT ON COLUMN recipients.participant IS 'may receive exercises'",
    "COMMENT ON COLUMN recipients.suppressed IS 'why nothing is sent here; null: nothing speaks against it'",
    "CREATE INDEX recipients_suppressed ON recipients (id) INCLUDE (suppressed) WHERE suppressed IS NOT NULL",
    "CREATE INDEX recipients_participants ON recipients (id) WHERE participant",
    """
    CREATE TABLE groups (
        id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name       text NOT NULL UNIQUE,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # No foreign keys here: checking them row by row takes longer than the rest of an import of a million. Its lock
    # on the tables keeps them whole, and erasing a recipient deletes its memberships (broadcast/audience/people.py).
    """
    CREATE TABLE group_members (
        group_id     integer NOT NULL,
        recipient_id bigint NOT NULL,
        PRIMARY KEY (group_id, recipient_id)
    )
    """,
    "CREATE INDEX group_members_recipient ON group_members (recipient_id)",
    """
    CREATE TABLE group_groups (
        parent_id integer NOT NULL REFERENCES groups ON DELETE CASCADE,
        child_id  integer NOT NULL REFERENCES groups ON DELETE CASCADE,
        PRIMARY KEY (parent_id, child_id),
        CHECK (parent_id <> child_id)
    )
    """,
)


def upgrade() -> None:
    """Create the directory."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the directory."""
    op.execute("DROP TABLE group_groups, group_members, groups, recipients")
