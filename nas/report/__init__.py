"""A run as one page to read: self-contained HTML with its pictures in it."""
