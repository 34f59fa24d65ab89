"""Addresses of servers, and TLS to them, as the settings name them."""
