"""Runs `launch.train` for experiments that compare several runs."""

import argparse
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def train(flagfile, data_dir, model_dir, seed, *flags):
    """Trains a flagfile to its end; resumes an interrupted run.

    Args:
      flagfile: name of a file in launch/flagfiles, without extension.
      data_dir: of the data.
      model_dir: of the run.
      seed: its seed.
      *flags: more flags, such as '--warm_start=…'.

    Raises:
      SystemExit: the run failed.
    """
    command = [sys.executable, '-m', 'launch.train']
    command += [f'--flagfile=launch/flagfiles/{flagfile}.flags']
    command += [f'--data_dir={os.path.abspath(data_dir)}']
    command += [f'--model_dir={os.path.abspath(model_dir)}', f'--seed={seed}']
    command += ['--noexport', *flags]
    print(' '.join(command), file=sys.stderr)
    done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr)
    if done.returncode:
        sys.exit(f'the run in {model_dir} failed with {done.returncode}')


def print_gains(name, runs, base, others):
    """Prints the gain of runs over others with the same seeds.

    Args:
      name: name of the runs.
      runs: their accuracies, one per seed.
      base: name of the others.
      others: their accuracies.
    """
    gains = [ours - theirs for ours, theirs in zip(runs, others, strict=True)]
    print(
        f'{name} over {base}: median {statistics.median(gains):+.4f}, '
        f'from {min(gains):+.4f} to {max(gains):+.4f}, n = {len(gains)}'
    )


def parser(text, seeds):
    """Returns the parser of the arguments of an experiment.

    Args:
      text: its description.
      seeds: default number of seeds.
    """
    found = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument('--data_dir', required=True, help='directory of the data')
    found.add_argument('--runs', required=True, help='parent of the model_dirs')
    found.add_argument('--seeds', type=int, default=seeds, help='number of seeds')
    found.add_argument('flags', nargs='*', help='after --: more flags for all runs')
    return found
