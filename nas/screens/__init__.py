"""Screens of commands: tables, bars, numbers."""
