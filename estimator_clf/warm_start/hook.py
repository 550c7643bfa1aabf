"""Puts the weights of a source into a network before its first step."""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf

from estimator_clf.core.variable_patterns import name_of
from estimator_clf.warm_start.assignment import make_plan, weights_in_graph
from model_fns.optimizers.ema import SUFFIX

v1 = tf.compat.v1


class WarmStartHook(v1.train.SessionRunHook):
    """Restores what matches, at step 0 only, and hands out a table of it.

    Before any hook that saves, so that the checkpoint of step 0 has the weights.

        source = open_source('runs/images')
        hook = WarmStartHook(source, Rules(exclude=('logits',)))
        est.train(input_fn, hooks=[hook])
        print(table_of(hook.plan))

    A moving average of a variable that is restored gets the same value.
    """

    def __init__(self, source, rules=None, variables=None, on_plan=None):
        """Makes the hook.

        Args:
          source: of `sources.open_source`.
          rules: `WarmStartRules`; None: everything of the same name.
          variables: dict name -> shape of those that may be restored; None: all that
            seem to belong to the network, see `plan.weights_in_graph`.
          on_plan: function of the `Plan`, called when it has been carried out.
        """
        self._source, self._rules = source, rules
        self._variables, self._on_plan = variables, on_plan
        self.plan = None

    def values(self, names):
        """Reads what some variables will begin with, outside of any session.

        Args:
          names: of variables.

        Returns:
          dict name -> array, of those that are restored.
        """
        plan = make_plan(self._source, self._variables, self._rules)
        return {
            name: np.asarray(self._source.read(plan.assignments[name]))
            for name in names
            if name in plan.assignments
        }

    def begin(self):
        variables = self._variables
        if variables is None:
            variables = weights_in_graph()
        self.plan = make_plan(self._source, variables, self._rules)
        self._assigns = []
        for variable in v1.global_variables():
            key = self.plan.assignments.get(name_of(variable).removesuffix(SUFFIX))
            if key is None:
                continue
            value = v1.placeholder(variable.dtype.base_dtype, variable.shape)
            parts = [variable]
            if isinstance(variable, tf.distribute.DistributedValues):
                parts = variable.values  # Of every replica.
            ops = [part.assign(value).op for part in parts]
            self._assigns.append((key, value, tf.group(*ops)))

    def after_create_session(self, session, coord):
        del coord
        if int(session.run(v1.train.get_global_step(session.graph))):
            return
        for key, placeholder, assign in self._assigns:
            value = self._source.read(key)
            dtype = placeholder.dtype.as_numpy_dtype
            session.run(assign, {placeholder: np.asarray(value).astype(dtype)})
        if self._on_plan:
            self._on_plan(self.plan)
            self._on_plan = None  # A session may be lost and made again.
