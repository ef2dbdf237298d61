"""Compound scaling: members of a family by formula, by coefficients, or within a budget."""
