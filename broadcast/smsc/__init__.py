"""The SMSC simulator: SMPP 3.4 over TCP, with the delays, errors and odd receipts that it is told to produce."""
