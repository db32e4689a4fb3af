"""The deterministic simulation of a whole broker with its devices and their faults."""
