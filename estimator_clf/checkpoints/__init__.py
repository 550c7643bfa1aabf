"""Checkpoints on disk: listing, recovery, the best of a run."""
