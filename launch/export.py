"""Exports a checkpoint of a run as a SavedModel for TensorFlow Serving.

python -m launch.export --model_dir=RUN [--checkpoint=STEP] [--export_dir=DIR]
"""

import os

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


def main(arguments):
    """Exports as the flags say."""
    from estimator_clf import config as configuration
    from launch import build

    app.no_arguments(arguments)
    config = configuration.load(FLAGS.model_dir)
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
    )
    print(path)


def _help():
    names = ['model_dir', 'export_dir', 'checkpoint']
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, names))


if __name__ == '__main__':
    define_flags()
    app.run(main, _help)
