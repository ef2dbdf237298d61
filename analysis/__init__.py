"""What the rows of a run say; imports neither torch nor ray, so a notebook opens at once."""
