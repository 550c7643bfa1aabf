"""Evaluates a checkpoint of a run on the splits of its data.

    python -m launch.evaluate --model_dir=RUN [--split=test] [--checkpoint=STEP]

Prints loss and accuracy, and precision and recall per class, each with the number of
examples. With --data_dir it evaluates all of other data of the same classes; where
that is the data of the run, moved, its validation and test splits.
"""

import json

from absl import flags as absl_flags

from launch import app, flags
from launch.parsing import path_flags

FLAGS = flags.FLAGS

# Settings of evaluation that override those of the run.
_EVALUATION = ('eval_samples', 'eval_tta', 'eval_precision', 'eval_batch_size')


def define_flags() -> None:
    """Defines the flags of this program."""
    path_flags.define_path('model_dir', help='Directory of the run.', required=True)
    absl_flags.DEFINE_list(
        'split',
        [],
        'Splits to evaluate. Default: validation and test, if they exist; all of other '
        'data.',
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
        max_image_pixels=FLAGS.max_image_pixels,
        **{name: FLAGS[name].value for name in _EVALUATION},
    )
    info = load_info(FLAGS.model_dir)

    from estimator_clf.config.step_plan import evaluation_input
    from estimator_clf.core.hardware import devices
    from estimator_clf.core.tf_errors import translate_tf_errors
    from estimator_clf.evaluation.evaluator import Evaluator
    from estimator_clf.loggers.corrupt_images import skip_corrupt_images
    from estimator_clf.loggers.jsonl import finite
    from estimator_clf.training.data.data_summary import data_summary
    from estimator_clf.training.data.evaluation_data import open_evaluation_data
    from estimator_clf.training.models import build_model_fn
    from launch.output.terminal import metrics_tables

    devices.set_up(FLAGS.device)
    checkpoint = find_checkpoint(FLAGS.model_dir, FLAGS.checkpoint)
    data = open_evaluation_data(config, info, FLAGS.data_dir, FLAGS.split)
    if data.note:
        app.log_message(data.note)
    source = data.source
    skip_corrupt_images(source, config.data.max_corrupt_images, app.log_message)
    for line in data_summary(source, dict.fromkeys(data.splits, 'evaluated')):
        app.log_message(line)
    model_fn = build_model_fn(config, info)
    # All input_fns before the first evaluation, which may take long: a name may be
    # wrong.
    inputs = {split: evaluation_input(config, source, split) for split in data.splits}
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
