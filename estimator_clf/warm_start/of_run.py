"""The warm start of a run, as its settings say."""

import dataclasses
import json
import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.files import write_atomically
from estimator_clf.warm_start.hook import WarmStartHook
from estimator_clf.warm_start.plan import make_plan, model_variables
from estimator_clf.warm_start.sources import open_source
from estimator_clf.warm_start.table import table_of

FILE_NAME = 'warm_start.json'


def warm_start_of(config, model_fn, input_fn, say):
    """Makes the hook that a run needs, and finds out now whether it will work.

    Args:
      config: `Config`.
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      input_fn: that of the training.
      say: function that is given the table, as text, when it has been done; all of it
        goes into `warm_start.json` in the model_dir.

    Returns:
      `WarmStartHook`; None without --warm_start, and for a run that goes on: its
      checkpoints have what it began with.

    Raises:
      ConfigError: no such source, or nothing in it that the network takes.
    """
    if not config.warm_start or tf.train.latest_checkpoint(config.model_dir):
        return None
    source, rules = open_source(config.warm_start), config.warm_start_rules()
    variables = model_variables(model_fn, input_fn)
    make_plan(source, variables, rules)

    def on_plan(plan):
        facts = {'source': plan.path, 'counts': plan.counts()}
        rows = [dataclasses.asdict(row) for row in plan.rows]
        text = json.dumps({**facts, 'variables': rows}, indent=1)
        write_atomically(os.path.join(config.model_dir, FILE_NAME), text + '\n')
        say(table_of(plan))

    return WarmStartHook(source, rules, variables, on_plan)
