"""Executors: interchangeable functions that run trials in this process, on Ray, or in simulated time."""
