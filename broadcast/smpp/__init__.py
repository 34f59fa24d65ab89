"""SMPP 3.4 as an ESME, in batches: the codec (`codec`), the session above it, and the binds of an account (`pool`)."""
