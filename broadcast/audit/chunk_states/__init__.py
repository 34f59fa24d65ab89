"""How many recipients of each chunk of an audience are in which state, and who is in a rare one."""
