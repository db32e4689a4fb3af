"""What differs between brokers on the wire, sans-I/O: one dialect for each protocol."""
