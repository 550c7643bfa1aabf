"""Classifies pictures with an exported model.

    python -m launch.predict --export_dir=RUN/export PICTURE|FOLDER|'GLOB'...

A picture that cannot be read is named on the standard error, the others are classified
all the same, and the exit code is 1.
"""

import csv
import glob
import json
import os
import sys

from absl import flags as absl_flags

from launch import app, flags

FLAGS = flags.FLAGS

_BATCH = 32
_PAIR = ('class', 'probability')


def define_flags():
    """Defines the flags of this program."""
    absl_flags.DEFINE_string(
        'export_dir', None, 'SavedModel, or the folder of its versions.', required=True
    )
    absl_flags.DEFINE_enum(
        'output', 'table', ['table', 'csv', 'jsonl'], 'What to print.'
    )
    absl_flags.DEFINE_integer(
        'top', 1, 'How many classes to name for each picture, 5 at most.', lower_bound=1
    )
    absl_flags.DEFINE_enum('device', 'auto', ['auto', 'cpu', 'gpu'], 'What to run on.')


def main(arguments):
    """Classifies as the flags say."""
    paths = find_pictures(arguments)

    from estimator_clf import devices
    from estimator_clf.predict import Predictor

    devices.set_up(FLAGS.device)
    predictor = Predictor(FLAGS.export_dir)
    writer = _WRITERS[FLAGS.output](FLAGS.top)
    failed = 0
    for path, result in _classify(predictor, paths):
        if isinstance(result, Exception):
            failed += 1
            print(f'error: {path}: {_reason(result)}', file=sys.stderr)
        else:
            writer.write(path, result[: FLAGS.top])
    writer.close()
    return 1 if failed else 0


def find_pictures(arguments):
    """Returns the paths that files, folders and globs stand for.

    Args:
      arguments: list of str. A file is taken whatever it is called; of a folder, all
        below it with a picture's extension.

    Raises:
      ConfigError: nothing given, or something that is not there.
    """
    from estimator_clf.errors import ConfigError
    from input.formats.image_folder import pictures_below

    paths = []
    for argument in arguments:
        if os.path.isdir(argument):
            found = sorted(pictures_below(argument))
        elif os.path.exists(argument):
            found = [argument]
        else:
            found = sorted(
                p for p in glob.glob(argument, recursive=True) if os.path.isfile(p)
            )
        if not found:
            raise ConfigError(f'there are no pictures at {argument}')
        paths.extend(found)
    if not paths:
        raise ConfigError('give pictures, folders or globs to classify')
    return paths


def _classify(predictor, paths):
    for start in range(0, len(paths), _BATCH):
        data, results = [], {}
        for path in paths[start : start + _BATCH]:
            try:
                with open(path, 'rb') as file:
                    data.append((path, file.read()))
            except OSError as error:
                results[path] = error
        if data:
            predicted = predictor.predict([content for _, content in data])
            results.update(zip([path for path, _ in data], predicted, strict=True))
        for path in paths[start : start + _BATCH]:
            yield path, results[path]


def _reason(error):
    from input.file_source import short_reason

    return error.strerror if isinstance(error, OSError) else short_reason(error)


class _Csv:
    def __init__(self, top):
        del top
        self._out = csv.writer(sys.stdout, lineterminator='\n')
        self._begun = False

    def _begin(self, count):
        if not self._begun:
            # As many columns as there are: a model names no more than it has classes.
            more = (f'{n}_{i + 1}' for i in range(1, count) for n in _PAIR)
            self._out.writerow(['file', *_PAIR, *more])
            self._begun = True

    def write(self, path, result):
        self._begin(len(result))
        self._out.writerow([path, *(x for n, p in result for x in (n, f'{p:.6f}'))])

    def close(self):
        self._begin(1)
        sys.stdout.flush()


class _JsonLines:
    def __init__(self, top):
        self._top = top

    def write(self, path, result):
        line = {'file': path, 'class': result[0][0], 'probability': result[0][1]}
        if self._top > 1:
            line['top'] = [{'class': n, 'probability': p} for n, p in result]
        print(json.dumps(line))

    def close(self):
        sys.stdout.flush()


class _Table:
    def __init__(self, top):
        self._top = top
        self._rows = []

    def write(self, path, result):
        self._rows.append([path, *(x for pair in result for x in pair)])

    def close(self):
        from launch.terminal import table

        if self._rows:
            pairs = (len(self._rows[0]) - 1) // 2
            print(table(['file', *_PAIR * pairs], self._rows))


_WRITERS = {'csv': _Csv, 'jsonl': _JsonLines, 'table': _Table}


def _help():
    names = ['export_dir', 'output', 'top', 'device']
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, names))


if __name__ == '__main__':
    define_flags()
    app.run(main, _help)
