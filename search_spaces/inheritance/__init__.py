"""From one architecture's weights to another's: where each tensor comes from, and how far they are."""
