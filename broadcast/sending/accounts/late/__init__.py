"""Accounts whose SMSC answers late: the rule, and the alarm."""
