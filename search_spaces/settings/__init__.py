"""Strict YAML to frozen dataclasses and back, and the messages for a file that is wrong."""
