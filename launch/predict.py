"""Classifies images with an exported model, or with a checkpoint of a run.

    python -m launch.predict --export_dir=RUN/export IMAGE|DIR|'GLOB'|TFRECORDS...
    python -m launch.predict --model_dir=RUN [--checkpoint=STEP] IMAGE...

An image that cannot be read is named on the standard error, the others are classified
all the same, and the exit code is 1. With --output_file the same command goes on where
a killed one stopped.
"""

import functools
import os
import sys

from absl import flags as absl_flags

from launch import app, flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this program."""
    absl_flags.DEFINE_string(
        'export_dir', '', 'SavedModel, or the directory of its versions.'
    )
    absl_flags.DEFINE_string(
        'model_dir',
        '',
        'Directory of a run, to take a checkpoint instead of an export.',
    )
    flags.define_run('checkpoint', 'device')
    absl_flags.DEFINE_enum(
        'output', 'table', ['table', 'csv', 'jsonl'], 'What to print.'
    )
    absl_flags.DEFINE_string(
        'output_file', '', 'Write csv or jsonl there, which appears when all is done.'
    )
    absl_flags.DEFINE_integer(
        'top', 1, 'How many classes to name for each image, 5 at most.', lower_bound=1
    )
    absl_flags.DEFINE_string(
        'image_key', 'image/encoded', 'Feature of the image in TFRecords.'
    )
    absl_flags.DEFINE_integer('batch_size', 32, 'Images in a batch.', lower_bound=1)


def main(arguments):
    """Classifies as the flags say."""
    from estimator_clf.core.errors import ConfigError
    from launch import predictions

    if bool(FLAGS.export_dir) == bool(FLAGS.model_dir):
        raise ConfigError('give either --export_dir or --model_dir')
    if FLAGS.checkpoint and not FLAGS.model_dir:
        raise ConfigError('--checkpoint is one of a run: give its --model_dir')
    if FLAGS.output_file and FLAGS.output == 'table':
        raise ConfigError('--output_file needs --output=csv or --output=jsonl')
    files = find_files(arguments)

    from estimator_clf.core import devices

    devices.set_up(FLAGS.device)
    predictor = _predictor()
    facts = {
        'model': os.path.realpath(predictor.source),
        'model_file': _stamp(predictor.source),
        'image_key': FLAGS.image_key,
        'output': FLAGS.output,
        'top': FLAGS.top,
    }
    failed = 0
    with predictions.Output(FLAGS.output, FLAGS.top, FLAGS.output_file, facts) as out:
        pairs = pictures(files, FLAGS.image_key, out.done)
        for key, result in predictor.predict_all(pairs, FLAGS.batch_size):
            if isinstance(result, Exception):
                failed += 1
                print(f'error: {key}: {_reason(result)}', file=sys.stderr)
            else:
                out.write(key, result[: FLAGS.top])
    return 1 if failed else 0


def find_files(arguments):
    """Returns the paths that files, directories and globs stand for.

    Args:
      arguments: list of str. A file is taken whatever it is called; of a directory, all
        below it with an image's extension.

    Raises:
      ConfigError: nothing given, or something that is not there.
    """
    import glob

    from estimator_clf.core.errors import ConfigError
    from input.formats.image_folder import images_below

    paths = []
    for argument in arguments:
        if os.path.isdir(argument):
            found = sorted(images_below(argument))
        elif os.path.exists(argument):
            found = [argument]
        else:
            found = sorted(
                p for p in glob.glob(argument, recursive=True) if os.path.isfile(p)
            )
        if not found:
            raise ConfigError(f'there are no images at {argument}')
        paths.extend(found)
    if not paths:
        raise ConfigError('give images, directories or globs to classify')
    return paths


def pictures(files, image_key, done=()):
    """Yields what `Predictor.predict_all` takes.

    Args:
      files: paths of images and of TFRecord files.
      image_key: feature of the image in the records.
      done: keys to leave out. The key of an image is its path, that of a record
        `path:number`, that of what is corrupt in a TFRecord file its path.
    """
    from estimator_clf.core.errors import DataError
    from input.tfrecord.iter_images import is_record_file, read_images

    for path in files:
        if not is_record_file(path):
            if path not in done:
                yield path, lambda path=path: _content(path)
            continue
        try:
            for number, data in enumerate(read_images(path, image_key)):
                key = f'{path}:{number}'
                if key not in done:
                    yield key, lambda data=data: data
        except DataError as error:
            yield path, functools.partial(_raise, error)


def _raise(error):
    raise error


def _content(path):
    with open(path, 'rb') as file:
        return file.read()


def _predictor():
    from estimator_clf.export.predictor import Predictor

    if FLAGS.export_dir:
        return Predictor(FLAGS.export_dir)
    from estimator_clf.core.errors import ConfigError
    from estimator_clf.training import factory

    config = factory.load_config(FLAGS.model_dir)
    info = factory.load_info(FLAGS.model_dir)
    decoder = factory.make_decoder(config, info)
    if decoder is None:
        raise ConfigError(f'--model_dir={FLAGS.model_dir} does not take images')
    return Predictor.of_checkpoint(
        factory.model_fn_maker(config)(info),
        factory.checkpoint_of(FLAGS.model_dir, FLAGS.checkpoint),
        decoder,
    )


def _reason(error):
    from input.images.tf_messages import short_reason

    if isinstance(error, OSError):
        return error.strerror
    return str(error) if isinstance(error, ValueError) else short_reason(error)


def _stamp(source):
    """What tells a model from another of the same path."""
    for name in (os.path.join(source, 'saved_model.pb'), f'{source}.index'):
        if os.path.exists(name):
            return [os.path.getsize(name), os.stat(name).st_mtime_ns]
    return []


def _help():
    names = ['export_dir', 'model_dir', 'checkpoint', 'output', 'output_file', 'top']
    names += ['image_key', 'batch_size', 'device']
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, names))


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
