"""One network: described, built, counted."""
