"""Attempts: statuses and receipts as rows of PostgreSQL, written in batches with their evidence."""
