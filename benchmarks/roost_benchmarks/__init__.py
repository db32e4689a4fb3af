"""Benchmarks of roost: load generators, and the commands that run them. Not part of the wheel."""
