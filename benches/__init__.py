"""Benches: each reports a ratio to a peer or to a limit measured in the same run, with the machine and the size."""
