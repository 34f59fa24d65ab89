"""PostgreSQL: pools that wait for the server, and the migrations."""

from broadcast.database.migration import migrate
from broadcast.database.pool import Connection, connect, create_pool, wait_for_database

__all__ = ["Connection", "connect", "create_pool", "migrate", "wait_for_database"]
