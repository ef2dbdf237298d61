"""The search, what becomes of the winner, and the command line."""
