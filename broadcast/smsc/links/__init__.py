"""One connection to the simulator: what is read from it, what was sent on it, and its timers."""
