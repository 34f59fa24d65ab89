"""From jobs to submits, and from answers to outcomes: what the sender can do (design, section 5)."""
