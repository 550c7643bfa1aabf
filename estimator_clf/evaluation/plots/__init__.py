"""Evaluation callbacks that write figures and tables for TensorBoard."""
