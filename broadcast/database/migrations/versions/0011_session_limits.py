"""A session that says nothing itself, as of psql, gives up locks: it is ended when idle in a transaction."""

from alembic import op

revision = "0011"
down_revision = "0010"

SECONDS = 30
"""Longest that such a session may do nothing within a transaction, or wait for a lock with others behind it."""

STATEMENT = """
DO $$
DECLARE
    setting text;
BEGIN
    -- Only an owner may; and what an administrator has set stays.
    IF NOT pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
        RETURN;
    END IF;
    FOREACH setting IN ARRAY ARRAY['idle_in_transaction_session_timeout', 'lock_timeout'] LOOP
        IF NOT EXISTS (
            SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase,
                unnest(s.setconfig) AS one
            WHERE d.datname = current_database() AND s.setrole = 0 AND one LIKE setting || '=%'
        ) THEN
            EXECUTE format('ALTER DATABASE %I SET %s = %L', current_database(), setting, {value});
        END IF;
    END LOOP;
END $$
"""


def upgrade() -> None:
    """Set the limits for the whole database."""
    op.execute(STATEMENT.format(value=f"'{SECONDS}s'"))


def downgrade() -> None:
    """Leave them: they hurt nobody."""
