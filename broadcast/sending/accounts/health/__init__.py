"""What is known of an account by its answers: breaker and probe, refused messages, lateness, throttling."""
