"""One training step and one training loop, the same for trials and for full trainings."""
