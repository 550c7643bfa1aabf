"""Versions are loaded, replaced and unloaded without failing requests."""

import asyncio
import os
import shutil
import time

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

from tensorflow_serving.apis import model_pb2

from estimator_clf.core.errors import ConfigError
from estimator_clf.serving import servable
from estimator_clf.serving import version_manager as module
from estimator_clf.serving.errors import ServingError
from estimator_clf.serving.version_manager import (
    VersionManager,
    VersionPolicy,
    parse_labels,
)
from tests.helpers import serving_model as model


@pytest.fixture(scope='module')
def exports(tmp_path_factory):
    directory = tmp_path_factory.mktemp('exports')
    for version in (1, 2, 3):
        model.export(directory, version)
    return directory


def add_versions(exports, directory, *numbers):
    for number in numbers:
        shutil.copytree(exports / str(number), directory / f'partial-{number}')
        os.rename(directory / f'partial-{number}', directory / str(number))


def run_scenario(scenario, directory, **options):
    """Runs `scenario(versions)` in its own event loop."""

    async def main():
        versions = VersionManager('m', str(directory), **options)
        await versions.start()
        try:
            await asyncio.wait_for(scenario(versions), 60)
        finally:
            await versions.close()

    asyncio.run(main())


def states(versions):
    spec = model_pb2.ModelSpec(name='m')
    return {v.number: v.state for v in versions.statuses(spec)}


def spec(version=None, label=None):
    made = model_pb2.ModelSpec(name='m')
    if version is not None:
        made.version.value = version
    if label is not None:
        made.version_label = label
    return made


async def drain(versions):
    await asyncio.gather(*versions._drains)


async def poll_and_drain(versions):
    """Loads what is new, and waits until what it replaces is unloaded."""
    await versions.poll()
    await drain(versions)


@pytest.mark.extended
def test_new_version_replaces_the_previous_one(exports, tmp_path):
    add_versions(exports, tmp_path, 1)

    async def scenario(versions):
        assert states(versions) == {1: 'AVAILABLE'}
        add_versions(exports, tmp_path, 3)
        await poll_and_drain(versions)
        assert states(versions) == {3: 'AVAILABLE', 1: 'END'}
        with versions.use(spec()) as version:
            assert version.number == 3
        with pytest.raises(
            ServingError, match='version 1 of model m is not available; available: 3'
        ):
            versions.use(spec(1)).__enter__()

    run_scenario(scenario, tmp_path)


def test_old_version_stays_loaded_until_its_last_request_ends(exports, tmp_path):
    add_versions(exports, tmp_path, 1)

    async def scenario(versions):
        with versions.use(spec()) as old:
            add_versions(exports, tmp_path, 2)
            await versions.poll()
            assert states(versions) == {2: 'AVAILABLE', 1: 'UNLOADING'}
            assert old.number == 1 and old.servable.signatures
            with versions.use(spec()) as new:
                assert new.number == 2
        await drain(versions)
        assert states(versions) == {2: 'AVAILABLE', 1: 'END'}
        assert old.servable is None

    run_scenario(scenario, tmp_path)


def test_corrupt_version_does_not_replace_a_valid_one(exports, tmp_path):
    add_versions(exports, tmp_path, 1)

    async def scenario(versions):
        (tmp_path / '5').mkdir()
        (tmp_path / '5' / 'saved_model.pb').write_bytes(b'corrupt')
        await versions.poll()
        assert states(versions) == {1: 'AVAILABLE', 5: 'END'}
        (status,) = versions.statuses(spec(5))
        assert status.error.code == 'UNKNOWN' and str(status.error)
        with versions.use(spec()) as version:
            assert version.number == 1
        # Replaced by a valid one, it is loaded.
        shutil.rmtree(tmp_path / '5')
        shutil.copytree(exports / '2', tmp_path / '5')
        await poll_and_drain(versions)
        assert states(versions) == {5: 'AVAILABLE', 1: 'END'}

    run_scenario(scenario, tmp_path)


def test_unfinished_copy_is_loaded_once_complete(exports, tmp_path):
    add_versions(exports, tmp_path, 1)

    async def scenario(versions):
        (tmp_path / '2').mkdir()
        shutil.copy2(exports / '2' / 'saved_model.pb', tmp_path / '2')
        await versions.poll()
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}
        shutil.copytree(exports / '2', tmp_path / '2', dirs_exist_ok=True)
        await poll_and_drain(versions)
        assert states(versions) == {2: 'AVAILABLE', 1: 'END'}

    run_scenario(scenario, tmp_path)


def test_canceled_reconfiguration_leaves_no_version_half_loaded(
    exports, tmp_path, monkeypatch
):
    add_versions(exports, tmp_path, 1, 2)
    load = module._load_warm

    def load_slowly(path):
        time.sleep(0.5)
        return load(path)

    async def scenario(versions):
        assert states(versions) == {2: 'AVAILABLE'}
        monkeypatch.setattr(module, '_load_warm', load_slowly)
        policy = VersionPolicy(specific=frozenset({1}))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(versions.reconfigure(policy, {}), 0.1)
        for _ in range(2):
            await poll_and_drain(versions)
        # The canceled change has no effect and can be requested again.
        assert states(versions) == {1: 'END', 2: 'AVAILABLE'}
        await versions.reconfigure(policy, {})
        await drain(versions)
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}

    run_scenario(scenario, tmp_path)


