"""Evaluates a checkpoint of a run on the splits of its data.

    python -m launch.evaluate --model_dir=RUN [--split=test] [--checkpoint=STEP]

Prints loss and accuracy, and precision and recall per class.
"""

import json

from absl import flags as absl_flags

from launch import app, flags

FLAGS = flags.FLAGS

# Settings of evaluation that override those of the run.
_EVALUATION = ('eval_samples', 'eval_tta', 'eval_precision')


def define_flags() -> None:
    """Defines the flags of this program."""
    absl_flags.DEFINE_string('model_dir', None, 'Directory of the run.', required=True)
    absl_flags.DEFINE_list(
        'split', [], 'Splits to evaluate. Default: validation and test, if they exist.'
    )
    flags.define_run('checkpoint', 'data_dir', 'max_image_pixels')
    flags.define_run(*_EVALUATION, 'device')
    absl_flags.DEFINE_enum('output', 'table', ['table', 'json'], 'What to print.')


def main(arguments: list[str]) -> None:
    """Evaluates as the flags say."""
    from estimator_clf.training.saved_runs import (
        find_checkpoint,
        load_config,
        load_info,
    )

    app.no_arguments(arguments)
    config = load_config(
        FLAGS.model_dir,
        data_dir=FLAGS.data_dir,
        max_image_pixels=FLAGS.max_image_pixels,
        **{name: FLAGS[name].value for name in _EVALUATION},
    )
    info = load_info(FLAGS.model_dir)

    from estimator_clf.config.step_plan import evaluation_input
    from estimator_clf.core import devices
    from estimator_clf.core.errors import ConfigError
    from estimator_clf.core.tf_errors import translate_tf_errors
    from estimator_clf.evaluation.evaluator import Evaluator
    from estimator_clf.loggers.corrupt_images import skip_corrupt_images
    from estimator_clf.loggers.jsonl import finite
    from estimator_clf.training.datasets import open_source
    from estimator_clf.training.models import build_model_fn
    from launch.terminal import metrics_tables

    devices.set_up(FLAGS.device)
    checkpoint = find_checkpoint(FLAGS.model_dir, FLAGS.checkpoint)
    source = open_source(config, info)
    skip_corrupt_images(source, config.data.max_corrupt_images, app.log_message)
    exist = list(source.num_examples)
    splits = FLAGS.split or [s for s in ('validation', 'test') if s in exist]
    if not splits:
        raise ConfigError(
            f'--split must be given: {source.name} has only {", ".join(exist)}'
        )
    model_fn = build_model_fn(config, info)
    # All input_fns before the first evaluation, which may take long: a name may be
    # wrong.
    inputs = {split: evaluation_input(config, source, split) for split in splits}
    metrics = {}
    for split, input_fn in inputs.items():
        evaluator = Evaluator(model_fn, input_fn)
        with translate_tf_errors([source]):
            metrics[split] = evaluator.evaluate(checkpoint) or {}
        evaluator.close()
    if FLAGS.output == 'json':
        found = {split: finite(values) for split, values in metrics.items()}
        print(json.dumps({'checkpoint': checkpoint, **found}, indent=2))
    else:
        print(f'{checkpoint}\n\n{metrics_tables(metrics)}')


def _help():
    names = ['model_dir', 'split', 'checkpoint', 'data_dir', 'max_image_pixels']
    names += [*_EVALUATION, 'device']
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, [*names, 'output']))


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
