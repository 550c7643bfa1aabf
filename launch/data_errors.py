"""Turns TensorFlow's errors about data into a sentence that names the file."""

import contextlib
import re

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.errors import RunError, restore_error_message


@contextlib.contextmanager
def translate_tf_errors(source, others=()):
    """Raises RunError, in words, for what data or a full disk does to a session.

    Args:
      source: `input.sources.base.DataSource` that is read from.
      others: further ones; a list may grow meanwhile.
    """
    try:
        yield
    except ValueError as error:  # As `Saver` puts it that there is no such file.
        text = restore_error_message(error)
        if text is None:
            raise
        raise RunError(text) from None
    except tf.errors.OpError as error:
        text = _own_message(error) or restore_error_message(error)
        text = text or next(
            filter(None, (s.explain(error) for s in (source, *others))), None
        )
        if text is None:
            raise
        raise RunError(text) from None


def _own_message(error):
    """Our own words, where an assertion of ours stopped the graph, or XLA did."""
    match = re.search(r'unsupported operations when .*?: (\w+)', str(error), re.DOTALL)
    if match and 'compile' in match[0]:
        return (
            f'--xla: XLA cannot compile {match[1]}, which is in this network; leave '
            'the flag out'
        )
    if 'not those of --cache_features any more' in str(error):
        return (
            'the images are not those of --cache_features any more: some can be read '
            'that could not then, or the reverse. Remove the directory features in '
            '--model_dir and start again'
        )
    match = re.search(r'(?:corrupt|bad) example <(.*?)>: ([^\]"]*)', str(error), re.DOTALL)
    return f'{match[1]}: {match[2].strip()}' if match else None
