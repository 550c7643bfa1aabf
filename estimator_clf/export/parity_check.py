"""Parity check: compares an export with its checkpoint, in a separate process.

    python -m estimator_clf.export.parity_check DIR

Loads the SavedModel with TensorFlow Serving's loader, without the code of the network,
runs the examples of `assets.extra/check.tfrecord` through every signature, and compares
the outputs with the predictions in that file.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from estimator_clf.core import spawn
from estimator_clf.core.errors import RunError, is_out_of_memory
from estimator_clf.export import check_examples, serving_warmup
from estimator_clf.export.check_examples import CheckExample

v1 = tf.compat.v1

_TIMEOUT = 600  # Seconds.
_NO_MEMORY = 3  # Exit code of the process.
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
_REGRESSION_INPUTS = {
    'serving_default': ('x', tf.float32),
    'examples': ('examples', tf.string),
    'regress': ('inputs', tf.string),
}


class CheckError(RunError):
    """An export that is invalid or differs from its checkpoint."""


@contextlib.contextmanager
def process() -> Iterator[Callable[[str], None]]:
    """Starts a fresh process for a check on the CPU, before the export exists.

    Loading TensorFlow takes it as long as writing the export, so both run in parallel.

    Yields:
      Function that checks the SavedModel at a path, once, and raises `CheckError` if
      the check fails.
    """
    environment = {
        **spawn.module_environment(),
        # The GPU memory belongs to the training process.
        'CUDA_VISIBLE_DEVICES': '-1',
        'PYTHONIOENCODING': 'utf-8:backslashreplace',
    }
    with _sigterm_blocked():
        child = start_process(environment)
    try:
        yield functools.partial(_run_check, child)
    finally:
        child.kill()
        child.communicate()


def start_process(environment: dict[str, str]) -> subprocess.Popen:
    """Starts a process that checks the SavedModel whose path is its standard input.

    Args:
      environment: its environment variables.
    """
    return subprocess.Popen(
        spawn.module_command(__name__, '-'),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C must reach only the run, which shuts down gracefully.
        start_new_session=True,
    )


@contextlib.contextmanager
def _sigterm_blocked() -> Iterator[None]:
    """Makes processes that are started inside ignore SIGTERM.

    Batch systems send it to all processes of a job; only the run must react.
    """
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_check(child: subprocess.Popen, path: str) -> None:
    try:
        streams = child.communicate(os.fsencode(os.path.abspath(path)), _TIMEOUT)
    except subprocess.TimeoutExpired:
        raise CheckError(
            f'the parity check of {path} did not finish in {_TIMEOUT} s'
        ) from None
    if child.returncode == _NO_MEMORY:
        raise MemoryError(f'the parity check of {path}')
    if child.returncode:
        found, log = (stream.decode(errors='replace').strip() for stream in streams)
        # An exception that nothing catches is 1, too.
        if child.returncode == 1 and found:
            raise CheckError(
                f'the export differs from the checkpoint and was discarded: {found}'
            )
        raise CheckError(
            'the export was discarded, since the process that compares it with the '
            f'checkpoint exited with {child.returncode}: {log or "without a message"}'
        )


def check(path: str | os.PathLike[str], tolerance: float | None = None) -> list[str]:
    """Checks an export.

    Args:
      path: directory of the SavedModel.
      tolerance: maximum difference of a probability; None: the value in the export.

    Returns:
      Descriptions of the passed checks.

    Raises:
      CheckError: a check failed.
    """
    path = os.fspath(path)
    file = os.path.join(path, 'assets.extra', check_examples.FILE_NAME)
    if not os.path.exists(file):
        raise CheckError(f'{path} has no {check_examples.FILE_NAME}; export it again')
    records, examples, expected, default = _read(file, check_examples.read)
    tolerance = default if tolerance is None else tolerance
    with tf.Graph().as_default(), v1.Session() as session:
        try:
            meta = v1.saved_model.load(session, ['serve'], path)
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).strip().partition('\n')[0][:200]
            raise CheckError(f'{path} cannot be loaded: {reason}') from None
        signatures = meta.signature_def
        has_images = examples[0].encoded is not None
        _check_signatures(signatures, _INPUTS if has_images else _REGRESSION_INPUTS)
        passed = [f'signatures: {", ".join(sorted(signatures))}']
        worst = 0.0
        batches = slice(0, 1), slice(0, None)

        def outputs_of(name):
            inputs = _inputs(name, records, examples)
            return [_run(session, signatures[name], inputs[batch]) for batch in batches]

        # The first run of a signature mostly prepares the graph, in a single thread.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = {n: pool.submit(outputs_of, n) for n in sorted(signatures)}
        for name, future in futures.items():
            for batch, outputs in zip(batches, future.result(), strict=True):
                wanted = {n: a[batch] for n, a in expected.items()}
                worst = max(worst, _compare(name, outputs, wanted, tolerance))
        passed.append(
            f'predictions: {len(examples)} examples, the first alone and all together; '
            f'maximum difference {worst:.1e}'
        )
        if has_images:
            _check_labels(path, expected)
            _check_refusal(session, signatures['serving_default'], examples)
            passed.append('labels; invalid images are refused')
        passed.append(f'{_check_warmup(path, session, signatures)} warm-up requests')
    _check_paths(path)
    return [*passed, 'no paths of this machine in the graph']


def _check_signatures(
    signatures: Mapping[str, Any], inputs: Mapping[str, tuple[str, tf.DType]]
) -> None:
    if set(signatures) != set(inputs):
        raise CheckError(
            f'the signatures must be {", ".join(inputs)}, got '
            + ', '.join(sorted(signatures))
        )
    for name, (key, dtype) in inputs.items():
        signature = signatures[name]
        method = _METHODS.get(name, 'tensorflow/serving/predict')
        if signature.method_name != method:
            raise CheckError(
                f'{name}: the method must be {method}, got {signature.method_name}'
            )
        if list(signature.inputs) != [key]:
            raise CheckError(
                f'{name}: the input must be {key}, got {", ".join(signature.inputs)}'
            )
        if signature.inputs[key].dtype != dtype.as_datatype_enum:
            raise CheckError(f'{name}: the dtype of {key} must be {dtype.name}')
        for tensor in (signature.inputs[key], *signature.outputs.values()):
            if tensor.tensor_shape.dim[0].size != -1:
                raise CheckError(
                    f'{name}: the batch size of {tensor.name} must be variable, got '
                    f'{tensor.tensor_shape.dim[0].size}'
                )


def _inputs(
    signature: str, records: list[bytes], examples: Sequence[CheckExample]
) -> np.ndarray:
    if signature in ('examples', 'classify', 'regress'):
        return np.array(records, object)
    if signature == 'serving_default' and examples[0].encoded is not None:
        return np.array([example.encoded for example in examples], object)
    (name,) = examples[0].features
    return np.stack([example.features[name] for example in examples])


def _reason(error: Exception) -> str:
    """Returns the message of a session error without the names of the nodes."""
    text = getattr(error, 'message', str(error))
    return text.strip().partition('\n\t [[')[0][:400]


def _run(session: Any, signature: Any, values: np.ndarray) -> dict[str, np.ndarray]:
    (tensor,) = signature.inputs.values()
    outputs = {name: t.name for name, t in signature.outputs.items()}
    try:
        return session.run(outputs, {tensor.name: values})
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise
        raise CheckError(
            f'{tensor.name} does not accept the examples: {_reason(error)}'
        ) from None


def _compare(
    signature: str,
    got: dict[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    tolerance: float,
) -> float:
    """Compares outputs with expected ones; returns the maximum difference.

    Raises:
      CheckError: a difference exceeds the tolerance.
    """
    if signature == 'regress':
        got = {'y': got['outputs']}
    elif signature != 'classify' and set(got) != set(expected):
        raise CheckError(
            f'{signature}: the outputs must be {", ".join(sorted(expected))}, got '
            + ', '.join(sorted(got))
        )
    worst = 0.0
    for name, value in got.items():
        want = expected[name]
        if value.shape != want.shape:
            raise CheckError(
                f'{signature}: the shape of {name} must be {list(want.shape)}, got '
                f'{list(value.shape)}'
            )
        if value.dtype.kind != 'f':
            # Equally probable classes may be in any order.
            distinct = _is_distinct(expected, value.ndim, tolerance)
            if (value != want)[distinct].any():
                raise CheckError(
                    f'{signature}: {name} must be {want.tolist()} as from the '
                    f'checkpoint, got {value.tolist()}'
                )
            continue
        # Logits and regression outputs have an arbitrary scale.
        scale = 1.0 if name in ('scores', 'probabilities') else _scale(want)
        difference = float(np.abs(value - want).max() / scale)
        if not difference <= tolerance:
            raise CheckError(
                f'{signature}: {name} differ from those of the checkpoint by '
                f'{difference:.1e}, more than the tolerance {tolerance:.0e}'
            )
        worst = max(worst, difference)
    return worst


def _is_distinct(
    expected: Mapping[str, np.ndarray], rank: int, tolerance: float
) -> np.ndarray:
    """Returns whether each listed probability differs from both of its neighbors."""
    count = expected['scores'].shape[1]
    # Over all classes, since the last listed class may tie with the first unlisted one.
    ranked = -np.sort(-expected['probabilities'], axis=1)
    gaps = (-np.diff(ranked, axis=1, append=-1.0) > 2 * tolerance)[:, :count]
    before = np.concatenate([np.ones_like(gaps[:, :1]), gaps[:, :-1]], axis=1)
    return (gaps & before)[:, 0] if rank == 1 else gaps & before


def _scale(values: np.ndarray) -> float:
    return max(1.0, float(np.abs(values).max()))


def _check_labels(path: str, expected: Mapping[str, np.ndarray]) -> None:
    with open(os.path.join(path, 'assets.extra', 'labels.txt'), encoding='utf-8') as f:
        labels = f.read().split('\n')[:-1]
    classes, index = expected['classes'][:, 0], expected['class_index']
    if len(labels) != expected['probabilities'].shape[1] or any(
        labels[i] != name.decode() for i, name in zip(index, classes, strict=True)
    ):
        raise CheckError(f'labels.txt must have the classes of the graph, got {labels}')


def _read(file: str, read: Callable[[str], Any]) -> Any:
    """Reads a file of the export; a corrupt or missing file is a CheckError."""
    try:
        return read(file)
    except (OSError, LookupError, ValueError, tf.errors.OpError, DecodeError) as error:
        reason = str(error).strip().partition('\n')[0][:200]
        raise CheckError(f'{file} cannot be read: {reason}; export it again') from None


def _check_refusal(
    session: Any, signature: Any, examples: Sequence[CheckExample]
) -> None:
    (tensor,) = signature.inputs.values()
    outputs = [t.name for t in signature.outputs.values()]
    try:
        session.run(outputs, {tensor.name: [examples[0].encoded, b'no image']})
    except tf.errors.InvalidArgumentError:
        return
    raise CheckError('serving_default must refuse bytes that are not an image')


def _check_warmup(path: str, session: Any, signatures: Mapping[str, Any]) -> int:
    file = os.path.join(path, 'assets.extra', serving_warmup.FILE_NAME)
    requests = [
        (name or 'serving_default', inputs)  # Serving's default.
        for name, inputs in _read(file, serving_warmup.read)
    ]
    for name, inputs in requests:
        if name not in signatures or set(inputs) != set(signatures[name].inputs):
            raise CheckError(
                f'{file} has a request for {name} with {", ".join(sorted(inputs))}, '
                'which no signature accepts'
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
        raise CheckError(f'no warm-up requests for {", ".join(missing)}')
    return len(requests)


def _check_paths(path: str) -> None:
    """Raises CheckError for a path of this machine in the graph.

    Only existing directories count, since class names can look like paths, for example
    '/m/0k4j'.
    """
    with open(os.path.join(path, 'saved_model.pb'), 'rb') as file:
        graph = file.read()
    directories = {os.getcwd(), os.path.expanduser('~'), tempfile.gettempdir()}
    directories |= {os.path.abspath(path), os.path.dirname(os.path.abspath(__file__))}
    directories |= {sys.prefix, os.path.dirname(os.path.abspath(path))}
    # Without a home directory, expanduser returns '~'.
    for directory in sorted(p for p in directories - {'/'} if os.path.isabs(p)):
        pattern = rb'(?<![\w.-])' + re.escape(directory.encode()) + rb'(?![\w.-])'
        if re.search(pattern, graph):
            raise CheckError(
                f'the graph must not contain paths of this machine, but has {directory}'
            )


def main(arguments: list[str]) -> int:
    """Checks the directory in `arguments`, or on standard input for `-`.

    Returns:
      The exit code.
    """
    if arguments == ['-']:
        arguments = [os.fsdecode(sys.stdin.buffer.read())]
        if not arguments[0]:  # The export failed before the check.
            return 0
    try:
        print('\n'.join(check(arguments[0])))
    except CheckError as error:
        print(error)
        return 1
    except Exception as error:
        if is_out_of_memory(error):
            return _NO_MEMORY
        raise
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
