"""Does an export say what its checkpoint says? Asked in a process of its own.

    python -m estimator_clf.export.parity_check DIR

It loads the SavedModel with the loader that TensorFlow Serving uses, knows nothing of
the network, pushes the examples of `assets.extra/check.tfrecord` through every
signature, and compares with the predictions in it.
"""

import concurrent.futures
import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import tempfile

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from estimator_clf.core.errors import RunError
from estimator_clf.export import check_examples, serving_warmup

v1 = tf.compat.v1

_SECONDS = 600
_METHODS = {
    'classify': 'tensorflow/serving/classify',
    'regress': 'tensorflow/serving/regress',
}
_INPUTS = {
    'serving_default': ('image_bytes', tf.string),
    'tensor': ('image', tf.uint8),
    'examples': ('examples', tf.string),
    'classify': ('inputs', tf.string),
}
_INPUTS_OF_NUMBERS = {
    'serving_default': ('x', tf.float32),
    'examples': ('examples', tf.string),
    'regress': ('inputs', tf.string),
}


class CheckError(RunError):
    """An export is not what it must be."""


@contextlib.contextmanager
def process():
    """Starts a fresh process for a check, on the CPU, before there is an export.

    It takes as long to load TensorFlow as the export to be written.

    Yields:
      Function (path of the SavedModel) that has it checked, once, and raises a
      `CheckError` if it is not what it must be.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
    with _sigterm_blocked():
        child = subprocess.Popen(
            [sys.executable, '-m', __name__, '-'],
            env={
                **os.environ,
                'PYTHONPATH': os.pathsep.join(paths),
                # The memory of a GPU is the training's.
                'CUDA_VISIBLE_DEVICES': '-1',
                'PYTHONIOENCODING': 'utf-8:backslashreplace',
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A Ctrl-C is for the run, which ends in good order.
            start_new_session=True,
        )
    try:
        yield functools.partial(_have_checked, child)
    finally:
        child.kill()
        child.communicate()


@contextlib.contextmanager
def _sigterm_blocked():
    """A process that is started in here never gets SIGTERM.

    Batch systems send it to all processes of a job: it, too, is for the run.
    """
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _have_checked(child, path):
    try:
        found = child.communicate(os.fsencode(os.path.abspath(path)), _SECONDS)
    except subprocess.TimeoutExpired:
        raise CheckError(f'the check of {path} has not ended in {_SECONDS} s') from None
    if child.returncode:
        lines = found[child.returncode != 1].decode(errors='replace').strip()
        raise CheckError(
            'the export is not what the checkpoint is, and was not made: '
            + (lines or f'the check ended with {child.returncode}')
        )


def check(path, tolerance=None):
    """Checks an export.

    Args:
      path: directory of the SavedModel.
      tolerance: largest difference of a probability; None: what the export says.

    Returns:
      List of str: what was found to be right.

    Raises:
      CheckError: something is wrong.
    """
    path = os.fspath(path)
    file = os.path.join(path, 'assets.extra', check_examples.FILE_NAME)
    if not os.path.exists(file):
        raise CheckError(f'{path} has no {check_examples.FILE_NAME}; export it again')
    records, examples, wanted, usual = _read(file, check_examples.read)
    tolerance = usual if tolerance is None else tolerance
    with tf.Graph().as_default(), v1.Session() as session:
        try:
            meta = v1.saved_model.load(session, ['serve'], path)
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            reason = str(error).strip().partition('\n')[0][:200]
            raise CheckError(f'{path} cannot be loaded: {reason}') from None
        signatures = meta.signature_def
        pictures = examples[0].encoded is not None
        _check_form(signatures, _INPUTS if pictures else _INPUTS_OF_NUMBERS)
        found = [f'signatures: {", ".join(sorted(signatures))}']
        worst = 0.0
        parts = slice(0, 1), slice(0, None)

        def answers(name):
            values = _values(name, records, examples)
            return [_run(session, signatures[name], values[part]) for part in parts]

        # Most of the time a session prepares the graph, for which it takes one thread.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            found_by = {n: pool.submit(answers, n) for n in sorted(signatures)}
        for name, answer in found_by.items():
            for part, got in zip(parts, answer.result(), strict=True):
                here = {n: a[part] for n, a in wanted.items()}
                worst = max(worst, _compare(name, got, here, tolerance))
        found.append(
            f'{len(examples)} examples, the first alone and all together: the same; '
            f'the largest difference is {worst:.1e}'
        )
        if pictures:
            _check_labels(path, wanted)
            _check_refusal(session, signatures['serving_default'], examples)
            found.append('labels; what is no image is refused')
        found.append(f'{_check_warmup(path, session, signatures)} warm-up requests')
    _check_paths(path)
    return [*found, 'no path of this machine in the graph']


def _check_form(signatures, inputs):
    if set(signatures) != set(inputs):
        raise CheckError(
            f'the signatures must be {", ".join(inputs)}; they are '
            + ', '.join(sorted(signatures))
        )
    for name, (key, dtype) in inputs.items():
        signature = signatures[name]
        method = _METHODS.get(name, 'tensorflow/serving/predict')
        if signature.method_name != method:
            raise CheckError(
                f'{name}: the method must be {method}, is {signature.method_name}'
            )
        if list(signature.inputs) != [key]:
            raise CheckError(
                f'{name}: the input must be {key}, is {", ".join(signature.inputs)}'
            )
        if signature.inputs[key].dtype != dtype.as_datatype_enum:
            raise CheckError(f'{name}: the type of {key} must be {dtype.name}')
        for tensor in (signature.inputs[key], *signature.outputs.values()):
            if tensor.tensor_shape.dim[0].size != -1:
                raise CheckError(
                    f'{name}: {tensor.name} must take any number of examples, but '
                    f'takes {tensor.tensor_shape.dim[0].size}'
                )


def _values(signature, records, examples):
    if signature in ('examples', 'classify', 'regress'):
        return np.array(records, object)
    if signature == 'serving_default' and examples[0].encoded is not None:
        return np.array([example.encoded for example in examples], object)
    (name,) = examples[0].features
    return np.stack([example.features[name] for example in examples])


def _reason(error):
    """What an error of a session says, without the names of the nodes."""
    text = getattr(error, 'message', str(error))
    return text.strip().partition('\n\t [[')[0][:400]


def _run(session, signature, values):
    (tensor,) = signature.inputs.values()
    outputs = {name: t.name for name, t in signature.outputs.items()}
    try:
        return session.run(outputs, {tensor.name: values})
    except tf.errors.OpError as error:
        raise CheckError(
            f'{tensor.name} does not take the examples: {_reason(error)}'
        ) from None


def _compare(signature, got, wanted, tolerance):
    """Raises CheckError for a difference; returns the largest of the probabilities."""
    if signature == 'regress':
        got = {'y': got['outputs']}
    elif signature != 'classify' and set(got) != set(wanted):
        raise CheckError(
            f'{signature}: the outputs must be {", ".join(sorted(wanted))}; they are '
            + ', '.join(sorted(got))
        )
    worst = 0.0
    for name, value in got.items():
        want = wanted[name]
        if value.shape != want.shape:
            raise CheckError(
                f'{signature}: the shape of {name} must be {list(want.shape)}, is '
                f'{list(value.shape)}'
            )
        if value.dtype.kind != 'f':
            # Two that are equally probable may change places.
            clear = _clear(name, wanted, value.ndim, tolerance)
            if (value != want)[clear].any():
                raise CheckError(
                    f'{signature}: {name} are {value.tolist()}, those of the '
                    f'checkpoint {want.tolist()}'
                )
            continue
        # Logits and other numbers have no scale of their own.
        scale = 1.0 if name in ('scores', 'probabilities') else _scale(want)
        difference = float(np.abs(value - want).max() / scale)
        if not difference <= tolerance:
            raise CheckError(
                f'{signature}: {name} differ from those of the checkpoint by '
                f'{difference:.1e}, which is more than {tolerance:.0e}'
            )
        worst = max(worst, difference)
    return worst


def _clear(name, wanted, rank, tolerance):
    """bool array: where the next probability is not as good as the same."""
    count = wanted['scores'].shape[1]
    # Of all classes: the first that is not listed may be as good as the last that is.
    ranked = -np.sort(-wanted['probabilities'], axis=1)
    gaps = (-np.diff(ranked, axis=1, append=-1.0) > 2 * tolerance)[:, :count]
    before = np.concatenate([np.ones_like(gaps[:, :1]), gaps[:, :-1]], axis=1)
    return (gaps & before)[:, 0] if rank == 1 else gaps & before


def _scale(values):
    return max(1.0, float(np.abs(values).max()))


def _check_labels(path, wanted):
    with open(os.path.join(path, 'assets.extra', 'labels.txt'), encoding='utf-8') as f:
        labels = f.read().split('\n')[:-1]
    classes, index = wanted['classes'][:, 0], wanted['class_index']
    if len(labels) != wanted['probabilities'].shape[1] or any(
        labels[i] != name.decode() for i, name in zip(index, classes, strict=True)
    ):
        raise CheckError(f'labels.txt has other classes than the graph: {labels}')


def _read(file, read):
    """Reads a file of the export, which may be corrupt or gone."""
    try:
        return read(file)
    except (OSError, LookupError, ValueError, tf.errors.OpError, DecodeError) as error:
        reason = str(error).strip().partition('\n')[0][:200]
        raise CheckError(f'{file} cannot be read: {reason}; export it again') from None


def _check_refusal(session, signature, examples):
    (tensor,) = signature.inputs.values()
    outputs = [t.name for t in signature.outputs.values()]
    try:
        session.run(outputs, {tensor.name: [examples[0].encoded, b'no image']})
    except tf.errors.InvalidArgumentError:
        return
    raise CheckError('serving_default: classifies what is no image')


def _check_warmup(path, session, signatures):
    file = os.path.join(path, 'assets.extra', serving_warmup.FILE_NAME)
    requests = [
        (name or 'serving_default', inputs)  # As Serving takes it.
        for name, inputs in _read(file, serving_warmup.read)
    ]
    for name, inputs in requests:
        if name not in signatures or set(inputs) != set(signatures[name].inputs):
            raise CheckError(
                f'{file} has a request for {name} with {", ".join(sorted(inputs))}; no '
                'signature takes that'
            )
        signature = signatures[name]
        try:
            session.run(
                [t.name for t in signature.outputs.values()],
                {signature.inputs[key].name: value for key, value in inputs.items()},
            )
        except (ValueError, tf.errors.OpError) as error:
            text = f'{file}: {name} refuses a request: {_reason(error)}'
            raise CheckError(text) from None
    missing = set(signatures) - {name for name, _ in requests}
    if missing:
        raise CheckError(f'there are no warm-up requests for {", ".join(missing)}')
    return len(requests)


def _check_paths(path):
    """Raises CheckError for a path of this machine in the graph.

    A class may be called anything, '/m/0k4j' for one, so only directories count that
    there
    are.
    """
    with open(os.path.join(path, 'saved_model.pb'), 'rb') as file:
        graph = file.read()
    here = {os.getcwd(), os.path.expanduser('~'), tempfile.gettempdir()}
    here |= {os.path.abspath(path), os.path.dirname(os.path.abspath(__file__))}
    here |= {sys.prefix, os.path.dirname(os.path.abspath(path))}
    # Without a home, expanduser leaves '~'.
    for directory in sorted(p for p in here - {'/'} if os.path.isabs(p)):
        pattern = rb'(?<![\w.-])' + re.escape(directory.encode()) + rb'(?![\w.-])'
        if re.search(pattern, graph):
            raise CheckError(f'the graph has a path of this machine in it: {directory}')


def main(arguments):
    """Checks the directory that is named, `-` by standard input; returns the exit code."""
    if arguments == ['-']:
        arguments = [os.fsdecode(sys.stdin.buffer.read())]
        if not arguments[0]:  # There has been no export.
            return 0
    try:
        print('\n'.join(check(*arguments)))
    except CheckError as error:
        print(error)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
