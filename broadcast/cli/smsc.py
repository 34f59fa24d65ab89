"""`broadcast smsc`."""

from broadcast.smsc.command import smsc as command

__all__ = ["command"]
