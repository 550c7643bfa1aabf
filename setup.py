"""Installs estimator_clf: `pip install -e .` in a clone, or `pip install .`"""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r"^__version__ = '(.*)'$",
    (HERE / 'estimator_clf' / '__init__.py').read_text(encoding='utf-8'),
    re.MULTILINE,
)[1]

PACKAGES = ('estimator_clf', 'input', 'model_fns', 'launch')
# `launch.serve`. The protos are TensorFlow Serving's own; each release requires a
# TensorFlow at least as new, and pip finds the matching one if both are named in one
# command.
SERVING = [
    'aiohttp',
    'grpcio',
    'prometheus-client',
    'tensorflow-serving-api>=2.15,!=2.20.*,<2.22',
]
# `launch.export --format=onnx`, and a runtime for such models. pip installs onnx 1.19
# next to the ml_dtypes of TensorFlow 2.15, with which it cannot be imported.
ONNX = ['onnx!=1.19.*', 'tf2onnx', 'onnxruntime']
# Runtime for `launch.export --format=tensor_only`; for the tests.
OPENVINO = ['openvino']
# `--network=pretrained`: the architectures, which TensorFlow dropped in 2.16. Each
# release matches the TensorFlow of the same minor version.
KERAS = ['tf_keras>=2.15,!=2.20.*,<2.22']
# `--weights=FILE.safetensors`.
SAFETENSORS = ['safetensors']
# With these no test is skipped for a missing package, except those that need PyTorch
# and torchvision.
TEST = [
    'pytest',
    'pytest-xdist>=3.7',
    *SERVING,
    *ONNX,
    *OPENVINO,
    *KERAS,
    *SAFETENSORS,
]
# The site: `mkdocs build --strict`.
DOCS = ['mkdocs', 'mkdocs-material', 'mkdocstrings[python]']
# The static checks of `.ci/static`.
STATIC = ['codespell', 'import-linter', 'mypy', 'ruff', *DOCS]

setup(
    name='estimator_clf',
    version=VERSION,
    description='Image classification with tf.estimator and tf.data, on '
    'TensorFlow from 2.15 to 2.21',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(
        include=[f'{name}{tail}' for name in PACKAGES for tail in ('', '.*')]
    ),
    package_data={
        **{name: ['py.typed'] for name in PACKAGES},
        'estimator_clf.serving': ['page.html'],
        'launch': ['py.typed', 'flagfiles/*.flags'],
    },
    entry_points={'console_scripts': ['estimator-clf = launch.cli:main']},
    zip_safe=False,  # Flagfiles are opened by path.
    python_requires='>=3.10,<3.14',
    install_requires=[
        # 2.20 lets pip install protobuf 7, with which its first checkpoint raises.
        'tensorflow>=2.15,!=2.20.*,<2.22',
        'tensorflow-estimator==2.15.0',
        'tensorboard',  # TensorFlow 2.21 no longer requires it.
        'tensorflow-datasets',
        'absl-py',
        'psutil',
        'tqdm',
        'Pillow>=10.1',  # Its built-in font is scalable from 10.1 on.
        'scikit-learn',
        'scipy',
        'threadpoolctl',  # As scikit-learn requires it.
        'importlib_resources',  # tensorflow-datasets does not declare it.
    ],
    extras_require={
        'test': TEST,
        # schemathesis, a second fuzzer of the server, is for the slow tests.
        'dev': [*TEST, *STATIC, 'pre-commit', 'schemathesis'],
        'docs': DOCS,
        # The oldest supported. Later releases of tensorflow-metadata, which TensorFlow
        # Datasets does not exclude, cannot be imported with the protobuf of 2.15.
        'tf215': ['tensorflow~=2.15.0', 'tensorflow-metadata<1.18'],
        'serving': SERVING,
        'onnx': ONNX,
        'openvino': OPENVINO,
        'keras': KERAS,
        'safetensors': SAFETENSORS,
        # The peers of benchmarks/training.py. PyTorch has separate wheels for CPUs:
        # --index-url=https://download.pytorch.org/whl/cpu.
        'benchmarks': ['keras>=3.0', 'matplotlib', 'torch==2.13.0'],
        # TensorFlow Datasets prepares its largest datasets with it.
        'beam': ['apache-beam'],
        # TensorFlow's own extra: the CUDA libraries as wheels.
        'gpu': ['tensorflow[and-cuda]>=2.15,!=2.20.*,<2.22'],
    },
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
