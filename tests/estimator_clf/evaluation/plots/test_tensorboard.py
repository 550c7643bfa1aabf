"""Tests of runs in TensorBoard, through its HTTP interface and in a browser."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.helpers import small_run
from tests.helpers.launching import SMALL, launch, lines

#: JavaScript: all text of a page, including TensorBoard's web components, and 'image
#: WIDTHxHEIGHT' for each loaded image.
TEXT = """(() => {
  const found = [];
  const walk = (node) => {
    if (['STYLE', 'SCRIPT', 'TEMPLATE', 'DOM-MODULE'].includes(node.nodeName)) return;
    if (node.nodeType === Node.TEXT_NODE && node.textContent.trim())
      found.push(node.textContent.trim());
    if (node.nodeName === 'IMG' && node.complete && node.naturalWidth)
      found.push(`image ${node.naturalWidth}x${node.naturalHeight}`);
    if (node.shadowRoot) walk(node.shadowRoot);
    node.childNodes.forEach(walk);
  };
  walk(document.body);
  return found.join('|');
})()"""

#: Expected text of each dashboard.
EXPECTED = {
    'timeseries': ['|accuracy|', 'digits/validation', '|evaluation|6 cards|'],
    # Twenty mistakes, in four rows of five; twelve images, in two rows of six.
    'images': ['evaluation/mistakes', 'image 620x690', 'image 576x192'],
    'hparams': ['|linear|adam|', '|learning_rate|', '|test accuracy|', '|small|'],
    'text': ['|class|precision|recall|F1|count|', '|true class|predicted|count|'],
    'pr_curves': ['precision_recall/3', 'digits/test is at'],
}


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """A directory with two runs: digits by the command line, and a small one."""
    directory = tmp_path_factory.mktemp('runs')
    done = launch(
        'train',
        *SMALL,
        '--epochs=2',
        '--validation_split=0.2',
        '--projector=50',
        '--profile=5:8',
        '--histograms',
        '--noexport',
        f'--model_dir={directory}/digits',
    )
    assert done.returncode == 0, done.stderr
    assert 'steps recorded' in done.stderr
    small_run.run(directory / 'small', data=small_run.source(), eval_every='0')
    return directory


@pytest.fixture(scope='module')
def board(runs):
    """URL of a TensorBoard that has loaded the runs."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'tensorboard.main', '--port=0', '--host=127.0.0.1']
        + [f'--logdir={runs}'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    output = []
    try:
        address = None
        for line in process.stderr:
            output.append(line)
            found = re.search(r'http://127\.0\.0\.1:\d+', line)
            if found:
                address = found[0]
                break
        assert address, ''.join(output)
        # Otherwise the pipe would fill up.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        end = time.monotonic() + 60
        while not has_loaded(address):
            assert time.monotonic() < end, 'TensorBoard does not find the runs'
            time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def get(board, path, **arguments):
    url = f'{board}/data/{path}'
    if arguments:
        url += '?' + urllib.parse.urlencode(arguments)
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def has_loaded(board):
    try:
        scalars = get(board, 'plugin/scalars/tags')
        images = get(board, 'plugin/images/tags')
    except urllib.error.URLError:
        return False
    expected = {'digits/validation', 'digits/test', 'small/test'}
    return expected <= set(scalars) and expected <= set(images)


@pytest.mark.extended
def test_dashboards(board):
    plugins = get(board, 'plugins_listing')
    for name in ('scalars', 'images', 'graphs', 'histograms', 'text', 'pr_curves'):
        assert plugins[name]['enabled'], name
    assert plugins['hparams']['enabled']


@pytest.mark.extended
def test_scalars(board, runs):
    tags = get(board, 'plugin/scalars/tags')
    for run in ('digits', 'digits/validation', 'digits/test'):
        assert {'loss', 'accuracy'} <= set(tags[run])
    assert {'input_wait', 'peak_memory_mb', 'learning_rate'} <= set(tags['digits'])
    found = get(board, 'plugin/scalars/scalars', run='digits/test', tag='accuracy')
    logged = lines(runs / 'digits' / 'metrics.jsonl')
    (final,) = (line for line in logged if line['split'] == 'test')
    ((_, step, value),) = found
    assert step == final['step'] and value == pytest.approx(final['accuracy'], 1e-6)
    assert all(x['peak_memory_mb'] > 100 for x in logged if x['split'] == 'train')


def test_images_tables_and_curves(board):
    images = get(board, 'plugin/images/tags')
    text = get(board, 'plugin/text/tags')
    curves = get(board, 'plugin/pr_curves/tags')
    tables = {'tables/classes', 'tables/confused', 'tables/mistakes'}
    for run in ('digits/validation', 'digits/test', 'small/test'):
        assert {'evaluation/confusion_matrix', 'evaluation/mistakes'} <= set(
            images[run]
        )
        assert tables <= set(text[run])
    assert set(curves['digits/test']) == {
        'precision_recall/pr_curves',
        *(f'precision_recall/{n}/pr_curves' for n in range(10)),
    }
    where = {'run': 'digits/test', 'tag': 'precision_recall/3/pr_curves'}
    ((curve,),) = get(board, 'plugin/pr_curves/pr_curves', **where).values()
    # The plugin omits thresholds without positive predictions.
    assert 10 < len(curve['precision']) <= 101
    assert curve['recall'][0] == 1 and curve['recall'] == sorted(curve['recall'])[::-1]


def test_runs_can_be_compared(board):
    experiment = get(board, 'plugin/hparams/experiment', request='{}')
    names = [info['name'] for info in experiment['hparamInfos']]
    shown = ['batch_size', 'learning_rate', 'network', 'optimizer', 'steps']
    assert names[:5] == shown
    expected = {
        'startIndex': 0,
        'sliceSize': 10,
        'allowedStatuses': ['STATUS_UNKNOWN', 'STATUS_SUCCESS', 'STATUS_RUNNING'],
        'colParams': [{'metric': {'group': 'test', 'tag': 'accuracy'}}],
    }
    found = get(board, 'plugin/hparams/session_groups', request=json.dumps(expected))
    groups = {group['name']: group for group in found['sessionGroups']}
    digits, small = (groups[name] for name in ('digits', 'small'))
    assert digits['hparams']['batch_size'] == 64 and small['hparams']['steps'] == 14
    for group in (digits, small):
        (session,) = group['sessions']
        assert session['status'] == 'STATUS_SUCCESS'
        (accuracy,) = (
            m['value']
            for m in session['metricValues']
            if m['name'] == {'group': 'test', 'tag': 'accuracy'}
        )
        assert 0 < accuracy <= 1


def test_projector(board):
    info = get(board, 'plugin/projector/info', run='digits')
    entries = {entry['tensorName']: entry for entry in info['embeddings']}
    shape = entries['penultimate layer (test)']['tensorShape']
    assert 45 <= shape[0] <= 50 and shape[1] == 64


@pytest.mark.extended
def test_in_the_browser(board):
    pytest.importorskip('aiohttp')
    from tests.helpers.browser import browser, chromium

    if not chromium():
        pytest.skip('there is no Chromium')

    async def main():
        async with browser() as page:
            for dashboard, expected in EXPECTED.items():
                # A change after the # alone would load nothing.
                await page.open('about:blank')
                await page.open(f'{board}/#{dashboard}')
                conditions = [f'{TEXT}.includes({json.dumps(x)})' for x in expected]
                try:
                    await page.until(' && '.join(conditions))
                except TimeoutError:
                    found = await page.run(TEXT)
                    raise AssertionError(f'{dashboard}: {expected}\n{found}') from None

    asyncio.run(main())
