"""The workloads: each a function from a target and its options to a run. None of them knows a protocol."""
