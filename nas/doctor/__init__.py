"""nas doctor: whether searches run here, and whether their timings can be trusted."""
