"""The page at `/` in a browser."""

import asyncio
import base64
import functools
import json

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

from tests.helpers import serving_model as model
from tests.helpers.browser import browser, chromium
from tests.helpers.images import encode, image

pytestmark = pytest.mark.skipif(not chromium(), reason='needs Chromium')

IMAGE = model.gray_pngs(1)[0]


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp('export')
    model.export(directory, 7)
    with model.running(directory, timeout=60) as running:
        yield running


def in_browser(test):
    """Runs a test with the open page, which must not send requests to other hosts."""

    @functools.wraps(test)
    def run(served, tmp_path):
        async def main():
            async with browser() as page:
                await page.open(served.server.url)
                await test(page, tmp_path)
                foreign = [
                    url
                    for url in page.requests
                    if not url.startswith(
                        (served.server.url, 'blob:', 'data:', 'about:')
                    )
                ]
                assert not foreign
                return page.errors

        return asyncio.run(main())

    return run


def file_of(data, name='x.png'):
    """Returns JavaScript that creates a DataTransfer with a file."""
    content = json.dumps(base64.b64encode(data).decode())
    return f"""(() => {{
        const bytes = Uint8Array.from(atob({content}), (c) => c.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], {json.dumps(name)}));
        return files;
    }})()"""


def drop(data, name='x.png'):
    return f"""document.getElementById('drop').dispatchEvent(new DragEvent('drop',
        {{bubbles: true, cancelable: true, dataTransfer: {file_of(data, name)}}}))"""


def paste(data):
    return f"""document.dispatchEvent(new ClipboardEvent('paste',
        {{bubbles: true, clipboardData: {file_of(data)}}}))"""


async def displayed_classes(page, turn):
    """Returns the classes on the page: a list of [name, percent]."""
    await page.until(f"document.body.dataset.done === '{turn}'")
    return await page.run(
        """[...document.querySelectorAll('#classes .name')].map(
            (line) => [...line.children].map((part) => part.textContent))"""
    )


def expected(png):
    names, scores = model.expected(png, 7)
    return [
        [name, f'{100 * score:.1f} %']
        for name, score in zip(names, scores, strict=True)
    ]


@in_browser
async def check_choosing(page, directory):
    path = directory / 'digit.png'
    path.write_bytes(IMAGE)
    assert await page.run("document.getElementById('result').hidden")
    await page.choose('#file', path)
    # HTML in a class name is displayed as text.
    assert await displayed_classes(page, 1) == expected(IMAGE)
    widths = await page.run(
        """[...document.querySelectorAll('.fill')].map(
            (bar) => bar.offsetWidth / bar.parentElement.offsetWidth)"""
    )
    for width, score in zip(widths, model.expected(IMAGE, 7)[1], strict=True):
        assert width == pytest.approx(score, abs=0.02)
    time = await page.run("document.getElementById('time').textContent")
    assert 'ms in total' in time and 'in the model (version 7)' in time
    size = [
        await page.run(f"document.getElementById('input').natural{s}") for s in SIZES
    ]
    assert size == [model.SIZE, model.SIZE]
    caption = await page.run("document.getElementById('original-text').textContent")
    assert caption == 'digit.png, 8 × 8'
    assert (
        await page.run("document.getElementById('version').textContent") == 'version 7'
    )


SIZES = ('Width', 'Height')


@in_browser
async def check_dropping_and_pasting(page, directory):
    await page.run(drop(IMAGE))
    assert await displayed_classes(page, 1) == expected(IMAGE)
    photo = encode(image('RGB', 40, 60), 'JPEG')
    await page.run(paste(photo))
    assert await displayed_classes(page, 2) != expected(IMAGE)
    size = [
        await page.run(f"document.getElementById('original').natural{s}") for s in SIZES
    ]
    assert size == [60, 40]


@in_browser
async def check_invalid_image(page, directory):
    await page.run(drop(b'no image', 'notes.txt'))
    await page.until("!document.getElementById('error').hidden")
    text = await page.run("document.getElementById('error').textContent")
    assert 'neither JPEG, PNG, GIF nor BMP' in text
    assert await page.run("document.getElementById('result').hidden")
    # The next image is classified.
    await page.run(drop(IMAGE))
    assert await displayed_classes(page, 2) == expected(IMAGE)
    assert await page.run("document.getElementById('error').hidden")


@in_browser
async def check_text_and_accessibility(page, directory):
    text = await page.run("document.querySelector('footer').textContent")
    assert 'In production use' in text and 'TensorFlow Serving' in text
    # Every part has an accessible name.
    tree = await page.call('Accessibility.getFullAXTree')
    named = {
        (node['role']['value'], node['name']['value'])
        for node in tree['nodes']
        if node.get('name', {}).get('value')
    }
    assert ('heading', model.MODEL) in named
    assert any('choose a file' in name for _, name in named)
    # The file input can be focused with the keyboard, visibly.
    for kind in ('rawKeyDown', 'keyUp'):
        await page.call(
            'Input.dispatchKeyEvent', type=kind, key='Tab', windowsVirtualKeyCode=9
        )
    assert await page.run('document.activeElement.id') == 'file'
    outline = "getComputedStyle(document.querySelector('label.button')).outlineStyle"
    assert await page.run(outline) == 'solid'


@in_browser
async def check_dark_scheme_and_narrow_window(page, directory):
    await page.run(drop(IMAGE))
    await displayed_classes(page, 1)
    background = 'getComputedStyle(document.body).backgroundColor'
    light = await page.run(background)
    await page.prefer_dark()
    assert await page.run(background) != light
    await page.call(
        'Emulation.setDeviceMetricsOverride',
        width=360,
        height=640,
        deviceScaleFactor=1,
        mobile=True,
    )
    assert await page.run('document.documentElement.scrollWidth') <= 360


@pytest.mark.parametrize(
    'check',
    [
        check_choosing,
        check_dropping_and_pasting,
        check_text_and_accessibility,
        check_dark_scheme_and_narrow_window,
    ],
)
def test_page(served, tmp_path, check):
    assert check(served, tmp_path) == []


def test_invalid_image(served, tmp_path):
    errors = check_invalid_image(served, tmp_path)
    # The browser logs the responses with status 400, and no other error.
    assert all('400' in text for text in errors)
