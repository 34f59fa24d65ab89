"""Fetched record batches: read to their end whatever is in them, and never more of them than memory bears."""