def test_removed_directory_leaves_the_served_version(exports, tmp_path):
    add_versions(exports, tmp_path, 1)

    async def scenario(versions):
        shutil.rmtree(tmp_path / '1')
        await versions.poll()
        assert states(versions) == {1: 'AVAILABLE'}

    run_scenario(scenario, tmp_path)


def test_rollback_to_an_older_version(exports, tmp_path):
    add_versions(exports, tmp_path, 1, 2)

    async def scenario(versions):
        assert states(versions) == {2: 'AVAILABLE'}
        shutil.rmtree(tmp_path / '2')
        await poll_and_drain(versions)
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}

    run_scenario(scenario, tmp_path)


def test_rollback_to_a_version_served_before(exports, tmp_path):
    add_versions(exports, tmp_path, 1)

    async def scenario(versions):
        add_versions(exports, tmp_path, 2)
        await poll_and_drain(versions)
        assert states(versions) == {1: 'END', 2: 'AVAILABLE'}
        await versions.reconfigure(VersionPolicy(specific=(1,)), {})
        await drain(versions)
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}
        await versions.reconfigure(VersionPolicy(), {})
        await drain(versions)
        assert states(versions) == {1: 'END', 2: 'AVAILABLE'}
        shutil.rmtree(tmp_path / '2')
        await poll_and_drain(versions)
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}

    run_scenario(scenario, tmp_path)


def test_labeled_version_stays_in_service(exports, tmp_path):
    add_versions(exports, tmp_path, 1, 2, 3)

    async def scenario(versions):
        assert states(versions) == {3: 'AVAILABLE', 1: 'AVAILABLE'}
        with versions.use(spec(label='stable')) as version:
            assert version.number == 1
        with pytest.raises(
            ServingError, match='the version label must be one of stable, got x'
        ):
            versions.use(spec(label='x')).__enter__()
        await versions.reconfigure(VersionPolicy(all_versions=True), {'stable': 1})
        assert set(states(versions)) == {1, 2, 3}
        await versions.reconfigure(VersionPolicy(), {'stable': 2})
        await drain(versions)
        assert states(versions)[1] == 'END'

    run_scenario(scenario, tmp_path, labels={'stable': 1})


def test_a_single_saved_model(exports):
    async def scenario(versions):
        assert states(versions) == {2: 'AVAILABLE'}

    run_scenario(scenario, exports / '2')


@pytest.mark.parametrize(
    'policy, labels, selected',
    [
        (VersionPolicy(), {}, {9}),
        (VersionPolicy(latest=2), {}, {7, 9}),
        (VersionPolicy(latest=9), {}, {1, 7, 9}),
        (VersionPolicy(), {'a': 1, 'b': 8}, {1, 9}),
        (VersionPolicy(all_versions=True), {}, {1, 7, 9}),
        (VersionPolicy(specific=frozenset({7, 8})), {'a': 1}, {1, 7}),
    ],
)
def test_policies(policy, labels, selected):
    assert policy.select([9, 1, 7], labels) == selected


def test_parse_labels():
    assert parse_labels('') == {}
    assert parse_labels('stable:3, new:4') == {'stable': 3, 'new': 4}
    for text in ('stable', 'stable:', ':3', 'a:b', 'a:3,', 'a:²'):
        with pytest.raises(ConfigError, match='`version_labels` must have the form'):
            parse_labels(text)


def test_directory_without_versions(tmp_path):
    with pytest.raises(ConfigError, match='`export_dir` must contain .* has none'):
        run_scenario(None, tmp_path)
    (tmp_path / '5').mkdir()
    (tmp_path / '5' / 'saved_model.pb').write_bytes(b'corrupt')
    with pytest.raises(ConfigError, match='has none: .*'):
        run_scenario(None, tmp_path)


def test_label_of_a_missing_version(exports):
    with pytest.raises(
        ConfigError, match='`version_labels=a:7` must name a version in'
    ):
        run_scenario(None, exports, labels={'a': 7})


def test_warm_up_requests_are_run(exports, tmp_path, monkeypatch):
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    add_versions(exports, tmp_path, 1)
    png = model.gray_pngs(1)[0]
    predict, classify, regress, invalid = (
        prediction_log_pb2.PredictionLog() for _ in range(4)
    )
    tensor = tf.make_tensor_proto(np.array([png], object))
    predict.predict_log.request.inputs['image_bytes'].CopyFrom(tensor)
    request = classify.classify_log.request
    request.model_spec.signature_name = 'classify'
    example = request.input.example_list.examples.add()
    example.features.feature['image/encoded'].bytes_list.value.append(png)
    regress.regress_log.request.input.CopyFrom(request.input)
    regress.regress_log.request.model_spec.signature_name = 'regress'
    # The model lacks this signature; the requests after it run.
    invalid.predict_log.request.model_spec.signature_name = 'gone'
    path = tmp_path / '1' / 'assets.extra' / 'tf_serving_warmup_requests'
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in (invalid, regress, predict, classify):
            writer.write(log.SerializeToString())
    ran = []
    run = servable.Servable.run
    monkeypatch.setattr(
        servable.Servable,
        'run',
        lambda self, signature, inputs: (
            ran.append(signature.name) or run(self, signature, inputs)
        ),
    )
    loaded = servable.Servable(str(tmp_path / '1'))
    assert loaded.warm_up() == 3
    assert ran == ['regress', 'serving_default', 'classify']
    loaded.close()
