"""Screens that commands print: tables, bars, numbers."""
