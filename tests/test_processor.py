"""What is known about the processor."""

import sys

import pytest

from estimator_clf import processor


@pytest.mark.skipif(sys.platform != 'linux', reason='from /proc/cpuinfo')
def test_facts_are_of_the_first_core():
    found = processor.facts()
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        assert found['processor'] == file.readline().split(':')[1].strip() == '0'
    assert processor.features() == found.get('flags', '').split()


def test_elsewhere_nothing_is_known(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr('builtins.open', missing)
    found = processor.facts(), processor.features()
    monkeypatch.undo()
    assert found == ({}, [])
