"""What the simulator counts: copies of texts, and violations of its rules by the client."""
