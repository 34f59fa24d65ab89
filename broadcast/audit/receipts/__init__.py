"""Receipts that met no attempt, and deliveries that nobody could read: what they are, and what to do about them."""
