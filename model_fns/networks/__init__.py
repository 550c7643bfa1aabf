"""One network per file; see `model_fns.registry` for how they are found."""
