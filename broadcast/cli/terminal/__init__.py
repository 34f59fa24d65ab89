"""What a command shows in a terminal, and how it reads ids and ends."""
