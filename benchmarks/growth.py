"""Cost of 10 and 100 times as many images, as files and as TFRecords.

    python -m benchmarks.growth --data_dir=dogscats --json=out.json

DATA_DIR/train/CLASS/*.jpg is replicated 1, 10 and 100 times in a temporary directory by
links, and so are the shards of its TFRecords. Each of the six is opened and read in its
own process, in batches of 32 at 64x64 pixels in shuffled order. Prints the seconds to
open it (listing files, classes, sizes; without pixel statistics), the seconds from
there to the first batch, the memory, and images/s afterwards. The data is in the page
cache, since the links are to the same files: a disk adds its own time.
"""

import argparse
import json
import os
import sys
import tempfile
import time

from benchmarks import rounds
from estimator_clf.core import provenance

_BATCH, _SIZE, _SHARDS = 32, 64, 4


def main(arguments):
    """Measures all datasets and prints a table."""
    options = parser().parse_args(arguments)
    if options.child:
        print(json.dumps(measure(options)))
        return
    if not os.path.isdir(os.path.join(options.data_dir, 'train')):
        sys.exit(
            f'--data_dir={options.data_dir} must be a directory with train/CLASS/*.jpg'
        )
    runs = []
    print('format        times  images    open s  first batch s  MB     images/s')
    # On the disk of the data, if possible: hard links do not cross disks.
    with tempfile.TemporaryDirectory(dir=options.work_dir or None) as directory:
        for times in (int(text) for text in options.times.split(',')):
            for name, replicate in (('image_folder', _files), ('tfrecord', _records)):
                place = os.path.join(directory, f'{name}-{times}')
                replicate(options.data_dir, place, times, directory)
                for _ in range(options.repetitions):
                    run = _child(name, place, options.seconds)
                    run.update(format=name, times=times)
                    runs.append(run)
                    print(
                        f'{name:13} {times:5} {run["images"]:9} '
                        f'{run["open_seconds"]:9.2f} {run["first_seconds"]:14.2f}  '
                        f'{run["peak_mb"]:6.0f} {run["images_per_second"]:11.0f}',
                        flush=True,
                    )
    report = {'settings': vars(options), **provenance.collect(), 'runs': runs}
    rounds.write(options, report)


def parser():
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    made.add_argument('--data_dir', required=True, help='with train/CLASS/*.jpg')
    made.add_argument('--times', default='1,10,100')
    made.add_argument('--repetitions', type=int, default=1)
    made.add_argument('--seconds', type=float, default=5.0, help='of reading')
    made.add_argument(
        '--work_dir', default='', help='parent of the temporary directory'
    )
    made.add_argument('--json', default='', help='file for everything measured')
    made.add_argument('--child', default='', help=argparse.SUPPRESS)
    return made


def measure(options):
    """Opens and reads one dataset; returns dict of seconds, MB and images/s."""
    import tensorflow as tf

    from estimator_clf.core.hardware.memory import peak_memory
    from input import open_dataset
    from input.corrupt_images import CorruptImages

    tf.constant(0)
    before, begin = peak_memory()['peak_memory_mb'], time.perf_counter()
    source = open_dataset(options.child, options.data_dir, image_size=_SIZE, channels=3)
    source.corrupt_images = CorruptImages(10)
    opened = time.perf_counter()
    input_fn = source.input_fn('train', _BATCH, training=True)
    with tf.Graph().as_default():
        iterator = tf.compat.v1.data.make_initializable_iterator(input_fn())
        read = tf.group(*tf.nest.flatten(iterator.get_next()))
        with tf.compat.v1.Session() as session:
            session.run(iterator.initializer)
            session.run(read)
            first = time.perf_counter()
            done, warm = 0, 0
            while warm < 50:
                session.run(read)
                warm += 1
            start = time.perf_counter()
            while time.perf_counter() - start < options.seconds:
                session.run(read)
                done += 1
            seconds = time.perf_counter() - start
    return {
        'images': source.num_examples['train'],
        'open_seconds': opened - begin,
        'first_seconds': first - opened,
        'peak_mb': peak_memory()['peak_memory_mb'] - before,
        'images_per_second': done * _BATCH / seconds,
    }


def _child(name, directory, seconds):
    command = [sys.executable, '-m', 'benchmarks.growth', f'--child={name}']
    command += [f'--data_dir={directory}', f'--seconds={seconds}']
    return rounds.in_a_process(command)


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:  # Another disk.
        os.symlink(os.path.abspath(source), target)


def _files(data_dir, place, times, _):
    root = os.path.join(data_dir, 'train')
    for name in sorted(os.listdir(root)):
        os.makedirs(os.path.join(place, 'train', name))
        for file in sorted(os.listdir(os.path.join(root, name))):
            for copy in range(times):
                target = os.path.join(place, 'train', name, f'{copy:03d}-{file}')
                _link(os.path.join(root, name, file), target)


def _records(data_dir, place, times, directory):
    from input.convert.to_tfrecords import convert
    from input.tfrecord.manifest import Manifest, read_manifest

    records = os.path.join(directory, 'records')
    if not os.path.isdir(records):
        only = os.path.join(directory, 'once')
        _files(data_dir, only, 1, None)
        source = {'name': 'image_folder', 'data_dir': only, 'image_size': _SIZE}
        convert(source, records, shards=_SHARDS)
    manifest = read_manifest(records)
    shards = manifest.shards['train']
    os.makedirs(place)
    count, found = len(shards) * times, []
    for number in range(count):
        shard = shards[number % len(shards)]
        ending = shard['file'].partition('-of-')[2][5:]
        name = f'train-{number:05d}-of-{count:05d}{ending}'
        _link(os.path.join(records, shard['file']), os.path.join(place, name))
        found.append(dict(shard, file=name))
    Manifest(manifest.info, {'train': found}).write(place)


if __name__ == '__main__':
    main(sys.argv[1:])
