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


def test_for_argument_rewords_the_argument():
    with pytest.raises(errors.SettingError, match="`proxy`: no network 'x'. There are"):
        with errors.for_argument('proxy'):
            raise errors.unknown('network', 'network', 'x', ['cnn'])
