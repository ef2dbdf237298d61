"""Networks compared fairly: full trainings of each, alike and in turn, and which differences are sure."""
