"""TensorFlow Serving's REST API (https://www.tensorflow.org/tfx/serving/api_rest)."""

import asyncio
import functools
import inspect
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from estimator_clf.serving.codec import image_values, json_codec, payloads, request_body
from estimator_clf.serving.errors import ServingError, invalid_argument
from estimator_clf.serving.inference import InferenceEngine, InferenceResult
from estimator_clf.serving.metrics import Metrics
from estimator_clf.serving.openapi import Endpoint

_MODEL = '/v1/models/{model:[^/:]+}'
_MODELS = (
    _MODEL,
    _MODEL + '/versions/{version:[0-9]+}',
    _MODEL + '/labels/{label:[^/:]+}',
)

_ANY_JSON: dict[str, Any] = {}
_PREDICT_SCHEMA = {
    'type': 'object',
    'properties': {
        'signature_name': {'type': 'string'},
        'instances': {'type': 'array', 'items': _ANY_JSON, 'minItems': 1},
        'inputs': _ANY_JSON,
    },
}
_EXAMPLES_SCHEMA = {
    'type': 'object',
    'properties': {
        'signature_name': {'type': 'string'},
        'context': {'type': 'object'},
        'examples': {'type': 'array', 'items': {'type': 'object'}, 'minItems': 1},
    },
    'required': ['examples'],
}

# Larger bodies, in bytes, are parsed in a thread so that other requests do not wait.
_MAX_INLINE = 1 << 16

# Clients read fields such as `unknown_rank` even when they have the default value. The
# name of the option changed with protobuf 26.
_WITH_DEFAULTS: dict[str, Any] = {
    name: True
    for name in (
        'always_print_fields_with_no_presence',
        'including_default_value_fields',
    )
    if name in inspect.signature(json_format.MessageToDict).parameters
}


class RestApi:
    """Handlers of the paths below /v1/."""

    def __init__(self, engine: InferenceEngine, metrics: Metrics) -> None:
        """Creates the handlers.

        Args:
          engine: runs the model.
          metrics: counts the requests.
        """
        self._engine, self._metrics = engine, metrics

    def endpoints(self) -> list[Endpoint]:
        """Returns the endpoints; their handlers raise `ServingError`."""
        found = []
        for path in _MODELS:
            for name, handle, schema in (
                ('predict', self._predict, _PREDICT_SCHEMA),
                ('classify', self._classify, _EXAMPLES_SCHEMA),
                ('regress', self._regress, _EXAMPLES_SCHEMA),
            ):
                handler = functools.partial(self._counted, name.capitalize(), handle)
                request = {'application/json': schema}
                found.append(Endpoint('post', f'{path}:{name}', handler, name, request))
            metadata = path + '/metadata'
            found.append(Endpoint('get', metadata, self._metadata, 'Signatures'))
            found.append(Endpoint('get', path, self._status, 'States of the versions'))
        return found

    async def _counted(self, api, handle, parameters, body):
        with self._metrics.request(api, 'REST'):
            spec = _model_spec(parameters)
            example = payloads.ROWS if api == 'Predict' else payloads.EXAMPLES
            if len(body) <= _MAX_INLINE:
                document = request_body.parse(body, example)
            else:
                document = await asyncio.to_thread(request_body.parse, body, example)
            spec.signature_name = document.get('signature_name', '')
            return await handle(spec, document)

    async def _predict(self, spec, document):
        is_image = False

        def decode(signature):
            nonlocal is_image
            inputs = json_codec.decode_inputs(document, signature)
            is_image = inputs.keys() == {payloads.IMAGE_INPUT}
            return inputs

        rows = json_codec.is_row_format(document)
        try:
            result = await self._engine.predict(spec, decode)
        except ServingError as error:
            if not is_image:
                raise
            example = payloads.ROWS if rows else payloads.COLUMNS
            values = image_values.of_prediction(document)
            raise payloads.explain(error, values, example) from None
        return _respond(json_codec.encode_outputs(result.outputs, rows), result)

    async def _classify(self, spec, document):
        result = await self._run_examples(spec, 'classify', document)
        classes, scores = (result.outputs.get(name) for name in ('classes', 'scores'))
        return _respond(json_codec.encode_classes(classes, scores), result)

    async def _regress(self, spec, document):
        result = await self._run_examples(spec, 'regress', document)
        return _respond(json_codec.encode_values(result.outputs['outputs']), result)

    async def _run_examples(self, spec, method, document):
        is_decoded = False

        def decode():
            nonlocal is_decoded
            examples = json_codec.decode_examples(document)
            is_decoded = True
            return examples

        try:
            return await self._engine.run_examples(spec, method, decode)
        except ServingError as error:
            if not is_decoded:
                raise
            values = image_values.of_examples(document)
            raise payloads.explain(error, values, payloads.EXAMPLES) from None

    async def _status(self, parameters: Mapping[str, str], body: bytes) -> web.Response:
        versions = self._engine.versions.statuses(_model_spec(parameters))
        found = [
            {
                'version': str(version.number),
                'state': version.state,
                'status': {
                    'error_code': version.error.code if version.error else 'OK',
                    'error_message': str(version.error or ''),
                },
            }
            for version in versions
        ]
        return web.json_response({'model_version_status': found})

    async def _metadata(
        self, parameters: Mapping[str, str], body: bytes
    ) -> web.Response:
        spec = _model_spec(parameters)
        number, signatures = self._engine.signatures(spec)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in signatures.items():
            definitions.signature_def[name].CopyFrom(signature)
        signature_def = json_format.MessageToDict(
            definitions, preserving_proto_field_name=True, **_WITH_DEFAULTS
        )
        model = {'name': spec.name, 'signature_name': '', 'version': str(number)}
        metadata = {'signature_def': signature_def}
        return web.json_response({'model_spec': model, 'metadata': metadata})


def _model_spec(parameters: Mapping[str, str]) -> Any:
    spec = model_pb2.ModelSpec(name=parameters['model'])
    if 'version' in parameters:
        if len(parameters['version']) > 18:  # It may not fit into int64.
            raise invalid_argument(
                'the version must have at most 18 digits, '
                f'got {parameters["version"][:100]}'
            )
        spec.version.value = int(parameters['version'])
    elif 'label' in parameters:
        spec.version_label = parameters['label']
    return spec


def _respond(text: str, result: InferenceResult) -> web.Response:
    """Returns a response with the time and the size of the batch in a header."""
    timing = (
        f'run;dur={result.seconds * 1000:.2f}, batch;desc="{result.batch_size}", '
        f'version;desc="{result.version}"'
    )
    return web.Response(
        text=text, content_type='application/json', headers={'Server-Timing': timing}
    )
