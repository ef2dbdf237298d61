"""Images: where they come from, split, decoded once, and on the device."""
