"""Tests of error messages about flags: absl's, and flags of earlier versions."""

import pytest
from absl import flags

from launch.parsing.flag_errors import message_of
from launch.parsing.flagfile_reader import expand


def old_flag(*argv):
    """The message about the first of some flags that do not exist any more."""
    name = argv[0].removeprefix('--').partition('=')[0]
    error = flags.UnrecognizedFlagError(name)
    return message_of(error, ['train', *argv])


@pytest.mark.parametrize(
    'argv, message',
    [
        (
            ['--hardest=0.5'],
            '--hardest is called --hard_example_fraction now',
        ),
        (
            ['--max_bad_examples=3'],
            '--max_bad_examples is called --max_corrupt_images now',
        ),
        (
            ['--network_args=hidden=256x128,dropout=0.2', '--network=mlp'],
            '--network_args is an option of --network now: write '
            "--network='mlp(hidden=(256, 128), dropout=0.2)'",
        ),
        (
            ['--network_args=hidden=3'],
            '--network_args is an option of --network now: write '
            "--network='NAME(hidden=3)'",
        ),
        (
            ['--label_key=y', '--image_key=x', '--dataset=tfrecord'],
            '--label_key is an option of --dataset now: write '
            "--dataset='tfrecord(image_key=x, label_key=y)'",
        ),
        (
            ['--label_offset', '1'],
            '--label_offset is an option of --dataset now: --dataset=NAME(key=value)',
        ),
    ],
)
def test_a_flag_of_an_earlier_version_is_answered_with_its_replacement(argv, message):
    assert old_flag(*argv) == message


def test_the_place_in_a_flagfile_is_named(tmp_path):
    path = tmp_path / 'my.flags'
    path.write_text('--dataset=digits\n--hardest=0.5\n')
    places = {}
    argv = expand(['train', f'--flagfile={path}'], places)
    assert argv == ['train', '--dataset=digits', '--hardest=0.5']
    error = flags.UnrecognizedFlagError('hardest')
    message = message_of(error, argv, places)
    assert message.startswith(f'{path}, line 2: --hardest is called')
