"""The files in docs/serve.md have the formats that TensorFlow Serving reads."""

import pathlib
import re

import pytest

from tests.helpers.launching import ROOT

TEXT = pathlib.Path(ROOT, 'docs', 'serve.md').read_text(encoding='utf-8')


def blocks(language):
    return re.findall(rf'^```{language}\n(.*?)^```', TEXT, re.DOTALL | re.MULTILINE)


def test_models_config():
    pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    (text,) = (b for b in blocks('textproto') if 'model_config_list' in b)
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    versions = set(model.model_version_policy.specific.versions)
    assert set(model.version_labels.values()) <= versions and versions
    assert f'{model.base_path}:ro' in TEXT and f'mountPath: {model.base_path},' in TEXT


def test_batching_file_has_the_fields_of_tensorflow_serving():
    # `BatchingParameters` in session_bundle_config.proto, which no package contains.
    known = {
        'max_batch_size',
        'batch_timeout_micros',
        'num_batch_threads',
        'max_enqueued_batches',
    }
    (text,) = (b for b in blocks('textproto') if 'max_batch_size' in b)
    lines = [re.fullmatch(r'(\w+) { value: \d+ }', x) for x in text.splitlines()]
    assert {line[1] for line in lines} == known


def test_kubernetes_manifest():
    yaml = pytest.importorskip('yaml')
    deployment, service = yaml.safe_load_all(*blocks('yaml'))
    template = deployment['spec']['template']
    labels = deployment['spec']['selector']['matchLabels']
    assert template['metadata']['labels'] == labels == service['spec']['selector']
    (container,) = template['spec']['containers']
    names = {port['name'] for port in container['ports']}
    assert {port['targetPort'] for port in service['spec']['ports']} == names
    mounts = {mount['name'] for mount in container['volumeMounts']}
    assert mounts == {volume['name'] for volume in template['spec']['volumes']}
    # The same flags as with Docker.
    (docker,) = (b for b in blocks('bash') if '--enable_batching' in b)
    assert re.findall(r'--\S+', docker) == container['args']


def test_flags_of_launch_serve_exist():
    from launch import serve

    known = {f'--{name}' for name in serve.NAMES} | {'--help'}
    ours = re.sub(
        r'^## TensorFlow Serving$.*', '', TEXT, flags=re.DOTALL | re.MULTILINE
    )
    ours = ours.replace('--data-binary', '')  # Of curl.
    ours = ours.replace('serving.py --export_dir=… --images=…', '')  # The benchmark.
    assert set(re.findall(r'--[a-z_]{2,}', ours)) <= known
