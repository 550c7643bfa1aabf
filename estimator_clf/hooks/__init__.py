"""SessionRunHooks, each usable with a bare Estimator."""
