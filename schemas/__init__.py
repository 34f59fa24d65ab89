"""What travels: the models of every record on Kafka. No I/O."""
