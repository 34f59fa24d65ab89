"""From jobs to submits, and from answers to outcomes: what the sender can do (`docs/sender.md`)."""
