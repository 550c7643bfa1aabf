"""Trains, evaluates, checkpoints and exports a classifier.

    python -m launch.train --recipe=transfer --data_dir=PHOTOS --validation_split=0.2
    python -m launch.train --dataset=image_folder --data_dir=DIR --model_dir=RUN
    python -m launch.train --recipe=digits

--recipe=transfer is for photos of your own, one directory per class: it starts from a
pretrained network. --recipe=NAME reads a flagfile that comes
with the package (launch/flagfiles/).

Preempted? Run the same command again: it resumes from the last checkpoint.
"""

import shlex
import sys
import time

from launch import app, flags


def main(arguments: list[str]) -> int:
    """Trains as the flags say."""
    from estimator_clf.config.validate import unused_settings

    app.no_arguments(arguments)
    config = flags.config_from_flags()
    start = time.monotonic()

    # From here on with TensorFlow, whose import takes seconds.
    from estimator_clf.training.trainer import train_and_evaluate
    from launch.output.terminal import TerminalCallback

    callback = TerminalCallback()
    for message in unused_settings(config):
        callback.on_message(message)
    try:
        results = train_and_evaluate(config, [callback])
    finally:
        callback.close()
    if results.stopped:
        where = f'saved at step {results.step}' if results.step else 'before any step'
        print(
            f'Stopped by {results.stopped}; {where}. The same command resumes from '
            'there.',
            file=sys.stderr,
        )
    else:
        _print_results(results, config, time.monotonic() - start)
    return 0


def _print_results(results, config, seconds):
    from estimator_clf.core.paths import display_path
    from launch.output.terminal import metrics_tables

    if results.metrics:
        print(metrics_tables(results.metrics))
    print(f'\n{results.step} steps, {seconds:.0f} s in all. Next:')
    model_dir = display_path(config.run.model_dir)
    print(f'  tensorboard --logdir {shlex.quote(model_dir)}')
    if not results.export_path:
        return
    export_dir = shlex.quote(display_path(config.exports.export_dir))
    if config.network_call.name != 'linear_regression':  # It has no images.
        print(f'  python -m launch.predict --export_dir={export_dir} IMAGE...')
    print(
        '  tensorflow_model_server --rest_api_port=8501 --model_name=classifier '
        f'--model_base_path="$(realpath {export_dir})"'
    )


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    flags.define_config()
    app.run(main, lambda: f'{__doc__}\n{flags.config_help()}')


if __name__ == '__main__':
    run()
