"""Devices: their names, memory and clocks, and their exclusive use while timing."""
