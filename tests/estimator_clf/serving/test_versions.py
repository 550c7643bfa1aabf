"""New versions come and old ones go, and no request notices."""

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
from estimator_clf.serving import versions as module
from estimator_clf.serving.policy import Policy, parse_labels
from estimator_clf.serving.status import ServingError
from estimator_clf.serving.versions import Versions
from tests.helpers import serving_model as model


@pytest.fixture(scope='module')
def exports(tmp_path_factory):
    directory = tmp_path_factory.mktemp('exports')
    for version in (1, 2, 3):
        model.export(directory, version)
    return directory


def put(exports, directory, *numbers):
    for number in numbers:
        shutil.copytree(exports / str(number), directory / f'partial-{number}')
        os.rename(directory / f'partial-{number}', directory / str(number))


def play(scenario, directory, **options):
    """Runs `scenario(versions)` in a loop of its own."""

    async def main():
        versions = Versions('m', str(directory), **options)
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


def test_the_latest_replaces_the_one_before(exports, tmp_path):
    put(exports, tmp_path, 1)

    async def scenario(versions):
        assert states(versions) == {1: 'AVAILABLE'}
        put(exports, tmp_path, 3)
        await versions.poll()
        await drain(versions)
        assert states(versions) == {3: 'AVAILABLE', 1: 'END'}
        with versions.use(spec()) as version:
            assert version.number == 3
        with pytest.raises(ServingError, match=r'Specific\(m, 1\)'):
            versions.use(spec(1)).__enter__()

    play(scenario, tmp_path)


def test_an_old_version_stays_until_its_last_answer(exports, tmp_path):
    put(exports, tmp_path, 1)

    async def scenario(versions):
        with versions.use(spec()) as old:
            put(exports, tmp_path, 2)
            await versions.poll()
            assert states(versions) == {2: 'AVAILABLE', 1: 'UNLOADING'}
            assert old.number == 1 and old.servable.signatures
            with versions.use(spec()) as new:
                assert new.number == 2
        await drain(versions)
        assert states(versions) == {2: 'AVAILABLE', 1: 'END'}
        assert old.servable is None

    play(scenario, tmp_path)


def test_a_damaged_version_does_not_replace_a_whole_one(exports, tmp_path):
    put(exports, tmp_path, 1)

    async def scenario(versions):
        (tmp_path / '5').mkdir()
        (tmp_path / '5' / 'saved_model.pb').write_bytes(b'corrupt')
        await versions.poll()
        assert states(versions) == {1: 'AVAILABLE', 5: 'END'}
        (status,) = versions.statuses(spec(5))
        assert status.code == 'UNKNOWN' and status.message
        with versions.use(spec()) as version:
            assert version.number == 1
        # Mended, it is taken.
        shutil.rmtree(tmp_path / '5')
        shutil.copytree(exports / '2', tmp_path / '5')
        await versions.poll()
        await drain(versions)
        assert states(versions) == {5: 'AVAILABLE', 1: 'END'}

    play(scenario, tmp_path)


def test_a_copy_under_way_is_taken_when_it_is_whole(exports, tmp_path):
    put(exports, tmp_path, 1)

    async def scenario(versions):
        (tmp_path / '2').mkdir()
        shutil.copy2(exports / '2' / 'saved_model.pb', tmp_path / '2')
        await versions.poll()
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}
        shutil.copytree(exports / '2', tmp_path / '2', dirs_exist_ok=True)
        await versions.poll()
        await drain(versions)
        assert states(versions) == {2: 'AVAILABLE', 1: 'END'}

    play(scenario, tmp_path)


def test_who_gives_up_waiting_leaves_nothing_half_loaded(
    exports, tmp_path, monkeypatch
):
    put(exports, tmp_path, 1, 2)
    load = module._load_warm

    def slowly(path):
        time.sleep(0.5)
        return load(path)

    async def scenario(versions):
        assert states(versions) == {2: 'AVAILABLE'}
        monkeypatch.setattr(module, '_load_warm', slowly)
        policy = Policy(specific=frozenset({1}))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(versions.reconfigure(policy, {}), 0.1)
        for _ in range(2):
            await versions.poll()
            await drain(versions)
        # What was asked for and given up is not there, and can be asked for again.
        assert states(versions) == {1: 'END', 2: 'AVAILABLE'}
        await versions.reconfigure(policy, {})
        await drain(versions)
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}

    play(scenario, tmp_path)


def test_a_directory_that_is_gone_leaves_what_is_served(exports, tmp_path):
    put(exports, tmp_path, 1)

    async def scenario(versions):
        shutil.rmtree(tmp_path / '1')
        await versions.poll()
        assert states(versions) == {1: 'AVAILABLE'}

    play(scenario, tmp_path)


