"""One network: its description, the torch module built from it, and its parameter and MAC counts."""
