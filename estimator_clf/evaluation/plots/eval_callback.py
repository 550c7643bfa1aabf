"""Those who look on while an evaluation goes through its batches."""


class EvalCallback:
    """Sees the batches of an evaluation, and writes something at its end.

    It takes no pass of its own over the data: what it asks for is fetched by the run of
    the session that updates the metrics. What is fetched is copied, so it asks for
    little: not for all images, say, but for those that it will show.

        evaluator = Evaluator(model_fn, input_fn, [ConfusionMatrix(writer, names)])
    """

    def fetches(self, tensors):
        """Chooses what to see; called once, while the graph is built.

        It may make ops, and local variables, which start again in every evaluation.

        Args:
          tensors: dict tag -> tensor [B, …]: the features ('image', 'key') and what
            the model offers, see `estimator_clf.core.graph_collections`.

        Returns:
          dict of tensors; empty if what it needs is not there: it is then left out.
        """
        raise NotImplementedError

    def on_begin(self):
        """Called before the first batch; one evaluation may follow another given up."""

    def on_batch(self, values):
        """Called after each batch.

        Args:
          values: the values of `fetches`.
        """

    def on_end(self, step):
        """Called after the last batch, unless the evaluation was given up.

        Args:
          step: int, the global step of the weights.
        """


def choose(tensors, *tags):
    """Returns the dict of these tags out of `tensors`; empty if one is missing."""
    if any(tag not in tensors for tag in tags):
        return {}
    return {tag: tensors[tag] for tag in tags}
