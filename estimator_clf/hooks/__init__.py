"""SessionRunHooks, one a file; each also serves a bare Estimator."""
