"""The page at `/`, on which an image is dropped and its classes come up."""

import importlib.resources
import io
import json

from aiohttp import web
from PIL import Image
from tensorflow_serving.apis import model_pb2

from estimator_clf.serving.bodies import BODY

# Nothing from elsewhere, whatever ends up in the page.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class Page:
    """The page, and the image that it shows beside the classes."""

    def __init__(self, core):
        """Makes the page.

        Args:
          core: `Core`.
        """
        self._core = core
        directory = importlib.resources.files('estimator_clf.serving')
        text = (directory / 'page.html').read_text(encoding='utf-8')
        name = json.dumps(core.versions.name).replace('<', '\\u003c')
        self._text = text.replace('/*MODEL*/null', name)

    async def show(self, request):
        """Answers GET /."""
        return web.Response(
            text=self._text,
            content_type='text/html',
            headers={
                'Content-Security-Policy': _POLICY,
                'X-Content-Type-Options': 'nosniff',
                'Cache-Control': 'no-cache',
            },
        )

    async def seen(self, request):
        """Answers POST /seen: the body, an image, as the network sees it, as PNG."""
        data = request[BODY]
        spec = model_pb2.ModelSpec(name=self._core.versions.name)
        pixels = await self._core.seen_image(spec, data)
        buffer = io.BytesIO()
        gray = pixels.shape[-1] == 1
        Image.fromarray(pixels[..., 0] if gray else pixels).save(buffer, 'PNG')
        return web.Response(
            body=buffer.getvalue(),
            content_type='image/png',
            headers={'Cache-Control': 'no-store'},
        )
