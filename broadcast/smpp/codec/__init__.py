"""The SMPP 3.4 codec: PDUs to bytes and bytes to PDUs. Pure: no socket, no clock."""
