"""Analysis of a run's rows; imports neither torch nor ray, so a notebook opens at once."""
