"""Log files and TensorBoard summaries."""
