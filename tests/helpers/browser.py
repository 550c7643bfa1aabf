"""Headless Chromium, controlled through its DevTools protocol.

async with browser() as page:
    await page.open('http://…')
    assert await page.run('document.title') == '…'
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile

import aiohttp

_FLAGS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--remote-debugging-port=0',
)


def chromium():
    """Returns the path of Chromium or Chrome, or None."""
    names = ('chromium', 'chromium-browser', 'google-chrome')
    return next((path for path in map(shutil.which, names) if path), None)


@contextlib.asynccontextmanager
async def browser(width=1000, height=800):
    """Opens a browser with an empty profile; yields its `Page`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                chromium(),
                *_FLAGS,
                f'--user-data-dir={profile}',
                f'--window-size={width},{height}',
                'about:blank',
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = await _port(profile, process)
            async with aiohttp.ClientSession() as session:
                url = f'http://127.0.0.1:{port}/json/new?about:blank'
                async with session.put(url) as response:
                    target = json.loads(await response.text())
                socket = target['webSocketDebuggerUrl']
                async with session.ws_connect(socket, max_msg_size=0) as connection:
                    page = Page(connection)
                    await page.begin(width, height)
                    yield page
                    page.end()
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _port(profile, process):
    path = os.path.join(profile, 'DevToolsActivePort')
    for _ in range(1200):
        with contextlib.suppress(OSError), open(path) as file:
            lines = file.read().split('\n')
            if len(lines) > 1:
                return int(lines[0])
        if process.poll() is not None:
            break
        await asyncio.sleep(0.05)
    raise RuntimeError('Chromium did not start')


class Page:
    """One tab.

    Attributes:
      requests: URLs of the requests.
      errors: texts of script errors and of violations of the content policy.
    """

    def __init__(self, connection):
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting = {}
        self.requests, self.errors = [], []

    async def begin(self, width, height):
        self._reader = asyncio.create_task(self._read())
        for domain in ('Page', 'Runtime', 'Network', 'Log', 'DOM'):
            await self.call(f'{domain}.enable')
        size = {'width': width, 'height': height, 'deviceScaleFactor': 1}
        await self.call('Emulation.setDeviceMetricsOverride', **size, mobile=False)

    def end(self):
        self._reader.cancel()

    async def call(self, method, **params):
        """Calls a method of the protocol and returns its result."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {'id': number, 'method': method, 'params': params}
        await self._connection.send_json(message)
        return await asyncio.wait_for(future, 60)

    async def _read(self):
        async for message in self._connection:
            event = json.loads(message.data)
            if 'id' in event:
                future = self._waiting.pop(event['id'])
                if 'error' in event:
                    future.set_exception(RuntimeError(event['error']['message']))
                else:
                    future.set_result(event['result'])
            elif event['method'] == 'Network.requestWillBeSent':
                self.requests.append(event['params']['request']['url'])
            elif event['method'] == 'Runtime.exceptionThrown':
                self.errors.append(json.dumps(event['params']['exceptionDetails']))
            elif event['method'] == 'Log.entryAdded':
                entry = event['params']['entry']
                if entry['level'] == 'error':
                    self.errors.append(entry['text'])

    async def open(self, url):
        """Opens a URL and waits until the page is loaded."""
        await self.call('Page.navigate', url=url)
        await self.until("document.readyState === 'complete'")

    async def run(self, script):
        """Returns the value of an expression or of the promise it returns."""
        result = await self.call(
            'Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True
        )
        if 'exceptionDetails' in result:
            raise RuntimeError(json.dumps(result['exceptionDetails']))
        return result['result'].get('value')

    async def until(self, condition, seconds=30):
        """Waits until an expression is true."""
        for _ in range(int(seconds / 0.05)):
            if await self.run(condition):
                return
            await asyncio.sleep(0.05)
        raise TimeoutError(condition)

    async def choose(self, selector, path):
        """Selects a file in a file input."""
        root = (await self.call('DOM.getDocument'))['root']['nodeId']
        node = await self.call('DOM.querySelector', nodeId=root, selector=selector)
        await self.call(
            'DOM.setFileInputFiles',
            nodeId=node['nodeId'],
            files=[os.path.abspath(path)],
        )

    async def prefer_dark(self, on=True):
        """Switches the preferred color scheme to dark."""
        value = 'dark' if on else 'light'
        await self.call(
            'Emulation.setEmulatedMedia',
            features=[{'name': 'prefers-color-scheme', 'value': value}],
        )

    async def screenshot(self, path):
        """Writes a screenshot of the whole page as PNG."""
        result = await self.call(
            'Page.captureScreenshot', format='png', captureBeyondViewport=True
        )
        with open(path, 'wb') as file:
            file.write(base64.b64decode(result['data']))
