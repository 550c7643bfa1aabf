"""Takes the screenshot of the page in docs/serve.md.

python tests/helpers/scripts/serve_screenshot.py RUN/export IMAGE docs/serve.png
"""

import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3]))

from tests.helpers.browser import browser  # noqa: E402
from tests.helpers.serving_model import running  # noqa: E402


async def main(url, image, output):
    """Classifies an image on the page and takes a screenshot."""
    async with browser(960, 860) as page:
        await page.open(url)
        # The page shows the time of the last request, and the first one is slow.
        for turn in (1, 2, 3):
            await page.choose('#file', image)
            await page.until(f"document.body.dataset.done === '{turn}'")
        await page.screenshot(output)


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with running(sys.argv[1], model_name='dogscats', timeout=60) as served:
        asyncio.run(main(served.server.url, *sys.argv[2:]))
