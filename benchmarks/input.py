"""Speed of reading images: here, and by alternatives.

    python -m benchmarks.input --data_dir=dogscats --cifar=cifar-10-batches-bin \\
        --torch_python=VENV/bin/python --json=out.json

Four workloads; photos are in DATA_DIR/train, in batches of 32 at 224x224:

    crop    read, decode, random-resized crop (a quarter of the area or more), flip
    resize  read, decode, resize, in shuffled order
    cached  the same, decoded images cached in memory, epochs after the first
    cifar   CIFAR-10 in memory, batches of 512: flip, crop by 4 pixels, cutout of 8,
            brightness, contrast and saturation by 0.2

and these programs, each in its own process, in turns:

    ours              the input pipeline of `launch.train`: uint8
    decode            the limit: `tf.io.decode_jpeg` of bytes in memory on all cores
    keras             keras.utils.image_dataset_from_directory: float32; cached with
                      .cache(), which repeats the batches of the first epoch;
                      for cifar Keras's preprocessing layers in `map`
    keras_reshuffled  cached by image and shuffled again each epoch, as ours
    torch_N           PyTorch's DataLoader with N workers and Pillow: uint8
    tutorial          list_files, map, batch, prefetch, as in TensorFlow's guides
    tutorial_parallel the same, with num_parallel_calls

Ours crops the largest central window of the target aspect ratio, the others distort the
whole photo. Warm-up (imports, the first batches, the first epoch of `cached`) is not
timed. Prints images/s (n, median, min and max), the ratios ours / peer of each round,
and the milliseconds of one core per image (median), which depend less on other work on
the machine; for PyTorch's workers they are unknown. Requires an idle machine.
"""

import functools
import json
import os
import statistics
import sys

from benchmarks import rounds
from estimator_clf.core import provenance
from estimator_clf.core.hardware import cpu_info

_CORES = os.cpu_count() or 1
_TORCH = tuple(f'torch_{n}' for n in (0, _CORES, 2 * _CORES))

# workload -> programs
WORKLOADS = {
    'crop': ('ours', 'decode'),
    'resize': ('ours', 'keras', *_TORCH, 'tutorial', 'tutorial_parallel'),
    'cached': ('ours', 'keras', 'keras_reshuffled'),
    'cifar': ('ours', 'keras'),
}


def main(arguments):
    """Runs all programs in turns and prints their speeds."""
    options = parser().parse_args(arguments)
    if options.child:
        from benchmarks.input_run import measure  # Takes seconds.

        print(json.dumps(measure(options)))
        return
    _check(options)
    runs = rounds.run_all(options, WORKLOADS, functools.partial(_command, options))
    report = {
        'settings': vars(options),
        **provenance.collect(),
        'processor': cpu_info.facts().get('model name', 'unknown'),
        'speeds': rounds.speeds(runs),
        'ratios': rounds.ratios(runs),
        'core_milliseconds': core_milliseconds(runs),
        'runs': runs,
    }
    print_report(report)
    rounds.write(options, report)


def _check(options):
    wanted = set(options.workloads.split(','))
    train = os.path.join(options.data_dir, 'train')
    if wanted - {'cifar'} and not os.path.isdir(train):
        sys.exit(
            f'--data_dir={options.data_dir} must be a directory with '
            'train/CLASS/*.jpg; without one: --workloads=cifar'
        )
    if 'cifar' in wanted and not os.path.isdir(options.cifar):
        sys.exit(
            f'--cifar={options.cifar} must be the directory of CIFAR-10, the binary '
            'files; without it: --workloads=crop,resize,cached'
        )


def parser():
    """Returns the parser of the command line."""
    made = rounds.parser(__doc__.partition('\n')[0], WORKLOADS, 5.0)
    made.add_argument('--data_dir', default='', help='with train/CLASS/*.jpg')
    made.add_argument('--cifar', default='', help='CIFAR-10, the binary files')
    return made


def _command(options, workload, program):
    """Returns the command that measures one program."""
    command = [sys.executable, '-m', 'benchmarks.input']
    if program.startswith('torch'):
        command = [options.torch_python, '-m', 'benchmarks.input_torch']
    command += [f'--child={program}', f'--workload={workload}']
    command += [f'--seconds={options.seconds}', f'--data_dir={options.data_dir}']
    if not program.startswith('torch'):
        command += [f'--cifar={options.cifar}']
    return command


def core_milliseconds(runs):
    """Returns dict workload -> dict program -> median ms of a core per image."""
    found = {}
    for run in runs:
        if 'cpu_seconds' in run:
            spent = 1000.0 * run['cpu_seconds'] / run['images']
            of_workload = found.setdefault(run['workload'], {})
            of_workload.setdefault(run['program'], []).append(spent)
    return {
        workload: {name: statistics.median(spent) for name, spent in programs.items()}
        for workload, programs in found.items()
    }


def print_report(report):
    """Prints speeds and ratios as a table."""
    cores = report['machine']['cpus']
    print(f'\n{report["processor"]}, {cores} cores')
    print(
        'workload program             n   images/s (least, most)    core ms   ours / it'
    )
    for workload, of_workload in report['speeds'].items():
        for program, speed in of_workload.items():
            line = (
                f'{workload:8} {program:17} {speed["n"]:3} {speed["median"]:9.0f} '
                f'({speed["least"]:.0f}, {speed["most"]:.0f})'
            )
            spent = report['core_milliseconds'].get(workload, {}).get(program)
            line = f'{line:57} ' + (f'{spent:8.4f}' if spent else ' ' * 8)
            ratio = report['ratios'].get(workload, {}).get(program)
            if ratio:
                line += (
                    f' {ratio["median"]:7.2f} '
                    f'({ratio["least"]:.2f}, {ratio["most"]:.2f})'
                )
            print(line.rstrip())


if __name__ == '__main__':
    main(sys.argv[1:])
