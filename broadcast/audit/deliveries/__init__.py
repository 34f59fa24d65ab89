"""Deliveries: what evidence and attempts say of each recipient of an alert."""
