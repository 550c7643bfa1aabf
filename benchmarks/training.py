"""Speed of training: here, and with alternatives.

    python -m benchmarks.training --torch_python=VENV/bin/python --json=out.json

Three workloads, on random images in memory:

    cifar   the network of launch/flagfiles/cifar10_94.flags, batches of 512 images of
            32x32x3, in bfloat16 where the processor supports it
    linear  MNIST's softmax regression, batches of 100 images of 28x28x1
    cnn     MNIST's two convolutions and two dense layers, batches of 100

and these programs, each in its own process, in turns:

    ours          `launch.train` with augmentation, hooks, summaries, the log
    stock         Estimator's own loop, the input_fn of the tutorials, float32
    keras         Keras 3 `fit` on TensorFlow, mixed_bfloat16, steps_per_execution
    keras_jit     the same with jit_compile=True
    torch         PyTorch, channels_last, bfloat16 autocast
    torch_compile the same with torch.compile

The peers consist of the training step and its input, without augmentation. Warm-up
(imports, building, compiling, the first steps) is not timed. Prints images/s of each
(n, median, min and max), the ratios ours / peer of each round, and the limits of the
machine. Requires an idle machine.
"""

import functools
import json
import sys

from benchmarks import rounds
from estimator_clf.core import provenance

# workload -> programs
WORKLOADS = {
    'cifar': ('ours', 'keras', 'keras_jit', 'torch', 'torch_compile'),
    'linear': ('ours', 'stock', 'keras', 'keras_jit'),
    'cnn': ('ours', 'stock', 'keras', 'keras_jit', 'torch', 'torch_compile'),
}
BATCH = {'cifar': 512, 'linear': 100, 'cnn': 100}

# Convolutions of the network for 94 %: pixels, input and output channels, evaluations
# per step: all but the first have two gradients. The rest of the network is negligible.
CONVOLUTIONS = (
    (31 * 31, 24, 64, 2),
    (15 * 15, 64, 64, 3),
    (15 * 15, 64, 256, 3),
    (7 * 7, 256, 256, 3),
    (7 * 7, 256, 256, 3),
    (3 * 3, 256, 256, 3),
)
FLOP_PER_IMAGE = sum(
    2 * 9 * pixels * inputs * outputs * times
    for pixels, inputs, outputs, times in CONVOLUTIONS
)


def main(arguments):
    """Runs all programs in turns and prints their speeds."""
    options = parser().parse_args(arguments)
    if options.child:
        from benchmarks.training_run import measure  # Takes seconds.

        print(json.dumps(measure(options)))
        return
    limits = rounds.in_a_process(_command(options, '', 'limits'))
    print_limits(limits)
    runs = rounds.run_all(options, WORKLOADS, functools.partial(_command, options))
    report = {
        'settings': vars(options),
        **provenance.collect(),
        'limits': limits,
        'speeds': rounds.speeds(runs),
        'ratios': rounds.ratios(runs),
        'runs': runs,
    }
    print_report(report)
    rounds.write(options, report)


def parser():
    """Returns the parser of the command line."""
    made = rounds.parser(__doc__.partition('\n')[0], WORKLOADS, 15.0)
    made.add_argument('--batch_size', type=int, help='in place of the default')
    made.add_argument('--conv_gradients', default='auto', help='of ours')
    return made


def _command(options, workload, program):
    """Returns the command that measures one program."""
    batch = options.batch_size or BATCH.get(workload, 0)
    command = [sys.executable, '-m', 'benchmarks.training']
    if program.startswith('torch'):
        command = [options.torch_python, '-m', 'benchmarks.training_torch']
    command += [f'--child={program}', f'--workload={workload}', f'--batch_size={batch}']
    command += [f'--seconds={options.seconds}']
    if program == 'ours':
        command += [f'--conv_gradients={options.conv_gradients}']
    return command


def print_limits(limits):
    """Prints the limits of the machine."""
    print(f'{limits["cores"]} cores, {limits["processor"]}: {limits["features"]}')
    for name, value in limits['tflops'].items():
        print(f'{value:8.3f} TFLOP/s  {name}')
    print(f'{limits["memory_gb_per_second"]:8.1f} GB/s     memory, read and written')


def print_report(report):
    """Prints speeds, ratios, and the share of the machine's limit."""
    for workload, found in report['speeds'].items():
        print(f'\n{workload:15} n    median     least      most  images/s')
        for program, of in found.items():
            print(
                f'{program:13} {of["n"]:3} {of["median"]:9.0f} {of["least"]:9.0f} '
                f'{of["most"]:9.0f}'
            )
        print('ours / peer')
        for peer, of in report['ratios'][workload].items():
            print(
                f'{peer:13} {of["n"]:3} {of["median"]:9.2f} {of["least"]:9.2f} '
                f'{of["most"]:9.2f}'
            )
    ours = report['speeds'].get('cifar', {}).get('ours')
    if ours:
        dtype = report['limits']['precision']
        reached = ours['median'] * FLOP_PER_IMAGE / 1e12
        peak = report['limits']['tflops'][f'convolution, {dtype}']
        print(
            f'\ncifar, ours: {reached:.3f} TFLOP/s, {reached / peak:.2f} of what a '
            f'forward convolution of 256 channels reaches in {dtype}'
        )


if __name__ == '__main__':
    main(sys.argv[1:])
