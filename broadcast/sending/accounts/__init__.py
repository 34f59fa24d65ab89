"""The accounts of a route: their binds, and which of them gets work."""
