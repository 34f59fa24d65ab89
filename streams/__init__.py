"""How events flow: one file per stage, named after it."""
