"""Cost of a search before it starts."""
