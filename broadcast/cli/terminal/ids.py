"""Ids as arguments: what PostgreSQL and Kafka hold in 64 bits, and nothing larger."""

from typing import Final

import click

ID: Final = click.IntRange(0, 2**63 - 1)
"""A recipient's or an alarm's id, or an offset."""
