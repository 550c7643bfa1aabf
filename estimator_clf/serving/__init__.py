"""A server for trying an export out, with TensorFlow Serving's two APIs.

For one's own machine and for tests. What to run in production is TensorFlow Serving
itself, see docs/serve.md; a client cannot tell the two apart by the URLs, messages and
status codes that are described there.

Needs the extra: `pip install -e '.[serving]'`.
"""
