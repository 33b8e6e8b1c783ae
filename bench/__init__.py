"""Benchmarks: each prints what was measured beside a peer or a limit measured in the same run."""
