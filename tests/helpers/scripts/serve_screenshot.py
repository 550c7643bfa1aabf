"""Takes the image of the page that the docs show.

python tests/helpers/scripts/serve_screenshot.py RUN/export IMAGE docs/serve.png
"""

import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3]))

from tests.helpers.browser import browser  # noqa: E402
from tests.helpers.serving_model import running  # noqa: E402


async def main(url, picture, output):
    """Classifies an image on the page, as a person does, and takes its image."""
    async with browser(960, 860) as page:
        await page.open(url)
        # The first one is slow, and not what the time beside the classes is to say.
        for turn in (1, 2, 3):
            await page.choose('#file', picture)
            await page.until(f"document.body.dataset.done === '{turn}'")
        await page.screenshot(output)


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with running(sys.argv[1], name='dogscats', timeout=60) as served:
        asyncio.run(main(served.server.url, *sys.argv[2:]))
