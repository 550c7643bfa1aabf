"""Runnable examples: one part of the package per file, each in a bare Estimator."""
