"""Apache Kafka and PostgreSQL as child processes on the loopback."""
