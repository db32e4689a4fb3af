"""Benchmarks of roost: load generators, and the commands that run them."""
