"""Exports a checkpoint of a run as a SavedModel for TensorFlow Serving.

python -m launch.export --model_dir=RUN [--checkpoint=STEP] [--export_dir=DIR]
"""

import dataclasses
import os
import sys

from absl import flags as absl_flags

from launch import app, flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this program."""
    absl_flags.DEFINE_string('model_dir', None, 'Folder of the run.', required=True)
    absl_flags.DEFINE_string(
        'export_dir', '', 'Folder of the versions. Default: MODEL_DIR/export.'
    )
    absl_flags.DEFINE_string(
        'checkpoint',
        '',
        "Step or path of a checkpoint, or 'best'. Default: the latest.",
    )
    absl_flags.DEFINE_string(
        'data_dir', '', 'Where the data is now, if it was moved since the training.'
    )
    absl_flags.DEFINE_integer(
        'eval_passes',
        None,
        "Passes to average over. Default: as the run's own evaluations.",
    )
    flags.define_config(['check_export', 'max_pixels'])


def main(arguments):
    """Exports as the flags say."""
    from estimator_clf import config as configuration
    from launch import build

    app.no_arguments(arguments)
    config = dataclasses.replace(
        configuration.load(FLAGS.model_dir),
        check_export=FLAGS.check_export,
        max_pixels=FLAGS.max_pixels,
    )
    if FLAGS.data_dir:
        config = dataclasses.replace(config, data_dir=FLAGS.data_dir)
    if FLAGS.eval_passes is not None:
        config = dataclasses.replace(config, eval_passes=FLAGS.eval_passes)
    info = build.load_info(FLAGS.model_dir)

    from estimator_clf import devices
    from estimator_clf.export import export_saved_model

    devices.set_up('cpu')
    path = export_saved_model(
        build.model_fn_maker(config)(info, total_steps=1),
        info,
        build.checkpoint_of(FLAGS.model_dir, FLAGS.checkpoint),
        FLAGS.export_dir or os.path.join(FLAGS.model_dir, 'export'),
        build.decoder(config, info),
        config=config,
        examples=_examples(config, info),
        check=config.check_export,
    )
    print(path)


def _examples(config, info):
    """Some of the data; None if it is not there any more."""
    from estimator_clf.bad_examples_log import leave_out
    from estimator_clf.export import samples
    from estimator_clf.plan import evaluation_split
    from input.errors import DataError
    from launch import build
    from launch.data_errors import explained

    try:
        source = build.open_source(config, info)
        leave_out(source, config.max_bad_examples, app.tell)
        split = evaluation_split(config, source) or config.train_split
        with explained(source):
            return samples.take(source, split, eval_crop=config.eval_crop)
    except DataError as error:
        print(
            f'The data cannot be read ({error}): the export is checked on made-up '
            'pictures. --data_dir says where the data is now.',
            file=sys.stderr,
        )
        return None


def _help():
    names = ['model_dir', 'export_dir', 'checkpoint', 'data_dir', 'eval_passes']
    names += ['check_export', 'max_pixels']
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, names))


if __name__ == '__main__':
    define_flags()
    app.run(main, _help)
