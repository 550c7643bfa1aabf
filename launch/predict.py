"""Classifies images with an exported model, or with a checkpoint of a run.

    python -m launch.predict --export_dir=RUN/export IMAGE|DIR|'GLOB'|TFRECORDS...
    python -m launch.predict --model_dir=RUN [--checkpoint=STEP] IMAGE...

A corrupt image is reported on standard error, the others are classified, and the exit
code is 1. With --output_file the same command resumes where a killed one stopped.
"""

import functools
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from absl import flags as absl_flags

from launch import app, flags
from launch.parsing import path_flags

FLAGS = flags.FLAGS

# Of a file with an image; a pipe may never end.
_MAX_BYTES = 1 << 30


def define_flags() -> None:
    """Defines the flags of this program."""
    path_flags.define_path(
        'export_dir', '', 'SavedModel, or the directory of its versions.'
    )
    path_flags.define_path(
        'model_dir',
        '',
        'Directory of a run, to use a checkpoint instead of an export.',
    )
    flags.define_run('checkpoint', 'max_image_pixels', 'device')
    absl_flags.DEFINE_enum(
        'output', 'table', ['table', 'csv', 'jsonl'], 'What to print.'
    )
    path_flags.define_path(
        'output_file', '', 'File for csv or jsonl; it appears when it is complete.'
    )
    absl_flags.DEFINE_integer(
        'top', 1, 'Number of classes per image, at most 5.', lower_bound=1
    )
    absl_flags.DEFINE_string(
        'image_key', 'image/encoded', 'Feature of the image in TFRecords.'
    )
    absl_flags.DEFINE_integer('batch_size', 32, 'Images per batch.', lower_bound=1)


def main(arguments: list[str]) -> int:
    """Classifies as the flags say."""
    from estimator_clf.core.errors import ConfigError
    from launch import predictions

    if bool(FLAGS.export_dir) == bool(FLAGS.model_dir):
        raise ConfigError('give either --export_dir or --model_dir')
    if FLAGS.checkpoint and not FLAGS.model_dir:
        raise ConfigError('--checkpoint requires --model_dir, the directory of its run')
    if FLAGS.output_file and FLAGS.output == 'table':
        raise ConfigError('--output_file requires --output=csv or --output=jsonl')
    files = find_files(arguments)

    from estimator_clf.core.hardware import devices

    devices.set_up(FLAGS.device)
    predictor = _predictor()
    facts = {
        'model': os.path.realpath(predictor.source),
        'model_file': _fingerprint(predictor.source),
        'image_key': FLAGS.image_key,
        'output': FLAGS.output,
        'top': FLAGS.top,
    }
    failed = 0
    with predictions.Output(FLAGS.output, FLAGS.top, FLAGS.output_file, facts) as out:
        pairs = images(files, FLAGS.image_key, out.done)
        for key, result in predictor.predict_all(pairs, FLAGS.batch_size):
            if isinstance(result, Exception):
                failed += 1
                print(f'error: {key}: {_reason(result)}', file=sys.stderr)
            else:
                out.write(key, result[: FLAGS.top])
    return 1 if failed else 0


def find_files(arguments: Sequence[str]) -> list[str]:
    """Returns the paths of images given as files, directories and globs.

    Args:
      arguments: files, whatever their names; directories, for all files below them
        with the extension of an image; or globs.

    Raises:
      ConfigError: no argument, or one without images.
    """
    import glob

    from estimator_clf.core.errors import ConfigError
    from estimator_clf.core.paths import expand_path, is_open_pipe, special_file
    from input.directories.skipped import Skipped, by_extension
    from input.directories.walk import images_below

    paths = []
    for argument in arguments:
        argument = expand_path(argument, 'an image')
        kind = special_file(argument)
        if kind and not is_open_pipe(argument):
            raise ConfigError(
                'an argument must be an image, a directory or a glob, but '
                f'{argument} is {kind}'
            )
        if os.path.isdir(argument):
            others: list[str] = []
            found = sorted(images_below(argument, others.append))
            reason = f'no JPEG, PNG, GIF or BMP: {by_extension(others)}'
            skipped = Skipped(argument)
            for path in sorted(others):
                skipped.add(reason, path)
            if skipped:
                app.log_message(f'{argument}: {skipped.summary()}')
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


def images(
    files: Iterable[str], image_key: str, done: Collection[str] = ()
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yields (key, function that reads the encoded image) for `Predictor.predict_all`.

    Args:
      files: paths of images and of TFRecord files.
      image_key: feature of the image in the records.
      done: keys to skip. The key of an image file is its path, the key of a record is
        `path:number`, the key of a corrupt TFRecord file is its path.
    """
    from estimator_clf.core.errors import DataError
    from estimator_clf.core.paths import is_open_pipe
    from input.tfrecord.iter_images import is_record_file, read_images

    for path in files:
        if is_open_pipe(path):  # It can be read once.
            if path not in done:
                yield path, functools.partial(_content, path)
            continue
        if not is_record_file(path):
            if path not in done:
                yield path, functools.partial(_content, path)
            continue
        try:
            for number, data in enumerate(read_images(path, image_key)):
                key = f'{path}:{number}'
                if key not in done:
                    yield key, functools.partial(bytes, data)
        except DataError as error:
            yield path, functools.partial(_raise, error)


def _raise(error):
    raise error


def _content(path):
    with open(path, 'rb') as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f'must be an image of at most {_MAX_BYTES >> 20} MiB')
    return data


def _predictor():
    from estimator_clf.export.predictor import Predictor

    if FLAGS.export_dir:
        return Predictor(FLAGS.export_dir)
    from estimator_clf.core.errors import ConfigError
    from estimator_clf.training.models import build_decoder, build_model_fn
    from estimator_clf.training.saved_runs import (
        find_checkpoint,
        load_config,
        load_info,
    )

    config = load_config(FLAGS.model_dir, max_image_pixels=FLAGS.max_image_pixels)
    info = load_info(FLAGS.model_dir)
    decoder = build_decoder(config, info)
    if decoder is None:
        raise ConfigError(
            f'--model_dir={FLAGS.model_dir} is of a regression, which has no images'
        )
    return Predictor.of_checkpoint(
        build_model_fn(config, info),
        find_checkpoint(FLAGS.model_dir, FLAGS.checkpoint),
        decoder,
    )


def _reason(error):
    from input.images.tf_messages import short_reason

    if isinstance(error, OSError):
        return error.strerror
    return str(error) if isinstance(error, ValueError) else short_reason(error)


def _fingerprint(source):
    """Size and time of a model's file: they differ for another model at its path."""
    for name in (os.path.join(source, 'saved_model.pb'), f'{source}.index'):
        if os.path.exists(name):
            return [os.path.getsize(name), os.stat(name).st_mtime_ns]
    return []


def _help():
    names = ['export_dir', 'model_dir', 'checkpoint', 'output', 'output_file', 'top']
    names += ['image_key', 'batch_size', 'max_image_pixels', 'device']
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, names))


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
