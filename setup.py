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

# `launch.serve`. TensorFlow Serving's own protos; each release of them wants a
# TensorFlow at least as new, and pip takes the one that goes with yours if both are
# named in one command.
SERVING = [
    'aiohttp',
    'grpcio',
    'prometheus-client',
    'tensorflow-serving-api>=2.15,!=2.20.*,<2.22',
]
# `launch.export --format=onnx`, and what reads such a model. 1.19 of onnx lets itself
# be installed beside the ml_dtypes of TensorFlow 2.15, and cannot be imported there.
ONNX = ['onnx!=1.19.*', 'tf2onnx', 'onnxruntime']
# Reads `launch.export --format=tensor_only`; for the tests.
OPENVINO = ['openvino']
# `--network=pretrained`: the architectures, as TensorFlow 2.16 and later do not have
# them any more; each release goes with the TensorFlow of the same minor version.
KERAS = ['tf_keras>=2.15,!=2.20.*,<2.22']
# With these no test is left out for want of a package.
TEST = ['pytest', 'pytest-xdist>=3.7', *SERVING, *ONNX, *OPENVINO, *KERAS]

setup(
    name='estimator_clf',
    version=VERSION,
    description='Image classification with tf.estimator and tf.data, on the '
    'TensorFlow of 2.15 and of today',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(
        include=[
            f'{name}{tail}'
            for name in ('estimator_clf', 'input', 'model_fns', 'launch')
            for tail in ('', '.*')
        ]
    ),
    package_data={
        'estimator_clf.serving': ['page.html'],
        'launch': ['flagfiles/*.flags'],
    },
    python_requires='>=3.10,<3.14',
    install_requires=[
        # 2.20's first checkpoint raises with protobuf 7, which it lets pip install.
        'tensorflow>=2.15,!=2.20.*,<2.22',
        'tensorflow-estimator==2.15.0',
        'tensorboard',  # TensorFlow 2.21 no longer brings it.
        'tensorflow-datasets',
        'absl-py',
        'tqdm',
        'matplotlib',  # The confusion matrix in TensorBoard, loaded on first use.
        'Pillow>=10.1',  # Its own font in any size.
        'scikit-learn',
        'scipy',
        'importlib_resources',  # Of tensorflow-datasets, which forgets to say so.
    ],
    extras_require={
        'test': TEST,
        # The second fuzzer of the server is for the slow tests.
        'dev': [*TEST, 'ruff', 'schemathesis'],
        # The oldest supported. Later tensorflow-metadata, of which TensorFlow Datasets
        # takes the newest, cannot be imported beside the protobuf of 2.15.
        'tf215': ['tensorflow~=2.15.0', 'tensorflow-metadata<1.18'],
        'serving': SERVING,
        'onnx': ONNX,
        'openvino': OPENVINO,
        'keras': KERAS,
        # What benchmarks/training.py compares with; for a CPU, PyTorch has wheels of
        # its own: --index-url=https://download.pytorch.org/whl/cpu.
        'benchmarks': ['keras>=3.0', 'torch==2.13.0'],
        # TensorFlow Datasets prepares its largest sets with it.
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
