"""A trained network handed on: its card, its folder, and the Hugging Face Hub."""
