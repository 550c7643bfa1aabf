"""Bit-exact resume: a run in two parts equals the uninterrupted run.

    python -m examples.exact_resume [DIRECTORY]

`CheckpointHook` saves the weights, the optimizer and the step. The input of `input/`
is a function of (seed, step): `start_step` makes it continue at a step without reading
what comes before, and augmentation repeats too. Prints whether all variables are equal
to the bit. Takes seconds.
"""

import numpy as np

import input as data
from estimator_clf.hooks.checkpoint import CheckpointHook
from examples.digits_model import make_estimator, run


def train(model_dir: str, first: int, last: int) -> dict[str, np.ndarray]:
    """Trains from step `first` to step `last`; returns the variables."""
    source = data.open_dataset('digits')
    input_fn = source.input_fn(
        'train',
        batch_size=50,
        training=True,
        seed=1,
        start_step=first,
        augment='zoom(0.1)',
    )
    model = make_estimator(model_dir)
    saver = CheckpointHook(model_dir, every=[25])
    model.train(input_fn, hooks=[saver], max_steps=last)
    names = model.get_variable_names()
    return {name: model.get_variable_value(name) for name in names}


def main(directory: str) -> None:
    """Trains 40 steps twice, below `directory`: at once, and interrupted at step 25."""
    whole = train(f'{directory}/whole', 0, 40)
    train(f'{directory}/resumed', 0, 25)
    resumed = train(f'{directory}/resumed', 25, 40)
    equal = all(np.array_equal(whole[name], resumed[name]) for name in whole)
    print(f'{len(whole)} variables, equal: {equal}')


if __name__ == '__main__':
    run(main)
