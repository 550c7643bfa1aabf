"""Assigns the weights of a source to a network before its first step."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from estimator_clf.config.warm_start_rules import WarmStartRules
from estimator_clf.core.variable_patterns import name_of
from estimator_clf.warm_start.assignment import (
    Assignment,
    Shape,
    WeightSource,
    make_assignment,
    weights_in_graph,
)
from model_fns.optimizers.ema import SUFFIX as EMA_SUFFIX

v1 = tf.compat.v1


class WarmStartHook(tf.compat.v1.train.SessionRunHook):
    """Restores the matching weights, at step 0 only.

    It must come before any hook that saves, so that the checkpoint of step 0 contains
    the weights.

        source = open_source('runs/images')
        hook = WarmStartHook(source, WarmStartRules(exclude=('logits',)))
        est.train(input_fn, hooks=[hook])
        print(table_of(hook.assignment))

    A moving average of a restored variable gets the same value.

    Attributes:
      assignment: what is restored; None before training starts.
    """

    def __init__(
        self,
        source: WeightSource,
        rules: WarmStartRules | None = None,
        variables: Mapping[str, Shape] | None = None,
        on_restored: Callable[[Assignment], None] | None = None,
    ) -> None:
        """Makes the hook.

        Args:
          source: the weights.
          rules: inclusion, exclusion and renaming; None: everything of the same name.
          variables: shapes by name of those that may be restored; None: those of
            `weights_in_graph`.
          on_restored: called once the assignment is carried out.
        """
        self._source, self._rules = source, rules
        self._variables, self._on_restored = variables, on_restored
        self.assignment: Assignment | None = None

    def values(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Reads the initial values of the restored ones of some variables.

        Needs no session, but the `variables` of the constructor.
        """
        assert self._variables is not None
        found = make_assignment(self._source, self._variables, self._rules).source_names
        return {
            name: np.asarray(self._source.read(found[name]))
            for name in names
            if name in found
        }

    def begin(self) -> None:
        variables = self._variables
        if variables is None:
            variables = weights_in_graph()
        self.assignment = make_assignment(self._source, variables, self._rules)
        source_names = self.assignment.source_names
        self._assigns = []
        for variable in v1.global_variables():
            key = source_names.get(name_of(variable).removesuffix(EMA_SUFFIX))
            if key is None:
                continue
            value = v1.placeholder(variable.dtype.base_dtype, variable.shape)
            parts = [variable]
            if isinstance(variable, tf.distribute.DistributedValues):
                parts = variable.values  # One per replica.
            ops = [part.assign(value).op for part in parts]
            self._assigns.append((key, value, tf.group(*ops)))

    def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
        del coord
        if int(session.run(v1.train.get_global_step(session.graph))):
            return
        for key, placeholder, assign in self._assigns:
            value = self._source.read(key)
            dtype = placeholder.dtype.as_numpy_dtype
            session.run(assign, {placeholder: np.asarray(value).astype(dtype)})
        if self._on_restored and self.assignment:
            self._on_restored(self.assignment)
            self._on_restored = None  # Once, also if the session is recreated.
