"""TensorFlow Serving's gRPC services."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from estimator_clf.serving import protos
from estimator_clf.serving.codec import payloads
from estimator_clf.serving.errors import ServingError, invalid_argument
from estimator_clf.serving.inference import InferenceEngine
from estimator_clf.serving.memory_budget import MemoryBudget
from estimator_clf.serving.metrics import Metrics
from estimator_clf.serving.version_manager import VersionPolicy

_SIGNATURES = 'signature_def'

# gRPC's own error for a larger message names no setting, so it applies only from this
# multiple of the limit on; below it the service refuses the message itself.
_READ_LIMIT = 4
_MAX_INT = (1 << 31) - 1

_IMAGES = "`inputs['image_bytes']`: DT_STRING, the bytes themselves, not base64"
_EXAMPLES = "the feature 'image/encoded' of each tf.Example: the bytes themselves"


def create_server(
    engine: InferenceEngine, metrics: Metrics, budget: MemoryBudget, timeout: float
) -> Any:
    """Returns a `grpc.aio.Server` with both services and no port.

    Args:
      engine: runs the model.
      metrics: counts the requests.
      budget: limits of requests.
      timeout: seconds for computing a response.
    """
    max_message = min(_READ_LIMIT * budget.max_body, _MAX_INT)
    server = grpc.aio.server(
        options=[
            # Otherwise a second server would silently share the port.
            ('grpc.so_reuseport', 0),
            ('grpc.max_receive_message_length', max_message),
            ('grpc.max_send_message_length', -1),
        ]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(engine, metrics, budget, timeout), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(engine), server
    )
    return server


@contextlib.asynccontextmanager
async def _abort_on_error(context: Any) -> AsyncIterator[None]:
    try:
        yield
    except ServingError as error:
        await context.abort(grpc.StatusCode[error.code], str(error))


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """All methods but MultiInference."""

    def __init__(
        self,
        engine: InferenceEngine,
        metrics: Metrics,
        budget: MemoryBudget,
        timeout: float,
    ) -> None:
        """Creates the service.

        Args:
          engine: runs the model.
          metrics: counts the requests.
          budget: limits of requests.
          timeout: seconds for computing a response.
        """
        self._engine, self._metrics = engine, metrics
        self._budget, self._timeout = budget, timeout

    async def Predict(self, request: Any, context: Any) -> Any:
        """Runs a signature of any method."""
        return await self._respond('Predict', request, context, self._predict)

    async def Classify(self, request: Any, context: Any) -> Any:
        """Runs a signature that classifies examples."""
        return await self._respond('Classify', request, context, self._classify)

    async def Regress(self, request: Any, context: Any) -> Any:
        """Runs a signature that computes a number for each example."""
        return await self._respond('Regress', request, context, self._regress)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        """Returns the signatures."""
        async with _abort_on_error(context):
            return self._metadata(request)

    async def MultiInference(self, request: Any, context: Any) -> Any:
        """Refuses the request."""
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            'this server does not implement MultiInference; call Classify and Regress, '
            'or use TensorFlow Serving',
        )

    async def _respond(self, api, request, context, handle):
        """Runs a request within the limits."""
        async with _abort_on_error(context):
            with self._metrics.request(api, 'GRPC'):
                size, limit = request.ByteSize(), self._budget.max_body
                if size > limit:
                    raise ServingError(
                        'RESOURCE_EXHAUSTED',
                        f'the request must be at most {limit} bytes (`max_body`), '
                        f'got {size}',
                    )
                with self._budget.hold(size):
                    try:
                        return await asyncio.wait_for(handle(request), self._timeout)
                    except asyncio.TimeoutError:
                        raise ServingError(
                            'DEADLINE_EXCEEDED',
                            f'no result within {self._timeout:g} s (`timeout`); try '
                            'again later',
                        ) from None

    async def _predict(self, request):
        def decode(signature):
            if unknown := set(request.output_filter) - signature.outputs.keys():
                raise invalid_argument(
                    f'`output_filter` must name outputs of {signature.name}: '
                    f'{sorted(signature.outputs)}, got {sorted(unknown)}'
                )
            return {name: protos.to_array(x) for name, x in request.inputs.items()}

        try:
            result = await self._engine.predict(_model_spec(request), decode)
        except ServingError as error:
            images = request.inputs.get(payloads.IMAGE_INPUT)
            if images is None:
                raise
            values = (
                (f"`inputs['{payloads.IMAGE_INPUT}'][{number}]`", data)
                for number, data in enumerate(images.string_val)
            )
            raise payloads.explain(error, values, _IMAGES) from None
        response = _respond(predict_pb2.PredictResponse, request, result)
        for name in request.output_filter or result.outputs:
            response.outputs[name].CopyFrom(protos.to_proto(result.outputs[name]))
        return response

    async def _classify(self, request):
        result = await self._run_examples('classify', request)
        classes, scores = (result.outputs.get(name) for name in ('classes', 'scores'))
        response = _respond(classification_pb2.ClassificationResponse, request, result)
        rows, columns = (classes if classes is not None else scores).shape
        for row in range(rows):
            found = response.result.classifications.add()
            for column in range(columns):
                item = found.classes.add()
                if classes is not None:
                    item.label = classes[row, column].decode(errors='replace')
                if scores is not None:
                    item.score = scores[row, column]
        return response

    async def _regress(self, request):
        result = await self._run_examples('regress', request)
        response = _respond(regression_pb2.RegressionResponse, request, result)
        for value in result.outputs['outputs'].ravel():
            response.result.regressions.add(value=value)
        return response

    async def _run_examples(self, method, request):
        try:
            return await self._engine.run_examples(
                _model_spec(request),
                method,
                lambda: protos.serialized_examples(request.input),
            )
        except ServingError as error:
            values = _example_images(request.input)
            raise payloads.explain(error, values, _EXAMPLES) from None

    def _metadata(self, request):
        spec = _model_spec(request)
        if set(request.metadata_field) != {_SIGNATURES}:
            raise invalid_argument(
                f"`metadata_field` must be ['{_SIGNATURES}'], "
                f'got {list(request.metadata_field)}'
            )
        number, signatures = self._engine.signatures(spec)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in signatures.items():
            definitions.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = number
        response.metadata[_SIGNATURES].Pack(definitions)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus, and HandleReloadConfigRequest for the served model."""

    def __init__(self, engine: InferenceEngine) -> None:
        """Creates the service."""
        self._versions = engine.versions

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        """Returns the states of the versions."""
        response = get_model_status_pb2.GetModelStatusResponse()
        async with _abort_on_error(context):
            for version in self._versions.statuses(_model_spec(request)):
                error = version.error
                response.model_version_status.add(
                    version=version.number,
                    state=version.state,
                    status={
                        'error_code': error.number if error else 0,
                        'error_message': str(error or ''),
                    },
                )
        return response

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        """Replaces the labels and the version policy of the served model."""
        response = model_management_pb2.ReloadConfigResponse()
        async with _abort_on_error(context):
            await self._reload(request.config)
            response.status.error_code = 0
        return response

    async def _reload(self, config):
        models = config.model_config_list.config
        if len(models) != 1 or models[0].name != self._versions.name:
            raise ServingError(
                'UNIMPLEMENTED',
                '`config` must be a `model_config_list` of the one served model, '
                f'{self._versions.name}',
            )
        (model,) = models
        if model.base_path not in ('', self._versions.directory):
            raise ServingError(
                'UNIMPLEMENTED',
                f'`base_path` must be {self._versions.directory} or empty, got '
                f'{model.base_path}',
            )
        requested = model.model_version_policy
        kind = requested.WhichOneof('policy_choice')
        policy = VersionPolicy()
        if kind == 'latest':
            policy = VersionPolicy(latest=max(1, requested.latest.num_versions))
        elif kind == 'all':
            policy = VersionPolicy(all_versions=True)
        elif kind == 'specific':
            policy = VersionPolicy(specific=frozenset(requested.specific.versions))
        await self._versions.reconfigure(policy, dict(model.version_labels))


def _model_spec(request):
    if not request.HasField('model_spec'):
        raise invalid_argument('`model_spec` must name the model, got none')
    return request.model_spec


def _example_images(message):
    """Yields pairs (place, bytes or None) of the images of an `Input` message."""
    for number, example in enumerate(message.example_list.examples):
        where = f'{payloads.IMAGE_FEATURE} of example {number}'
        if payloads.IMAGE_FEATURE not in example.features.feature:
            yield where, None
            continue
        feature = example.features.feature[payloads.IMAGE_FEATURE]
        for data in feature.bytes_list.value:
            yield where, data


def _respond(kind, request, result):
    """Returns a response that names the model, its version and the signature."""
    response = kind()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = result.version
    response.model_spec.signature_name = result.signature_name
    return response
