"""Counts of outcomes by alert, account and time, and the shares that are an alarm."""
