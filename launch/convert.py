"""Writes a dataset of any format as sharded TFRecords, for --dataset=tfrecord.

    python -m launch.convert --dataset=image_folder --data_dir=DIR --output_dir=OUT

Nothing is written under the name OUT until all of it is there.
"""

import shlex

from absl import flags as absl_flags

from launch import app, flags

FLAGS = flags.FLAGS

# Settings of a run that say which data to read. Without `compression`, which here is
# what to write; of files to read, their first bytes tell.
_SETTINGS = (
    'dataset',
    'data_dir',
    'image_size',
    'channels',
    'validation_split',
    'label_pattern',
    'cifar100_labels',
    'idx_prefix',
    'image_key',
    'label_key',
    'text_key',
    'label_offset',
)
_OWN = ('output_dir', 'shards', 'compression', 'workers')


def define_flags():
    """Defines the flags of this program."""
    flags.define_config(_SETTINGS)
    absl_flags.DEFINE_string(
        'output_dir',
        None,
        'Directory to write; must be new or empty.',
        required=True,
    )
    absl_flags.DEFINE_integer(
        'shards',
        None,
        'Files of the training split, the other splits in proportion. Default: as many '
        'as make about 150 MB each.',
        lower_bound=1,
    )
    absl_flags.DEFINE_enum(
        'compression',
        'none',
        ['none', 'GZIP', 'ZLIB'],
        'Of the files; encoded images hardly get smaller.',
        case_sensitive=False,
    )
    absl_flags.DEFINE_integer(
        'workers',
        None,
        'Processes. Default: one per core, where there are thousands of images.',
        lower_bound=1,
    )


def main(arguments):
    """Converts as the flags say."""
    from estimator_clf.training import factory

    app.no_arguments(arguments)
    args = factory.source_args(flags.config_from_flags(compression=''))

    from input.convert.to_tfrecords import convert
    from launch.progress import Progress
    from launch.terminal import table

    progress = Progress()
    try:
        manifest = convert(
            args,
            FLAGS.output_dir,
            shards=FLAGS.shards,
            compression=FLAGS.compression,
            workers=FLAGS.workers,
            progress=progress,
        )
    finally:
        progress.close()
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
        f'\n{manifest.info.num_classes} classes in {FLAGS.output_dir}. Next:\n'
        f'  python -m launch.train --dataset=tfrecord --data_dir='
        + shlex.quote(FLAGS.output_dir)
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
