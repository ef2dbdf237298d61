"""Strategies that are Optuna's samplers, rebuilt from the log."""
