"""The next step with a run, a training or a comparison: why, and the command; for `nas next` and screens."""
