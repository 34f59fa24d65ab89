"""Documents that are handed in: what is read of them, here or in a process of its own."""
