"""Server for trying out an export, with the REST and gRPC APIs of TensorFlow Serving.

It implements what tensorflow.org documents of these APIs, for local use and for tests.
For production use TensorFlow Serving itself, see docs/serve.md.

Requires the extra: `pip install -e '.[serving]'`.
"""
