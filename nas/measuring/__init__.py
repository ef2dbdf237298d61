"""Step time, inference time and size of networks, measured on this machine."""
