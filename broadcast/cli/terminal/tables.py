"""Tables on stdout."""

from rich.console import Console
from rich.table import Table

PIPED_COLUMNS = 240
"""Where there is no terminal whose width counts, nothing may be cut or folded: somebody greps it."""


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or as wide as it wants to be."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_COLUMNS)
    console.print(table)
