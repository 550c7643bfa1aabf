"""SIGTERM and SIGINT: a checkpoint at the next step, exit code 0, exact resume."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import tensorflow as tf

from estimator_clf.core import signals
from tests.helpers import small_run
from tests.helpers.launching import ROOT, SMALL, command, launch, lines


def test_first_signal_is_a_request_and_the_second_raises():
    with signals.on_signals() as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGINT)
        assert stop and stop.requested == 'SIGINT'
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)


def test_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with signals.on_signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_does_nothing_in_another_thread():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def work():
        with signals.on_signals() as stop:
            found.append((bool(stop), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]


def test_hook_ends_a_bare_session_after_the_step():
    stopped, stop = [], signals.Stop()
    with tf.Graph().as_default():
        step = tf.compat.v1.train.get_or_create_global_step()
        count = step.assign_add(1)
        hook = signals.StopHook(stop, stopped.append)
        with tf.compat.v1.train.SingularMonitoredSession([hook]) as session:
            session.run(count)
            assert not session.should_stop()
            stop.requested = 'SIGTERM'
            session.run(count)
            assert session.should_stop()
    assert stopped == ['SIGTERM']


_BLOCKED = """
    import contextlib, ctypes, os, signal, threading, time
    from estimator_clf.core import signals
    signals._GRACE = 0.3
    libc = ctypes.CDLL(None)

    def block(seconds):  # Unlike sleep, it is not interrupted by signals.
        thread = ctypes.c_ulong()
        sleep = ctypes.cast(libc.sleep, ctypes.c_void_p)
        seconds = ctypes.c_void_p(seconds)
        libc.pthread_create(ctypes.byref(thread), None, sleep, seconds)
        libc.pthread_join(thread, None)

    def send():
        for _ in range({count}):
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)

    with signals.on_signals() as stop:
        threading.Thread(target=send, daemon=True).start()
        with stop.raise_immediately() if {immediate} else contextlib.nullcontext():
            block(2)
    print(stop.requested)
"""


@pytest.mark.extended
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs pthreads')
@pytest.mark.parametrize(
    'count,immediate,code,words',
    [
        (1, False, 0, 'Finishing a long step; a second signal ends it.'),
        (2, False, 130, 'a running operation ignores signals; ending'),
        (1, True, 130, 'a running operation ignores signals; ending'),
    ],
)
def test_signals_end_an_operation_during_which_python_handles_none(
    count, immediate, code, words
):
    program = textwrap.dedent(_BLOCKED).format(count=count, immediate=immediate)
    done = subprocess.run(
        [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stdout == ('SIGINT\n' if code == 0 else '')


# Long enough for the signal to arrive in the middle.
LONG = (*SMALL, '--epochs=400', '--eval_every=20epochs', '--record_keys', '--noexport')


@pytest.mark.extended
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_stopped_run_saves_and_resumes(tmp_path, number):
    run = tmp_path / 'run'
    process = subprocess.Popen(
        command('train', *LONG, f'--model_dir={run}'),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    keys = run / 'keys.jsonl'
    deadline = time.monotonic() + 120
    while not (keys.exists() and keys.stat().st_size > 20000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert f'Stopped by {number.name}' in log and 'resumes from there' in log
    last = lines(keys)[-1]['step']
    # No step is lost.
    assert (run / f'model.ckpt-{last}.index').exists()
    assert f'saved at step {last}' in log

    more = launch(
        'train', *LONG, f'--max_steps={last + 3}', '--epochs=0', f'--model_dir={run}'
    )
    assert more.returncode == 0, more.stderr
    assert f'Resuming from step {last}' in more.stderr
    assert [x['step'] for x in lines(keys)] == list(range(1, last + 4))


def test_stops_immediately_when_there_is_nothing_to_save(tmp_path, monkeypatch):
    with pytest.raises(signals.Stopped), signals.on_signals() as stop:
        with stop.raise_immediately():
            signal.raise_signal(signal.SIGTERM)
    assert stop.requested == 'SIGTERM'

    def maker(*args):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(small_run, 'small_model_fn', maker)
    results = small_run.run(tmp_path / 'run')
    assert (results.step, results.stopped) == (0, 'SIGTERM')
    assert not (tmp_path / 'run').exists()
