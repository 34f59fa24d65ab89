"""The models of every record on Kafka. No I/O."""
