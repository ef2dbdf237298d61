"""A search: what is asked next, what runs, what counts, what is recorded."""
