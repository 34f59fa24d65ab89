"""Health of one process, and how it is asked for over HTTP."""

from broadcast.health.process_health import Health

__all__ = ["Health"]
