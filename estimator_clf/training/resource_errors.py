"""Explains a run that ended because the disk or the memory is full."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from estimator_clf.config.config import Config
from estimator_clf.core.errors import (
    OutOfMemory,
    RunError,
    disk_full_message,
    is_out_of_memory,
)
from estimator_clf.training import run_directory

if TYPE_CHECKING:
    from input.sources.base import DataSource


class _Run(Protocol):
    config: Config
    sources: list['DataSource']

    def last_step(self) -> int: ...


@contextlib.contextmanager
def translate_resource_errors(run: _Run) -> Iterator[None]:
    """Raises RunError for a full disk or memory, with the step that is safe.

    Args:
      run: the run that the block executes.

    Raises:
      OutOfMemory: memory ran out. A run without any step leaves no checkpoint, so that
        the same directory can be used with other settings.
      RunError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, RunError):
            raise
        full = disk_full_message(error)
        if full is None and not is_out_of_memory(error):
            raise
        step, directory = run.last_step(), run.config.run.model_dir
        if full is None:
            if not step:
                run_directory.remove_untrained(directory)
            text = _out_of_memory(run, step)
        else:
            text = f'{full}, writing to `model_dir={directory}`. Free space there'
        if step:
            text += (
                f'; the checkpoint of step {step} is complete, and the same command '
                'resumes from it'
            )
        raise (RunError if full else OutOfMemory)(text) from None


def _out_of_memory(run, step):
    config = run.config
    shape = run.sources[0].image_shape if run.sources else ()
    of = f' images of {shape[0]}x{shape[1]} pixels' if len(shape) == 3 else ' examples'
    return (
        f'out of memory, with `network={config.model.network}` and batches of '
        f'{config.batch_size}{of}; use a smaller `batch_size`, `image_size` or '
        'network, or divide the batch with `gradient_accumulation_steps`'
        + (' (in another `model_dir`)' if step else '')
    )
