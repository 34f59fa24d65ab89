"""Answers to submits, and their absence: what follows, and which copies nothing has answered."""
