"""Speed of the convolutions of the network for 94 %, forward and backward.

    python -m benchmarks.convolution --batch_size=512

Prints, for each convolution, the TFLOP/s of the forward convolution, of TensorFlow's
two gradients, and of those of `model_fns/layers/conv_gradients.py`; and the time of all
gradients of a step for each value of `--conv_gradients`. `auto` is based on these
numbers. Requires an idle machine.
"""

import argparse
import statistics
import time

import estimator_clf.compat  # noqa: F401  Silences TensorFlow.

import tensorflow as tf

from benchmarks.limits import variable
from benchmarks.training import CONVOLUTIONS
from model_fns.layers import conv_gradients
from model_fns.specs import CONV_GRADIENTS

v1 = tf.compat.v1

COMMON_ARGS = {'strides': [1] * 4, 'padding': 'SAME'}


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--batch_size', type=int, default=512)
    parser.add_argument('--dtype', default='bfloat16', choices=('bfloat16', 'float32'))
    parser.add_argument('--repetitions', type=int, default=7)
    options = parser.parse_args()
    names = ('forward', 'filter', 'product', 'input', 'turned')
    print('pixels channels      ' + ''.join(f'{name:>9}' for name in names))
    totals = dict.fromkeys(CONV_GRADIENTS, 0.0)
    for pixels, inputs, outputs, times in CONVOLUTIONS:
        side = round(pixels**0.5)
        flop = 2 * options.batch_size * pixels * 9 * inputs * outputs
        found = measure(options, side, inputs, outputs)
        speeds = ''.join(f'{flop / found[name] / 1e12:9.3f}' for name in names)
        print(f'{side:3}x{side:<2} {inputs:4} to {outputs:<4}  {speeds}', flush=True)
        for kind in totals:
            product = conv_gradients.is_product(kind, side, outputs)
            totals[kind] += found['product' if product else 'filter']
            if times == 3:
                totals[kind] += found['turned' if kind == 'products' else 'input']
    for kind, seconds in totals.items():
        print(f'all gradients, {kind}: {seconds * 1000:.0f} ms')


def measure(options, side, inputs, outputs):
    """Returns the median seconds of each operation by name."""
    dtype, batch = tf.as_dtype(options.dtype), options.batch_size
    margins = ((1, 1), (1, 1))
    found = {}
    with tf.Graph().as_default(), v1.Session(config=_without_rewriting()) as session:
        x = variable('x', (batch, side, side, inputs), dtype)
        dy = variable('dy', (batch, side, side, outputs), dtype)
        kernel = variable('kernel', (3, 3, inputs, outputs), dtype)
        ops = {
            'forward': tf.nn.conv2d(x, kernel, 1, 'SAME'),
            'filter': tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=dy, **COMMON_ARGS
            ),
            'product': conv_gradients.filter_gradient(x, dy, margins),
            'input': tf.raw_ops.Conv2DBackpropInput(
                input_sizes=x.shape, filter=kernel, out_backprop=dy, **COMMON_ARGS
            ),
            'turned': conv_gradients.input_gradient(kernel, dy, margins),
        }
        session.run(v1.global_variables_initializer())
        for name, tensor in ops.items():
            times = []
            for _ in range(2 + options.repetitions):
                begin = time.perf_counter()
                session.run(tensor.op)
                times.append(time.perf_counter() - begin)
            found[name] = statistics.median(times[2:])
    return found


def _without_rewriting():
    config = v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config


if __name__ == '__main__':
    main()
