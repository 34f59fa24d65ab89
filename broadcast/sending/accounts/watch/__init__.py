"""The alarms of accounts: binds that are down, accounts that are stopped, late or throttled."""
