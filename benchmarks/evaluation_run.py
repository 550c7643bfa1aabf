"""One run of `benchmarks/evaluation.py`, in a process of its own: what is measured."""

import os
import tempfile
import time

from estimator_clf.compat import estimator

import numpy as np

from estimator_clf.core import devices
from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.training import factory
from estimator_clf.training.trainer import train_and_evaluate
from input.formats.arrays import from_arrays
from launch import flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def measure(options):
    """Runs one program; returns dict of seconds, memory and the last accuracy."""
    replicas = devices.set_up('cpu')
    with tempfile.TemporaryDirectory() as model_dir:
        config = settings(options, model_dir)
        source = pictures(options, config)
        assert source.info.mean  # Made now, not while the clock runs.
        clock = Clock()
        begin, cpu = time.perf_counter(), time.process_time()
        run = {'here': run_here, 'stock': run_stock}[options.child]
        accuracy = run(config, source, clock, replicas)
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
    """Returns the `Config`: that of the flagfile, but for lengths and places."""
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


def pictures(options, config):
    """Opens CIFAR-10, or makes images up."""
    if not options.generated:
        return factory.open_source(config)
    rng = np.random.default_rng(0)
    count = max(options.generated, config.batch_size)
    images = rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(count, dtype=np.int32) % 10
    splits = {'train': (images, labels), 'test': (images, labels)}
    return from_arrays(splits, [str(n) for n in range(10)], name='generated')


class Clock:
    """Adds up what evaluations take, and notes the memory after each.

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
    """Returns the memory of this process that is in RAM (VmRSS of Linux)."""
    with open('/proc/self/status', encoding='utf-8') as file:
        (line,) = (text for text in file if text.startswith('VmRSS:'))
    return int(line.split()[1])


def run_here(config, source, clock, replicas):
    """Trains and evaluates with the loop of this project."""
    Evaluator.evaluate = clock.around(Evaluator.evaluate)
    # Where the graph is built, before the training.
    Evaluator.metric_names = clock.around(Evaluator.metric_names, evaluates=False)
    results = train_and_evaluate(
        config, source, factory.model_fn_maker(config), lambda info: None, replicas
    )
    return results.metrics['test']['accuracy']


def run_stock(config, source, clock, replicas):
    """Trains and evaluates with Estimator's loop, as its documentation shows it."""
    del replicas
    model_fn = factory.model_fn_maker(config)(source.info, config.max_steps)
    classifier = estimator.Estimator(
        model_fn,
        config.model_dir,
        estimator.RunConfig(save_checkpoints_steps=int(config.save_every)),
    )
    classifier.evaluate = clock.around(classifier.evaluate)
    train = source.input_fn(
        'train',
        config.batch_size,
        training=True,
        seed=config.seed,
        augment=config.augment,
    )
    metrics, _ = estimator.train_and_evaluate(
        classifier,
        estimator.TrainSpec(train, config.max_steps),
        estimator.EvalSpec(
            source.input_fn('test', config.batch_size),
            steps=None,
            start_delay_secs=0,
            throttle_secs=0,
        ),
    )
    return metrics['accuracy']
