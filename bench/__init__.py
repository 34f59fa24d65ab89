"""Benchmarks of the whole system: `python -m bench` (make bench); of SMPP alone: `python -m bench.smpp`."""
