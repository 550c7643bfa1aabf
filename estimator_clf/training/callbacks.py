"""What a run tells while it goes on, and to whom."""


class Callback:
    """What a run tells of itself; this one keeps it to itself."""

    def on_start(self, plan):
        """Called once, before the first step, with the `Plan`."""

    def on_step(self, step):
        """Called after each step."""

    def on_train(self, step, metrics):
        """Called at each logging interval with the means over it."""

    def on_evaluate(self, step, split, metrics):
        """Called after each evaluation."""

    def on_stop(self, signal_name):
        """Called when a signal asks the run to stop, before it does."""

    def on_message(self, text):
        """Called with what else a person should know."""
