"""Kafka: clients, topics, transactions with a position."""
