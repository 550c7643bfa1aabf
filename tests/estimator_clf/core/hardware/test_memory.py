"""Peak memory is that of the process alone."""

import subprocess
import sys

import numpy as np
import psutil
import pytest

from estimator_clf.core.hardware.memory import free_memory, peak_memory
from tests.helpers.launching import ROOT


def test_peak_remains_after_memory_is_freed():
    before = peak_memory()['peak_memory_mb']
    block = np.ones(600 * 2**17)  # 600 MB, in use.
    assert block[-1] == 1
    with open('/proc/self/status') as file:
        (line,) = (x for x in file if x.startswith('VmRSS:'))
    used = int(line.split()[1]) / 1024
    del block
    after = peak_memory()['peak_memory_mb']
    assert after >= used - 1 and after >= before


@pytest.mark.skipif(sys.platform != 'linux', reason='other systems use `ru_maxrss`')
def test_peak_is_not_that_of_the_parent():
    code = (
        'import numpy, subprocess, sys; x = numpy.ones(2 ** 27);'
        'subprocess.run([sys.executable, "-c", '
        '"from estimator_clf.core.hardware.memory import peak_memory; '
        'print(peak_memory())"], check=True)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    peak = float(done.stdout.partition(': ')[2].rstrip('}\n'))
    assert 100 < peak < 900  # The parent has 1024.


def test_free_memory_is_within_the_limit_of_the_process(monkeypatch):
    resource = pytest.importorskip('resource')
    used = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, 'getrlimit', lambda _: (used + 2**20, used + 2**20))
    free = free_memory()
    assert free is not None and 0 <= free <= 2**21
