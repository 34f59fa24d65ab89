"""How fast an account may submit: its limit, and what the SMSC allows. Pure: `now` is passed in."""
