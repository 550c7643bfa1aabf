"""The page at `/`, in a real browser."""

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

pytestmark = pytest.mark.skipif(not chromium(), reason='there is no Chromium')

IMAGE = model.pictures(1)[0]


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp('export')
    model.export(directory, 7)
    with model.running(directory, timeout=60) as running:
        yield running


def in_browser(test):
    """Has a test get a page that is open; it must not ask for anything elsewhere."""

    @functools.wraps(test)
    def run(served, tmp_path):
        async def main():
            async with browser() as page:
                await page.open(served.server.url)
                await test(page, tmp_path)
                elsewhere = [
                    url
                    for url in page.requests
                    if not url.startswith(
                        (served.server.url, 'blob:', 'data:', 'about:')
                    )
                ]
                assert not elsewhere
                return page.errors

        return asyncio.run(main())

    return run


def file_of(data, name='x.png'):
    """JavaScript that makes a DataTransfer with a file."""
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


async def shown(page, turn):
    """The classes as they stand on the page: a list of (name, percent)."""
    await page.until(f"document.body.dataset.done === '{turn}'")
    return await page.run(
        """[...document.querySelectorAll('#classes .name')].map(
            (line) => [...line.children].map((part) => part.textContent))"""
    )


def expected(picture):
    names, scores = model.expected(picture, 7)
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
    # A class name with a tag in it stays text.
    assert await shown(page, 1) == expected(IMAGE)
    widths = await page.run(
        """[...document.querySelectorAll('.fill')].map(
            (bar) => bar.offsetWidth / bar.parentElement.offsetWidth)"""
    )
    for width, score in zip(widths, model.expected(IMAGE, 7)[1], strict=True):
        assert width == pytest.approx(score, abs=0.02)
    time = await page.run("document.getElementById('time').textContent")
    assert 'ms from here and back' in time and 'in the model (version 7)' in time
    size = [
        await page.run(f"document.getElementById('seen').natural{s}") for s in SIZES
    ]
    assert size == [model.SIZE, model.SIZE]
    caption = await page.run("document.getElementById('given-text').textContent")
    assert caption == 'digit.png, 8 × 8'
    assert await page.run("document.getElementById('about').textContent") == 'version 7'


SIZES = ('Width', 'Height')


@in_browser
async def check_dropping_and_pasting(page, directory):
    await page.run(drop(IMAGE))
    assert await shown(page, 1) == expected(IMAGE)
    photo = encode(image('RGB', 40, 60), 'JPEG')
    await page.run(paste(photo))
    assert await shown(page, 2) != expected(IMAGE)
    size = [
        await page.run(f"document.getElementById('given').natural{s}") for s in SIZES
    ]
    assert size == [60, 40]


@in_browser
async def check_an_error(page, directory):
    await page.run(drop(b'no image', 'notes.txt'))
    await page.until("!document.getElementById('error').hidden")
    text = await page.run("document.getElementById('error').textContent")
    assert 'neither JPEG, PNG, GIF nor BMP' in text
    assert await page.run("document.getElementById('result').hidden")
    # And it goes on from there.
    await page.run(drop(IMAGE))
    assert await shown(page, 2) == expected(IMAGE)
    assert await page.run("document.getElementById('error').hidden")


@in_browser
async def check_what_it_says_and_how_it_is_reached(page, directory):
    text = await page.run("document.querySelector('footer').textContent")
    assert 'In production run' in text and 'TensorFlow Serving' in text
    # Every part has a name for those who do not see it.
    tree = await page.call('Accessibility.getFullAXTree')
    named = {
        (node['role']['value'], node['name']['value'])
        for node in tree['nodes']
        if node.get('name', {}).get('value')
    }
    assert ('heading', model.MODEL) in named
    assert any('choose a file' in name for _, name in named)
    # The chooser is reached with the keyboard, and that is seen.
    for kind in ('rawKeyDown', 'keyUp'):
        await page.call(
            'Input.dispatchKeyEvent', type=kind, key='Tab', windowsVirtualKeyCode=9
        )
    assert await page.run('document.activeElement.id') == 'file'
    outline = "getComputedStyle(document.querySelector('label.button')).outlineStyle"
    assert await page.run(outline) == 'solid'


@in_browser
async def check_dark_colors_and_a_small_window(page, directory):
    await page.run(drop(IMAGE))
    await shown(page, 1)
    ground = 'getComputedStyle(document.body).backgroundColor'
    light = await page.run(ground)
    await page.dark()
    assert await page.run(ground) != light
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
        check_what_it_says_and_how_it_is_reached,
        check_dark_colors_and_a_small_window,
    ],
)
def test_page(served, tmp_path, check):
    assert check(served, tmp_path) == []


def test_what_is_no_image(served, tmp_path):
    errors = check_an_error(served, tmp_path)
    # The browser itself notes the answers 400, and nothing else is wrong.
    assert all('400' in text for text in errors)
