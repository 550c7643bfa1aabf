"""Evaluation of checkpoints during and after training."""
