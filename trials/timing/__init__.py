"""Step time, inference time and memory: measured, and predicted from blocks."""
