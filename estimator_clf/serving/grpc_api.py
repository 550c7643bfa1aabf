"""TensorFlow Serving's gRPC services, on its own protos."""

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
from estimator_clf.serving.policy import Policy
from estimator_clf.serving.status import NUMBER, ServingError, invalid

_SIGNATURES = 'signature_def'


async def _abort(context, error):
    await context.abort(grpc.StatusCode[error.code], str(error))


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """All of it but MultiInference, which is refused in words."""

    def __init__(self, core, metrics):
        """Makes the service.

        Args:
          core: `Core`.
          metrics: `Metrics`.
        """
        self._core, self._metrics = core, metrics

    async def Predict(self, request, context):
        """Runs any signature."""
        try:
            with self._metrics.request('Predict', 'GRPC'):
                return await self._predict(request)
        except ServingError as error:
            await _abort(context, error)

    async def Classify(self, request, context):
        """Runs a signature that classifies examples."""
        try:
            with self._metrics.request('Classify', 'GRPC'):
                return await self._classify(request)
        except ServingError as error:
            await _abort(context, error)

    async def GetModelMetadata(self, request, context):
        """Tells the signatures."""
        try:
            return self._metadata(request)
        except ServingError as error:
            await _abort(context, error)

    async def Regress(self, request, context):
        """Runs a signature that makes a number of each example."""
        try:
            with self._metrics.request('Regress', 'GRPC'):
                return await self._regress(request)
        except ServingError as error:
            await _abort(context, error)

    async def MultiInference(self, request, context):
        """Refuses."""
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            'MultiInference: this server does not have it; TensorFlow Serving does',
        )

    async def _predict(self, request):
        wanted = list(request.output_filter)
        if len(set(wanted)) < len(wanted):
            double = next(name for name in wanted if wanted.count(name) > 1)
            raise invalid(f'duplicate output tensor alias: {double}')

        def read(signature):
            for alias in wanted:
                if alias not in signature.outputs:
                    raise invalid(
                        'output tensor alias not found in signature: '
                        f'{alias} Outputs expected to be in the set '
                        f'{{{",".join(sorted(signature.outputs))}}}.'
                    )
            return {alias: protos.array(x) for alias, x in request.inputs.items()}

        reply = await self._core.predict(_spec(request), read)
        response = predict_pb2.PredictResponse()
        _tell(response.model_spec, request, reply)
        for alias in wanted or reply.answer.outputs:
            values = reply.answer.outputs[alias]
            response.outputs[alias].CopyFrom(protos.tensor(values))
        return response

    async def _classify(self, request):
        reply = await self._core.judge(
            _spec(request), 'classify', lambda: protos.examples(request.input)
        )
        classes = reply.answer.outputs.get('classes')
        scores = reply.answer.outputs.get('scores')
        response = classification_pb2.ClassificationResponse()
        _tell(response.model_spec, request, reply)
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
        reply = await self._core.judge(
            _spec(request), 'regress', lambda: protos.examples(request.input)
        )
        response = regression_pb2.RegressionResponse()
        _tell(response.model_spec, request, reply)
        for value in reply.answer.outputs['outputs'].ravel():
            response.result.regressions.add(value=value)
        return response

    def _metadata(self, request):
        spec = _spec(request)
        if not request.metadata_field:
            raise invalid(
                'GetModelMetadataRequest must specify at least one metadata_field'
            )
        for field in request.metadata_field:
            if field != _SIGNATURES:
                raise invalid(f'Metadata field {field} is not supported')
        number, signatures = self._core.signatures(spec)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in signatures.items():
            definitions.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = number
        response.metadata[_SIGNATURES].Pack(definitions)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus, and HandleReloadConfigRequest for the model that is served."""

    def __init__(self, core):
        """Makes the service.

        Args:
          core: `Core`.
        """
        self._core = core

    async def GetModelStatus(self, request, context):
        """Tells the states of the versions."""
        response = get_model_status_pb2.GetModelStatusResponse()
        try:
            for version in self._core.versions.statuses(_spec(request)):
                response.model_version_status.add(
                    version=version.number,
                    state=version.state,
                    status={
                        'error_code': NUMBER[version.code],
                        'error_message': version.message,
                    },
                )
        except ServingError as error:
            await _abort(context, error)
        return response

    async def HandleReloadConfigRequest(self, request, context):
        """Takes the labels and the version policy for the model that is served."""
        response = model_management_pb2.ReloadConfigResponse()
        try:
            await self._reload(request.config)
        except ServingError as error:
            await _abort(context, error)
        response.status.error_code = 0
        return response

    async def _reload(self, config):
        versions = self._core.versions
        if config.WhichOneof('config') != 'model_config_list':
            raise invalid(
                'ServerModelConfig type not supported by HandleReloadConfigRequest. '
                'Only ModelConfigList is currently supported'
            )
        models = config.model_config_list.config
        if len(models) != 1 or models[0].name != versions.name:
            raise ServingError(
                'UNIMPLEMENTED',
                f'this server has one model, {versions.name}, and takes no other',
            )
        (model,) = models
        if model.base_path not in ('', versions.directory):
            raise ServingError(
                'UNIMPLEMENTED', f'this server stays with {versions.directory}'
            )
        policy = Policy()
        wanted = model.model_version_policy
        kind = wanted.WhichOneof('policy_choice')
        if kind == 'latest':
            policy = Policy(latest=max(1, wanted.latest.num_versions))
        elif kind == 'all':
            policy = Policy(every=True)
        elif kind == 'specific':
            policy = Policy(specific=frozenset(wanted.specific.versions))
        await versions.reconfigure(policy, dict(model.version_labels))


def _spec(request):
    if not request.HasField('model_spec'):
        raise invalid('Missing ModelSpec')
    return request.model_spec


def _tell(spec, request, reply):
    """Says who answered, as Serving does."""
    spec.name = request.model_spec.name
    spec.version.value = reply.version
    spec.signature_name = reply.signature.name


def add_services(server, core, metrics):
    """Adds both services to a `grpc.aio.Server`."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(core, metrics), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(core), server
    )
