"""The run directory: durable asks and rows, recovery, reading."""
