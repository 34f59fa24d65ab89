"""The SMSC simulator: real SMPP 3.4 over TCP, fast, seeded, and as awkward as told."""
