"""How fast pictures are read: here, and by those that people would take instead.

    python -m benchmarks.input --data_dir=dogscats --cifar=cifar-10-batches-bin \\
        --torch_python=VENV/bin/python --json=out.json

Four workloads; photos are those of DATA_DIR/train, in batches of 32 at 224x224:

    crop    read, decode, random-resized crop (a quarter of the area or more), flip
    resize  read, decode, resize, in shuffled order
    cached  the same, decoded pictures kept in memory, epochs after the first
    cifar   CIFAR-10 in memory, batches of 512: flip, crop by 4 pixels, cutout of 8,
            brightness, contrast and saturation by 0.2

and these programs, each in a process of its own, in turns:

    ours              what `launch.train` reads by: uint8
    decode            the limit: `tf.io.decode_jpeg` of bytes in memory on all cores
    keras             keras.utils.image_dataset_from_directory: float32; cached with
                      .cache(), which gives the first epoch's batches again and again;
                      for cifar Keras's preprocessing layers in `map`
    keras_reshuffled  cached picture by picture and shuffled anew each epoch, as ours
    torch_N           PyTorch's DataLoader with N workers and Pillow: uint8
    tutorial          list_files, map, batch, prefetch, as in TensorFlow's guides
    tutorial_parallel the same, with num_parallel_calls

Ours takes the largest middle window in the aspect wanted, the others squeeze the whole
photo. Warm-up (imports, the first batches, the first epoch of `cached`) comes before
the clock starts. Printed are pictures/s (n, median, least and most), the ratios ours /
peer of each round, and the milliseconds of a core that a picture takes (median), which
a machine that is shared with others does not stretch as much; of PyTorch's workers that
is not known. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from estimator_clf import provenance

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

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
    """Runs all programs in turn and prints how fast they were."""
    options = parser().parse_args(arguments)
    if options.child:
        from benchmarks.input_run import measure  # Which costs seconds.

        print(json.dumps(measure(options)))
        return
    runs = []
    for number in range(options.repetitions):
        for workload in options.workloads.split(','):
            for program in programs(options, workload):
                run = {'workload': workload, 'program': program}
                run.update(child(options, workload, program))
                runs.append(run)
                print(
                    f'{number + 1}/{options.repetitions} {workload:6} {program:17} '
                    f'{run["pictures_per_second"]:9.0f} pictures/s',
                    flush=True,
                )
    report = {
        'settings': vars(options),
        **provenance.collect(),
        'processor': processor(),
        'speeds': speeds(runs),
        'ratios': ratios(runs),
        'core_milliseconds': core_milliseconds(runs),
        'runs': runs,
    }
    print_report(report)
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump(report, file, indent=1)


def parser():
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    made.add_argument('--data_dir', default='', help='with train/CLASS/*.jpg')
    made.add_argument('--cifar', default='', help='CIFAR-10, the binary files')
    made.add_argument('--torch_python', default='', help='Python with PyTorch, Pillow')
    made.add_argument('--repetitions', type=int, default=5, help='runs of each')
    made.add_argument('--seconds', type=float, default=5.0, help='of each run')
    made.add_argument('--workloads', default=','.join(WORKLOADS))
    made.add_argument('--programs', default='', help='only these; default: all')
    made.add_argument('--json', default='', help='file for everything measured')
    made.add_argument('--child', default='', help=argparse.SUPPRESS)
    made.add_argument('--workload', default='', help=argparse.SUPPRESS)
    return made


def programs(options, workload):
    """Returns the programs to run; those of PyTorch only if there is one."""
    wanted = options.programs.split(',') if options.programs else WORKLOADS[workload]
    return [
        program
        for program in WORKLOADS[workload]
        if program in wanted
        and (options.torch_python or not program.startswith('torch'))
    ]


def child(options, workload, program):
    """Runs one program in a process of its own; returns what it measured."""
    command = [sys.executable, '-m', 'benchmarks.input']
    if program.startswith('torch'):
        command = [options.torch_python, '-m', 'benchmarks.input_torch']
    command += [f'--child={program}', f'--workload={workload}']
    command += [f'--seconds={options.seconds}', f'--data_dir={options.data_dir}']
    if not program.startswith('torch'):
        command += [f'--cifar={options.cifar}']
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f'{workload} {program} failed, see above')
    return json.loads(done.stdout.splitlines()[-1])


def processor():
    """Returns the name of the processor, as Linux tells it."""
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            facts = dict(line.split(':', 1) for line in file if ':' in line)
    except OSError:
        return 'unknown'
    return {name.strip(): fact.strip() for name, fact in facts.items()}.get(
        'model name', 'unknown'
    )


def speeds(runs):
    """Returns dict workload -> dict program -> n, median, least, most pictures/s."""
    found = {}
    for run in runs:
        of_workload = found.setdefault(run['workload'], {})
        of_workload.setdefault(run['program'], []).append(run['pictures_per_second'])
    return {
        workload: {program: summary(values) for program, values in programs.items()}
        for workload, programs in found.items()
    }


def ratios(runs):
    """Compares ours with each peer, round by round.

    Returns:
      dict workload -> dict peer -> dict with n, median, least, most of ours / peer.
    """
    found = {}
    for workload, programs in speeds(runs).items():
        values = {
            program: [
                run['pictures_per_second']
                for run in runs
                if (run['workload'], run['program']) == (workload, program)
            ]
            for program in programs
        }
        ours = values.pop('ours', [])
        for peer, theirs in values.items():
            pairs = [a / b for a, b in zip(ours, theirs, strict=False)]
            if pairs:
                found.setdefault(workload, {})[peer] = summary(pairs)
    return found


def core_milliseconds(runs):
    """Returns dict workload -> dict program -> median ms of a core per picture."""
    found = {}
    for run in runs:
        if 'cpu_seconds' in run:
            spent = 1000.0 * run['cpu_seconds'] / run['pictures']
            of_workload = found.setdefault(run['workload'], {})
            of_workload.setdefault(run['program'], []).append(spent)
    return {
        workload: {name: statistics.median(spent) for name, spent in programs.items()}
        for workload, programs in found.items()
    }


def summary(values):
    """Returns dict with n, median, least, most."""
    return {
        'n': len(values),
        'median': statistics.median(values),
        'least': min(values),
        'most': max(values),
    }


def print_report(report):
    """Prints speeds and ratios as a table."""
    cores = report['machine']['cpus']
    print(f'\n{report["processor"]}, {cores} cores')
    print(
        'workload program             n   pictures/s (least, most)    core ms'
        '   ours / it'
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
