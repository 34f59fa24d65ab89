"""SMPP 3.4 as an ESME, in batches: codec, session, and the binds of an account."""
