"""Measures programs against each other in alternating rounds (A B A B …).

Each runs in its own process, which prints a line of JSON at the end. Ratios are taken
within a round, so that slow changes of the machine's speed cancel.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def parser(text, workloads, seconds):
    """Returns the parser of the common arguments.

    Args:
      text: description of the benchmark.
      workloads: dict workload -> names of its programs.
      seconds: default duration of each run.
    """
    made = argparse.ArgumentParser(description=text)
    made.add_argument('--torch_python', default='', help='Python with PyTorch')
    made.add_argument('--repetitions', type=int, default=5, help='runs of each')
    made.add_argument('--seconds', type=float, default=seconds, help='of each run')
    known = ','.join(workloads)
    made.add_argument(
        '--workloads', default=known, type=functools.partial(_some, known)
    )
    made.add_argument('--programs', default='', help='only these; default: all')
    made.add_argument('--json', default='', help='file for everything measured')
    made.add_argument('--child', default='', help=argparse.SUPPRESS)
    made.add_argument('--workload', default='', help=argparse.SUPPRESS)
    return made


def _some(known, text):
    """Checks comma-separated names, which must be among `known`."""
    unknown = set(text.split(',')) - set(known.split(','))
    if unknown:
        raise argparse.ArgumentTypeError(f'must be some of {known}, got {text!r}')
    return text


def programs(options, workloads, workload):
    """Returns the programs to run; those of PyTorch only with a Python for it."""
    known = workloads[workload]
    wanted = options.programs.split(',') if options.programs else known
    return [
        program
        for program in known
        if program in wanted
        and (options.torch_python or not program.startswith('torch'))
    ]


def run_all(options, workloads, command_of):
    """Runs the programs in turns and prints the speed of each.

    Args:
      options: of `parser`.
      workloads: dict workload -> names of its programs.
      command_of: function (workload, program) -> the command, a list.

    Returns:
      List of dicts: workload, program, and the program's results, which have
      'images_per_second'.
    """
    runs = []
    for number in range(options.repetitions):
        for workload in options.workloads.split(','):
            for program in programs(options, workloads, workload):
                run = {'workload': workload, 'program': program}
                run.update(in_a_process(command_of(workload, program)))
                runs.append(run)
                print(
                    f'{number + 1}/{options.repetitions} {workload:6} {program:17} '
                    f'{run["images_per_second"]:9.0f} images/s',
                    flush=True,
                )
    return runs


def in_a_process(command):
    """Runs a command in the project's root; returns the JSON in its last line.

    Raises:
      SystemExit: it failed.
    """
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f'{" ".join(command)} failed, see above')
    return json.loads(done.stdout.splitlines()[-1])


def write(options, report):
    """Writes all results, if --json is given."""
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump(report, file, indent=1)


def speeds(runs):
    """Returns dict workload -> dict program -> `summary` of images/s."""
    return {
        workload: {program: summary(values) for program, values in found.items()}
        for workload, found in _values(runs).items()
    }


def ratios(runs):
    """Compares ours with each peer, round by round.

    Returns:
      dict workload -> dict peer -> `summary` of ours / peer.
    """
    found = {}
    for workload, values in _values(runs).items():
        ours = values.pop('ours', [])
        found[workload] = {
            peer: summary([a / b for a, b in zip(ours, theirs, strict=False)])
            for peer, theirs in values.items()
            if ours
        }
    return found


def summary(values):
    """Returns dict with n, median, least, most."""
    return {
        'n': len(values),
        'median': statistics.median(values),
        'least': min(values),
        'most': max(values),
    }


def _values(runs):
    """dict workload -> dict program -> list of images/s, one per round."""
    found = {}
    for run in runs:
        values = found.setdefault(run['workload'], {}).setdefault(run['program'], [])
        values.append(run['images_per_second'])
    return found
