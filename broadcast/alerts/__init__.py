"""Alerts: publishing them, and what the system knows of each."""
