"""The search, the training and export of its winner, and the command line."""
