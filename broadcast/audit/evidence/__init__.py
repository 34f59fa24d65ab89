"""Evidence: what was read from Kafka, as it was read, in segments chained by SHA-256."""
