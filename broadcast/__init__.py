"""What the system can do: capabilities without a stream in them."""
