"""One run of `benchmarks/evaluation.py`, in its own process."""

import os
import tempfile
import time

from estimator_clf.compat import estimator

import numpy as np

from estimator_clf.core.hardware import devices
from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.training.data.datasets import open_source
from estimator_clf.training.models import build_model_fn
from estimator_clf.training.trainer import train_and_evaluate
from input.formats.arrays import from_arrays
from launch import flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def measure(options):
    """Runs one program; returns dict of seconds, memory and the last accuracy."""
    devices.set_up('cpu')
    with tempfile.TemporaryDirectory() as model_dir:
        config = settings(options, model_dir)
        source = open_data(options, config)
        assert source.info.mean  # Computed before the clock starts.
        clock = Clock()
        begin, cpu = time.perf_counter(), time.process_time()
        run = {'here': run_here, 'stock': run_stock}[options.child]
        accuracy = run(config, source, clock)
        seconds = time.perf_counter() - begin
        cpu = time.process_time() - cpu
    assert len(clock.memory) == options.evaluations
    return {
        'seconds': seconds,
        'evaluation_seconds': clock.seconds,
        'other_seconds': seconds - clock.seconds,
        'cpu_seconds': cpu,
        'resident_kilobytes': clock.memory,
        'accuracy': float(accuracy),
    }


def settings(options, model_dir):
    """Returns the `Config` of the flagfile, with other lengths and directories."""
    flags.define_config()
    flagfile = os.path.join(ROOT, 'launch', 'flagfiles', 'cifar10_cnn.flags')
    flags.FLAGS(['evaluation', f'--flagfile={flagfile}'])
    return flags.config_from_flags(
        data_dir=options.data_dir,
        model_dir=model_dir,
        epochs=0.0,
        max_steps=options.steps * options.evaluations,
        save_every=str(options.steps),
        eval_every=str(options.steps),
        eval_plots=False,
        export=False,
    )


def open_data(options, config):
    """Opens CIFAR-10, or generates random images."""
    if not options.generated:
        return open_source(config)
    rng = np.random.default_rng(0)
    count = max(options.generated, config.batch_size)
    pixels = rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(count, dtype=np.int32) % 10
    splits = {'train': (pixels, labels), 'test': (pixels, labels)}
    return from_arrays(splits, [str(n) for n in range(10)], name='generated')


class Clock:
    """Sums the time of evaluations and records the memory after each.

    Attributes:
      seconds: float.
      memory: list of resident memory in kB.
    """

    def __init__(self):
        self.seconds, self.memory = 0.0, []

    def around(self, function, evaluates=True):
        """Returns the function, timed."""

        def timed(*args, **kwargs):
            begin = time.perf_counter()
            result = function(*args, **kwargs)
            self.seconds += time.perf_counter() - begin
            if evaluates:
                self.memory.append(resident_kilobytes())
            return result

        return timed


def resident_kilobytes():
    """Returns the resident memory of this process (VmRSS of Linux)."""
    with open('/proc/self/status', encoding='utf-8') as file:
        (line,) = (text for text in file if text.startswith('VmRSS:'))
    return int(line.split()[1])


def run_here(config, source, clock):
    """Trains and evaluates with the loop of this project."""
    Evaluator.evaluate = clock.around(Evaluator.evaluate)
    # Builds the graph, before training.
    Evaluator.metric_names = clock.around(Evaluator.metric_names, evaluates=False)
    results = train_and_evaluate(config, source=source)
    return results.metrics['test']['accuracy']


def run_stock(config, source, clock):
    """Trains and evaluates with Estimator's loop, as in its documentation."""
    model_fn = build_model_fn(config, source.info, config.run.max_steps)
    batch_size = config.batch_size
    classifier = estimator.Estimator(
        model_fn,
        config.run.model_dir,
        estimator.RunConfig(save_checkpoints_steps=int(config.run.save_every)),
    )
    classifier.evaluate = clock.around(classifier.evaluate)
    train = source.input_fn(
        'train',
        batch_size,
        training=True,
        seed=config.run.seed,
        augment=config.data.augment,
    )
    metrics, _ = estimator.train_and_evaluate(
        classifier,
        estimator.TrainSpec(train, config.run.max_steps),
        estimator.EvalSpec(
            source.input_fn('test', batch_size),
            steps=None,
            start_delay_secs=0,
            throttle_secs=0,
        ),
    )
    return metrics['accuracy']
