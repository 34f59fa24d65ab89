"""Which jobs are written next, and to which session; which get an outcome without being sent."""
