"""Which device a process uses, and whose turn it is."""
