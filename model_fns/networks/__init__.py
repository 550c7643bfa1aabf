"""One network per file, found by `model_fns.registry`."""
