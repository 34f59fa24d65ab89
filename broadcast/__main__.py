"""`python -m broadcast` is the command `broadcast`."""

from broadcast.cli import main

main()
