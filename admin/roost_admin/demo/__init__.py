"""`roost demo`: the whole story on real processes, checked by the oracle."""