def test_going_back_to_an_older_version(exports, tmp_path):
    put(exports, tmp_path, 1, 2)

    async def scenario(versions):
        assert states(versions) == {2: 'AVAILABLE'}
        shutil.rmtree(tmp_path / '2')
        await versions.poll()
        await drain(versions)
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}

    play(scenario, tmp_path)


def test_going_back_to_a_version_that_was_served_before(exports, tmp_path):
    put(exports, tmp_path, 1)

    async def scenario(versions):
        put(exports, tmp_path, 2)
        await versions.poll()
        await drain(versions)
        assert states(versions) == {1: 'END', 2: 'AVAILABLE'}
        await versions.reconfigure(Policy(specific=(1,)), {})
        await drain(versions)
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}
        await versions.reconfigure(Policy(), {})
        await drain(versions)
        assert states(versions) == {1: 'END', 2: 'AVAILABLE'}
        shutil.rmtree(tmp_path / '2')
        await versions.poll()
        await drain(versions)
        assert states(versions) == {1: 'AVAILABLE', 2: 'END'}

    play(scenario, tmp_path)


def test_labels_keep_a_version(exports, tmp_path):
    put(exports, tmp_path, 1, 2, 3)

    async def scenario(versions):
        assert states(versions) == {3: 'AVAILABLE', 1: 'AVAILABLE'}
        with versions.use(spec(label='stable')) as version:
            assert version.number == 1
        with pytest.raises(ServingError, match='Unrecognized .* label: x'):
            versions.use(spec(label='x')).__enter__()
        await versions.reconfigure(Policy(every=True), {'stable': 1})
        assert set(states(versions)) == {1, 2, 3}
        await versions.reconfigure(Policy(), {'stable': 2})
        await drain(versions)
        assert states(versions)[1] == 'END'

    play(scenario, tmp_path, labels={'stable': 1})


def test_a_single_saved_model(exports):
    async def scenario(versions):
        assert states(versions) == {2: 'AVAILABLE'}

    play(scenario, exports / '2')


@pytest.mark.parametrize(
    'policy, labels, wanted',
    [
        (Policy(), {}, {9}),
        (Policy(latest=2), {}, {7, 9}),
        (Policy(latest=9), {}, {1, 7, 9}),
        (Policy(), {'a': 1, 'b': 8}, {1, 9}),
        (Policy(every=True), {}, {1, 7, 9}),
        (Policy(specific=frozenset({7, 8})), {'a': 1}, {1, 7}),
    ],
)
def test_policies(policy, labels, wanted):
    assert policy.wanted([9, 1, 7], labels) == wanted


def test_labels_as_text():
    assert parse_labels('') == {}
    assert parse_labels('stable:3, new:4') == {'stable': 3, 'new': 4}
    for text in ('stable', 'stable:', ':3', 'a:b', 'a:3,', 'a:²'):
        with pytest.raises(ConfigError, match='`version_labels` must be'):
            parse_labels(text)


def test_nothing_to_serve(tmp_path):
    with pytest.raises(ConfigError, match='`export_dir` must hold .* has none'):
        play(None, tmp_path)
    (tmp_path / '5').mkdir()
    (tmp_path / '5' / 'saved_model.pb').write_bytes(b'corrupt')
    with pytest.raises(ConfigError, match='has none: .*'):
        play(None, tmp_path)


def test_a_label_of_nothing(exports):
    with pytest.raises(ConfigError, match='`version_labels=a:7`: there is no such'):
        play(None, exports, labels={'a': 7})


def test_warm_up_requests_are_run(exports, tmp_path, monkeypatch):
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    put(exports, tmp_path, 1)
    picture = model.pictures(1)[0]
    predict, classify, regress, broken = (
        prediction_log_pb2.PredictionLog() for _ in range(4)
    )
    tensor = tf.make_tensor_proto(np.array([picture], object))
    predict.predict_log.request.inputs['image_bytes'].CopyFrom(tensor)
    request = classify.classify_log.request
    request.model_spec.signature_name = 'classify'
    example = request.input.example_list.examples.add()
    example.features.feature['image/encoded'].bytes_list.value.append(picture)
    regress.regress_log.request.input.CopyFrom(request.input)
    regress.regress_log.request.model_spec.signature_name = 'regress'
    # Nothing that this model could answer; what is behind it is run.
    broken.predict_log.request.model_spec.signature_name = 'gone'
    path = tmp_path / '1' / 'assets.extra' / 'tf_serving_warmup_requests'
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in (broken, regress, predict, classify):
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
