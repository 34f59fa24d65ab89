"""What SMSCs deliver, as records for Kafka: receipts, messages from phones, and what nobody can read."""
