"""PDUs of the simulator: layouts of submits, responses, and receipts in every form."""
