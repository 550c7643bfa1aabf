"""Facts about the CPU."""

import os
import sys

import pytest

from estimator_clf.core.hardware import cpu_info


@pytest.mark.skipif(sys.platform != 'linux', reason='from /proc/cpuinfo')
def test_facts_are_of_the_first_core():
    found = cpu_info.facts()
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        assert found['processor'] == file.readline().split(':')[1].strip() == '0'
    assert cpu_info.features() == found.get('flags', '').split()


def test_no_facts_without_the_file(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr('builtins.open', missing)
    found = cpu_info.facts(), cpu_info.features()
    monkeypatch.undo()
    assert found == ({}, [])


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='needs Linux')
def test_available_cores_are_those_of_the_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cpu_info.available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cpu_info.available_cores() == len(before)
