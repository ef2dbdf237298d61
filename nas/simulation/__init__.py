"""Simulated searches: on a table of trained networks or a model of an earlier run."""
