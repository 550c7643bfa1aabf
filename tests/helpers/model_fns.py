"""model_fns for tests, from settings without their specs."""

import dataclasses

from model_fns import (
    HeadSpec,
    ModelSpec,
    OptimizerSpec,
    RuntimeSpec,
    make_model_fn,
)


def model_fn_of(network, optimizer=None, **settings):
    """Makes a model_fn, sorting the settings into the specs that have them.

    Args:
      network: name or function.
      optimizer: `OptimizerSpec`, or its arguments as a dict.
      **settings: of `ModelSpec`, `HeadSpec` and `RuntimeSpec`.
    """
    if isinstance(optimizer, dict):
        optimizer = OptimizerSpec(**optimizer)
    model, head, runtime = (
        {
            field.name: settings.pop(field.name)
            for field in dataclasses.fields(spec)
            if field.name in settings
        }
        for spec in (ModelSpec, HeadSpec, RuntimeSpec)
    )
    assert not settings, f'no spec has {sorted(settings)}'
    return make_model_fn(
        ModelSpec(network, **model), HeadSpec(**head), optimizer, RuntimeSpec(**runtime)
    )
