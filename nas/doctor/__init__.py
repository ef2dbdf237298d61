"""Checks of nas doctor: that searches run here, and that their timings can be trusted."""
