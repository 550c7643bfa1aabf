"""Errors for users: exit codes, messages about disks and checkpoints."""

import errno
import os

import pytest

from estimator_clf.core import errors


@pytest.mark.parametrize(
    'kind, code',
    [
        (errors.ConfigError, 2),
        (errors.DataError, 2),
        (errors.SettingError, 2),
        (errors.RunError, 1),
    ],
)
def test_exit_codes(kind, code):
    assert issubclass(kind, errors.UserError) and kind('text').exit_code == code


def test_disk_full_message_finds_the_message_of_the_system():
    text = os.strerror(errno.ENOSPC)
    assert errors.disk_full_message(RuntimeError(f'x.index; {text}')) == text
    assert errors.disk_full_message(RuntimeError('x.index')) is None


@pytest.mark.parametrize(
    'error,expected',
    [
        (MemoryError(), True),
        (RuntimeError('std::bad_alloc'), True),
        (RuntimeError("can't start new thread"), True),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), True),
        (RuntimeError('x; Status: 1, message: could not create a memory object'), True),
        (RuntimeError('OOM when allocating tensor with shape[8]'), True),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), False),
        (RuntimeError('Status: 2, message: could not create a primitive'), False),
        (errors.DataError('/data/std::bad_alloc.jpg is corrupt'), False),
        (ValueError('MNIST'), False),
    ],
)
def test_is_out_of_memory(error, expected):
    assert errors.is_out_of_memory(error) == expected


def test_for_argument_rewords_the_argument():
    with pytest.raises(errors.SettingError, match="`proxy`: no network 'x'. There are"):
        with errors.for_argument('proxy'):
            raise errors.unknown('network', 'network', 'x', ['cnn'])
