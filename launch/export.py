"""Exports a checkpoint of a run as a SavedModel for TensorFlow Serving.

    python -m launch.export --model_dir=RUN [--checkpoint=STEP] [--export_dir=DIR]

Or for another runtime, from pixels to numbers: --format=tensor_only (a SavedModel
without text in its graph, for OpenVINO), onnx, tflite [--quantize=int8].
"""

import os
import sys

from absl import flags as absl_flags

from launch import app, flags
from launch.parsing import path_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of this program."""
    path_flags.define_path('model_dir', help='Directory of the run.', required=True)
    path_flags.define_path(
        'export_dir',
        '',
        'Directory of the versions. Default: MODEL_DIR/export, and for other formats '
        'MODEL_DIR/export-FORMAT (export-tflite-int8 with --quantize).',
    )
    flags.define_run('checkpoint', 'data_dir', 'eval_samples', 'eval_tta', 'export_tta')
    flags.define_run('check_export', 'max_image_pixels')
    absl_flags.DEFINE_enum(
        'format',
        'saved_model',
        ['saved_model', 'tensor_only', 'onnx', 'tflite'],
        'Format of the export.',
    )
    absl_flags.DEFINE_enum(
        'quantize',
        '',
        ['', 'int8'],
        'tflite: weights and arithmetic in int8, calibrated on training images.',
    )


def main(arguments: list[str]) -> None:
    """Exports as the flags say."""
    from estimator_clf.config.parsers import parse_eval_tta
    from estimator_clf.core.errors import ConfigError
    from estimator_clf.training.saved_runs import (
        find_checkpoint,
        load_config,
        load_info,
    )

    app.no_arguments(arguments)
    config = load_config(
        FLAGS.model_dir,
        export=True,
        check_export=FLAGS.check_export,
        max_image_pixels=FLAGS.max_image_pixels,
        data_dir=FLAGS.data_dir,
        eval_samples=FLAGS.eval_samples,
        eval_tta=FLAGS.eval_tta,
        export_tta=FLAGS.export_tta,
    )
    info = load_info(FLAGS.model_dir)

    if parse_eval_tta(FLAGS.eval_tta) and not config.exports.export_tta:
        raise ConfigError(
            f'--eval_tta={FLAGS.eval_tta} has no effect on an export without '
            '--export_tta; give both'
        )
    for name in (
        ('check_export', 'max_image_pixels') if FLAGS.format != 'saved_model' else ()
    ):
        if getattr(FLAGS, name):
            raise ConfigError(f'--{name} is for --format=saved_model')
    if FLAGS.quantize and FLAGS.format != 'tflite':
        raise ConfigError('--quantize is for --format=tflite')

    from estimator_clf.core.hardware import devices
    from estimator_clf.training.models import build_model_fn

    devices.set_up('cpu')
    model = (
        build_model_fn(config, info),
        info,
        find_checkpoint(FLAGS.model_dir, FLAGS.checkpoint),
    )
    if FLAGS.format == 'saved_model':
        print(_saved_model(model, config, info))
    else:
        print(_other(model, config, info))


def _saved_model(model, config, info):
    from estimator_clf.export import export_saved_model
    from estimator_clf.training.models import build_decoder

    return export_saved_model(
        *model,
        FLAGS.export_dir or os.path.join(FLAGS.model_dir, 'export'),
        build_decoder(config, info),
        config=config,
        examples=_examples(config, info),
        check=config.exports.check_export,
    )


def _other(model, config, info):
    from estimator_clf.core.tf_errors import translate_tf_errors
    from estimator_clf.export import formats
    from estimator_clf.loggers.corrupt_images import skip_corrupt_images
    from estimator_clf.training.data.datasets import open_source

    calibration = None
    if FLAGS.quantize:
        source = open_source(config, info)
        skip_corrupt_images(source, config.data.max_corrupt_images, app.log_message)
        with translate_tf_errors([source]):
            calibration = formats.calibration_inputs(
                source, config.data.train_split, eval_crop=config.data.eval_crop
            )
    name = '-'.join(filter(None, ['export', FLAGS.format, FLAGS.quantize]))
    return formats.export(
        FLAGS.format,
        *model,
        FLAGS.export_dir or os.path.join(FLAGS.model_dir, name),
        FLAGS.quantize,
        calibration,
    )


def _examples(config, info):
    """Examples of the data for the parity check; None if it cannot be read."""
    from estimator_clf.core.errors import DataError
    from estimator_clf.core.tf_errors import translate_tf_errors
    from estimator_clf.export import check_examples
    from estimator_clf.loggers.corrupt_images import skip_corrupt_images
    from estimator_clf.training.data.datasets import open_source

    try:
        source = open_source(config, info)
        skip_corrupt_images(source, config.data.max_corrupt_images, app.log_message)
        with translate_tf_errors([source]):
            return check_examples.of_run(config, source)
    except DataError as error:
        print(
            app.flag_names(
                f'The data cannot be read ({error}): the export is checked on random '
                'images. Set --data_dir to where the data is now.'
            ),
            file=sys.stderr,
        )
        return None


def _help():
    names = ['model_dir', 'export_dir', 'checkpoint', 'data_dir', 'eval_samples']
    names += ['eval_tta', 'export_tta', 'format', 'quantize']
    names += ['check_export', 'max_image_pixels']
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, names))


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
