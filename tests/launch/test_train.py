"""The main job through its command line: what it leaves, and what it says."""

import csv
import fcntl
import io
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import termios

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers.launching import ROOT, SMALL, command, launch, lines

RUN = (
    *SMALL,
    '--epochs=8',
    '--validation_split=0.2',
    # Whose steps depend on the length of the run, which other programs must know.
    '--warmup=1epochs',
    '--schedule=step',
    '--decay_rate=0.5',
)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A finished run: (its directory, the finished process)."""
    directory = tmp_path_factory.mktemp('runs') / 'digits'
    done = launch(
        'train',
        *RUN,
        '--eval_every=4epochs',
        f'--model_dir={directory}',
    )
    assert done.returncode == 0, done.stderr
    return directory, done


@pytest.fixture(scope='module')
def image_dir(tmp_path_factory):
    """Digits of the test split as PNG files of another size: (directory, labels)."""
    directory = tmp_path_factory.mktemp('images')
    digits = load_digits()
    labels = {}
    for index in range(-40, 0):
        pixels = np.round(digits.images[index] * (255 / 16)).astype(np.uint8)
        path = directory / f'{index + 40:02d}.png'
        Image.fromarray(pixels).resize((24, 24), Image.Resampling.BICUBIC).save(path)
        labels[str(path)] = str(digits.target[index])
    return directory, labels


def test_leaves_what_it_should(run):
    directory, _ = run
    names = set(os.listdir(directory))
    assert {'config.json', 'dataset.json', 'metrics.jsonl', 'export'} <= names
    assert any(name.startswith('events.out.tfevents') for name in names)
    assert any(name.startswith('model.ckpt-') for name in names)
    (version,) = os.listdir(directory / 'export')
    labels = directory / 'export' / version / 'assets.extra' / 'labels.txt'
    assert labels.read_text().split() == [str(n) for n in range(10)]


def test_config_tells_all_settings_and_versions(run):
    directory, _ = run
    record = json.loads((directory / 'config.json').read_text())
    assert record['settings']['learning_rate'] == 0.01
    assert record['settings']['augment'] == ''  # A default is a setting too.
    assert record['versions']['tensorflow']
    assert 'git_revision' in record
    info = json.loads((directory / 'dataset.json').read_text())
    assert sum(info['num_examples'].values()) == 1797
    assert set(info['num_examples']) == {'train', 'validation', 'test'}


def test_metrics_are_flat_lines(run):
    directory, _ = run
    found = lines(directory / 'metrics.jsonl')
    assert {line['split'] for line in found} == {'train', 'validation', 'test'}
    for line in found:
        assert all(not isinstance(value, (dict, list)) for value in line.values())
        assert {'step', 'split', 'time', 'loss', 'accuracy'} <= set(line)
    train = [line for line in found if line['split'] == 'train']
    assert {'learning_rate', 'examples_per_second', 'input_wait'} <= set(train[0])
    assert train[-1]['loss'] < train[0]['loss']
    # Evaluated at the middle and at the end, on the test split at the end only.
    steps = [line['step'] for line in found if line['split'] == 'validation']
    assert len(steps) == 2 and steps[1] == train[-1]['step']
    assert [x['step'] for x in found if x['split'] == 'test'] == [steps[1]]


def test_log_and_result_are_for_reading(run):
    directory, done = run
    logged = done.stderr.splitlines()
    assert any('epoch' in line and 'ETA' in line for line in logged)
    assert '\r' not in done.stderr and '\x1b' not in done.stderr
    assert 'WARNING' not in done.stderr and 'deprecated' not in done.stderr
    # The table, and the three commands that people want next.
    assert 'accuracy' in done.stdout and 'class (test)' in done.stdout
    for wanted in ('tensorboard --logdir', 'launch.predict', 'tensorflow_model_server'):
        assert wanted in done.stdout


def test_learns(run):
    directory, _ = run
    final = [x for x in lines(directory / 'metrics.jsonl') if x['split'] == 'test'][-1]
    assert final['accuracy'] > 0.85


def test_evaluate_finds_the_same(run):
    directory, _ = run
    done = launch('evaluate', f'--model_dir={directory}', '--output=json')
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    written = [x for x in lines(directory / 'metrics.jsonl') if x['split'] == 'test'][
        -1
    ]
    for name, value in found['test'].items():
        assert value == pytest.approx(written[name], abs=1e-6), name


@pytest.mark.extended
def test_evaluate_asks_for_all_splits_before_the_first_evaluation(run, tmp_path):
    directory, _ = run
    copy = shutil.copytree(directory, tmp_path / 'copy')
    for data in copy.glob('model.ckpt-*.data-*'):
        data.write_bytes(data.read_bytes()[:100])  # No evaluation comes to its end.
    done = launch('evaluate', f'--model_dir={copy}', '--split=test,vlaid')
    assert done.returncode == 2 and "no split 'vlaid'" in done.stderr


@pytest.mark.extended
def test_evaluate_over_several_views(run):
    directory, _ = run
    test = ['evaluate', f'--model_dir={directory}', '--output=json', '--split=test']
    losses = []
    for views in ('none', 'mirror, shift(1)'):
        done = launch(*test, f'--eval_tta={views}')
        assert done.returncode == 0, done.stderr
        losses.append(json.loads(done.stdout)['test']['loss'])
    written = [x for x in lines(directory / 'metrics.jsonl') if x['split'] == 'test'][
        -1
    ]
    assert losses[0] == pytest.approx(written['loss'], abs=1e-6)
    assert abs(losses[1] - losses[0]) > 1e-3
    wrong = launch(*test, '--eval_tta=shift(8)')
    assert wrong.returncode == 2
    assert 'shift must be less than the sides of the images, 8x8' in wrong.stderr


@pytest.mark.parametrize(
    'flags,words',
    [
        (['--eval_tta=mirror'], 'without --export_tta; give both'),
        (
            ['--format=tensor_only', '--check_export'],
            '--check_export is for --format=saved_model',
        ),
    ],
)
def test_flags_that_an_export_would_pass_over(run, flags, words):
    directory, _ = run
    done = launch('export', f'--model_dir={directory}', *flags)
    assert done.returncode == 2 and words in done.stderr


@pytest.mark.extended
def test_evaluate_an_earlier_checkpoint_as_a_table(run):
    directory, _ = run
    steps = sorted(
        int(p.stem.split('-')[1]) for p in directory.glob('model.ckpt-*.index')
    )
    done = launch(
        'evaluate',
        f'--model_dir={directory}',
        f'--checkpoint={steps[0]}',
        '--split=validation',
    )
    assert done.returncode == 0, done.stderr
    assert f'model.ckpt-{steps[0]}\n' in done.stdout and 'validation' in done.stdout
    wrong = launch('evaluate', f'--model_dir={directory}', '--checkpoint=12345')
    assert wrong.returncode == 2 and f'model.ckpt-{steps[0]}' in wrong.stderr


@pytest.mark.extended
def test_predict_in_every_form(run, image_dir):
    directory, _ = run
    image_dir, labels = image_dir
    form = launch(
        'predict', f'--export_dir={directory}/export', '--output=csv', image_dir
    )
    assert form.returncode == 0, form.stderr
    rows = list(csv.DictReader(io.StringIO(form.stdout)))
    assert [row['file'] for row in rows] == sorted(labels)
    right = [row['class'] == labels[row['file']] for row in rows]
    assert np.mean(right) > 0.7
    assert all(0 <= float(row['probability']) <= 1 for row in rows)

    form = launch(
        'predict',
        f'--export_dir={directory}/export',
        '--output=jsonl',
        '--top=3',
        f'{image_dir}/*.png',
    )
    found = [json.loads(line) for line in form.stdout.splitlines()]
    assert [line['class'] for line in found] == [row['class'] for row in rows]
    assert len(found[0]['top']) == 3
    assert found[0]['top'][0]['probability'] == found[0]['probability']

    first = min(labels)
    form = launch('predict', f'--export_dir={directory}/export', first)
    header, rule, row = form.stdout.splitlines()
    assert header.split() == ['file', 'class', 'probability'] and first in row


def test_predict_names_corrupt_files_and_classifies_the_others(
    run, image_dir, tmp_path
):
    directory, _ = run
    good = min(image_dir[1])
    bad = tmp_path / 'bad.jpg'
    bad.write_text('not an image')
    done = launch(
        'predict', f'--export_dir={directory}/export', '--output=csv', bad, good
    )
    assert done.returncode == 1
    assert str(bad) in done.stderr and 'neither JPEG' in done.stderr
    assert good in done.stdout and str(bad) not in done.stdout
    missing = launch('predict', f'--export_dir={directory}/export', '/no/such.jpg')
    assert missing.returncode == 2 and '/no/such.jpg' in missing.stderr
    empty = launch('predict', f'--export_dir={tmp_path}', good)
    assert empty.returncode == 2 and '--export_dir' in empty.stderr


@pytest.mark.extended
def test_export_again_gives_a_later_version(run, tmp_path):
    directory, _ = run
    arguments = (f'--model_dir={directory}', f'--export_dir={tmp_path}')
    first, second = (launch('export', *arguments) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert os.path.dirname(first.stdout.strip()) == str(tmp_path)
    assert int(second.stdout.split('/')[-1]) > int(first.stdout.split('/')[-1])


def test_resuming_a_complete_run_only_reports_it(run):
    directory, done = run
    again = launch(
        'train',
        *RUN,
        f'--model_dir={directory}',
        '--noexport',
    )
    assert again.returncode == 0, again.stderr
    assert 'raise --epochs' in again.stderr
    assert again.stdout.splitlines()[:6] == done.stdout.splitlines()[:6]


def test_other_settings_are_refused_and_nothing_touched(run):
    directory, _ = run
    before = (directory / 'config.json').read_bytes()
    other = launch(
        'train',
        *SMALL,
        '--learning_rate=0.02',
        '--validation_split=0.2',
        f'--model_dir={directory}',
    )
    assert other.returncode == 2
    assert '--learning_rate: 0.01 there, 0.02 now' in other.stderr
    assert (directory / 'config.json').read_bytes() == before


@pytest.mark.extended
def test_progress_bar_on_a_terminal(tmp_path):
    """On a terminal there is a bar with epoch, step, loss, speed and ETA."""
    ours, theirs = pty.openpty()
    # A fresh one is 0 columns wide, where no bar can be drawn.
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('4H', 30, 120, 0, 0))
    process = subprocess.Popen(
        command('train', *SMALL, '--epochs=2', f'--model_dir={tmp_path}/run'),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b''
    while select.select([ours], [], [], 120)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # The other end is closed.
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(60) == 0
    text = shown.decode(errors='replace')
    for wanted in ('%|', 'steps', 'loss=', 'accuracy=', 'images/s=', 'epoch '):
        assert wanted in text, text


@pytest.mark.extended
def test_regression(tmp_path):
    """The field's first lesson: y = Wx + b, found from a CSV file."""
    x = np.random.RandomState(0).uniform(-1, 1, 200)
    rows = [f'{a},{3 * a + 2}' for a in x]
    table = tmp_path / 'line.csv'
    table.write_text('x,y\n' + '\n'.join(rows) + '\n')
    done = launch(
        'train',
        '--dataset=csv',
        f'--data_dir={table}',
        '--network=linear_regression',
        '--optimizer=sgd',
        '--learning_rate=0.2',
        '--batch_size=20',
        '--epochs=30',
        '--validation_split=0.2',
        f'--model_dir={tmp_path}/run',
    )
    assert done.returncode == 0, done.stderr
    final = [
        x
        for x in lines(tmp_path / 'run' / 'metrics.jsonl')
        if x['split'] == 'validation'
    ][-1]
    assert final['root_mean_squared_error'] < 1e-3
