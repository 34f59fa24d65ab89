"""Health of one process, and how it is asked for over HTTP."""

from broadcast.health.process_health import Health, WatchedLog

__all__ = ["Health", "WatchedLog"]
