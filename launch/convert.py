"""Writes a dataset of any format as sharded TFRecords, for --dataset=tfrecord.

    python -m launch.convert --dataset=image_folder --data_dir=DIR --output_dir=OUT

OUT appears when it is complete.
"""

import shlex

from absl import flags as absl_flags

from launch import app, flags
from launch.parsing import path_flags

FLAGS = flags.FLAGS

# Settings of a run that select the data to read.
_SETTINGS = (
    'dataset',
    'data_dir',
    'image_size',
    'channels',
    'validation_split',
    'max_image_pixels',
)
_OWN = ('output_dir', 'shards', 'compression', 'workers')


def define_flags() -> None:
    """Defines the flags of this program."""
    flags.define_config(_SETTINGS)
    path_flags.define_path(
        'output_dir',
        help='Directory to write; must be new or empty.',
        required=True,
    )
    absl_flags.DEFINE_integer(
        'shards',
        None,
        'Number of files of the training split; the other splits in proportion. '
        'Default: files of about 150 MB.',
        lower_bound=1,
    )
    absl_flags.DEFINE_enum(
        'compression',
        'none',
        ['none', 'GZIP', 'ZLIB'],
        'Compression of the files; encoded images hardly become smaller.',
        case_sensitive=False,
    )
    absl_flags.DEFINE_integer(
        'workers',
        None,
        'Number of processes. Default: one per core for thousands of images.',
        lower_bound=1,
    )


def main(arguments: list[str]) -> None:
    """Converts as the flags say."""
    from estimator_clf.training.data.class_gaps import class_gaps
    from estimator_clf.training.data.data_summary import data_summary
    from estimator_clf.training.data.datasets import source_args

    app.no_arguments(arguments)
    args = source_args(flags.config_from_flags())

    from estimator_clf.core.paths import display_path
    from input import open_dataset
    from input.convert.to_tfrecords import convert
    from launch.output.progress import Progress
    from launch.output.terminal import table

    progress = Progress()
    try:
        manifest = convert(
            args,
            FLAGS.output_dir,
            shards=FLAGS.shards,
            compression=FLAGS.compression,
            workers=FLAGS.workers,
            progress=progress,
            on_open=lambda source: app.log_message('\n'.join(data_summary(source))),
        )
    finally:
        progress.close()
    output_dir = display_path(FLAGS.output_dir)
    splits = list(manifest.shards)
    written = open_dataset('tfrecord', FLAGS.output_dir)
    for note in class_gaps(written, 'train' if 'train' in splits else splits[0], None):
        app.log_message(note)
    rows = [
        [
            split,
            sum(shard['examples'] for shard in shards),
            len(shards),
            f'{sum(shard["bytes"] for shard in shards) / 1e6:.1f}',
        ]
        for split, shards in manifest.shards.items()
    ]
    print(table(['split', 'examples', 'shards', 'MB'], rows))
    print(
        f'\n{manifest.info.num_classes} classes in {output_dir}. Next:\n'
        f'  python -m launch.train --dataset=tfrecord --data_dir='
        + shlex.quote(output_dir)
    )


def _help():
    own = '\n'.join(map(flags.flag_help, _OWN))
    return f'{__doc__}\n{own}\n\n' + flags.config_help(_SETTINGS)


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
