"""Limits of a machine: the reference for the speed of programs."""

import os
import threading
import time

import estimator_clf.compat  # noqa: F401  Silences TensorFlow.

import numpy as np
import tensorflow as tf

from estimator_clf.core.hardware import cpu_info, mixed_precision

v1 = tf.compat.v1

# A forward convolution of a favorable shape: images, pixels per side, channels.
_IMAGES, _SIDE, _CHANNELS = 128, 16, 256
_MATRIX = 2048
_FEATURES = ('avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16')


def limits(repetitions=10):
    """Measures the limits; the best of several repetitions.

    Returns:
      dict with cores, processor (its name), features (of its instructions), precision
      (that of `--precision=auto`), tflops (dict what -> TFLOP/s of one kernel on all
      cores) and memory_gb_per_second (a copy on all cores, reading plus writing).
    """
    flop = 2 * _IMAGES * _SIDE**2 * 9 * _CHANNELS**2
    tflops = {}
    for dtype in (tf.bfloat16, tf.float32):
        tflops[f'convolution, {dtype.name}'] = (
            flop / _seconds(_convolution, dtype, repetitions) / 1e12
        )
        tflops[f'matrix product, {dtype.name}'] = (
            2 * _MATRIX**3 / _seconds(_product, dtype, repetitions) / 1e12
        )
    info = cpu_info.facts()
    flags = info.get('flags', '').split()
    return {
        'cores': os.cpu_count(),
        'processor': info.get('model name', 'unknown'),
        'features': ' '.join(name for name in _FEATURES if name in flags),
        'precision': mixed_precision.resolve('auto'),
        'tflops': tflops,
        'memory_gb_per_second': _memory(repetitions),
    }


def _convolution(dtype):
    x = variable('x', (_IMAGES, _SIDE, _SIDE, _CHANNELS), dtype)
    return tf.nn.conv2d(
        x, variable('k', (3, 3, _CHANNELS, _CHANNELS), dtype), 1, 'SAME'
    )


def _product(dtype):
    a, b = (variable(name, (_MATRIX, _MATRIX), dtype) for name in 'ab')
    return tf.matmul(a, b)


def variable(name, shape, dtype):
    """Returns random numbers in a variable, as the operand of a timed operation.

    An operation on constants would be folded while the graph is optimized.
    """
    return v1.get_variable(
        name,
        initializer=tf.cast(tf.random.normal(shape), dtype),
        use_resource=True,
    ).read_value()


def _seconds(build, dtype, repetitions):
    """Minimum time of one run of a kernel."""
    with tf.Graph().as_default(), v1.Session() as session:
        op = build(dtype).op
        session.run(v1.global_variables_initializer())
        times = []
        for _ in range(2 + repetitions):
            begin = time.perf_counter()
            session.run(op)
            times.append(time.perf_counter() - begin)
    return min(times[2:])


def _memory(repetitions):
    """GB/s of copying arrays larger than the caches, on all cores at once."""
    size = 2**27
    pairs = [
        (np.ones(size, np.uint8), np.zeros(size, np.uint8))
        for _ in range(min(os.cpu_count(), 16))
    ]
    best = float('inf')
    for _ in range(1 + repetitions):
        threads = [
            threading.Thread(target=np.copyto, args=(target, source))
            for source, target in pairs
        ]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = min(best, time.perf_counter() - begin)
    return 2 * size * len(pairs) / best / 1e9
