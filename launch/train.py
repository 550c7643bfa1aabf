"""Trains, evaluates, checkpoints and exports a classifier.

    python -m launch.train --dataset=image_folder --data_dir=DIR --model_dir=RUN
    python -m launch.train --recipe=digits

--recipe=NAME reads a flagfile that comes with the package (launch/flagfiles/).

Killed or interrupted, the same command goes on from the last checkpoint.
"""

import functools
import shlex
import sys
import time

from launch import app, flags


def main(arguments):
    """Trains as the flags say."""
    from estimator_clf.training import factory
    from estimator_clf.training.config_checks import check, unused_settings

    app.no_arguments(arguments)
    config = flags.config_from_flags()
    check(config)
    begin = time.monotonic()

    # From here on it takes TensorFlow, and seconds.
    from estimator_clf.core import devices
    from estimator_clf.training.trainer import train_and_evaluate
    from launch.data_errors import translate_tf_errors
    from launch.terminal import TerminalCallback, metrics_tables

    # Before anything else uses TensorFlow, which settles its devices at first use.
    replicas = devices.set_up(config.device, config.replicas)
    source = factory.open_source(config)
    observer = TerminalCallback()
    wanted, config = config, factory.resolve_auto(config, source)
    for name in ('precision', 'eval_precision', 'class_weights'):
        if getattr(config, name) != getattr(wanted, name):
            observer.on_message(
                f'--{name}={getattr(wanted, name)}: {getattr(config, name)}'
            )
    for words in unused_settings(config):
        observer.on_message(words)
    others = []

    def open_directory(directory):
        others.append(factory.open_directory(config, source, directory))
        return others[-1]

    try:
        with translate_tf_errors(source, others):
            results = train_and_evaluate(
                config,
                source,
                factory.model_fn_maker(config),
                functools.partial(factory.make_decoder, config),
                replicas,
                observer,
                open_directory,
                functools.partial(factory.pretrained_weights, config),
            )
    finally:
        observer.close()
    if results.stopped:
        where = f'saved at step {results.step}' if results.step else 'before any step'
        print(
            f'Stopped by {results.stopped}; {where}. The same command goes on from '
            'there.',
            file=sys.stderr,
        )
        return 0
    seconds = time.monotonic() - begin
    if results.metrics:
        print(metrics_tables(results.metrics))
    print(f'\n{results.step} steps, {seconds:.0f} s in all. Next:')
    print(f'  tensorboard --logdir {shlex.quote(config.model_dir)}')
    if results.export_path:
        export_dir = shlex.quote(config.export_dir)
        if source.class_names:  # A regression has no images to classify.
            print(f'  python -m launch.predict --export_dir={export_dir} IMAGE...')
        print(
            f'  tensorflow_model_server --rest_api_port=8501 --model_name=classifier '
            f'--model_base_path="$(realpath {export_dir})"'
        )
    return 0


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    flags.define_config()
    app.run(main, lambda: __doc__ + '\n' + flags.config_help())


if __name__ == '__main__':
    run()
