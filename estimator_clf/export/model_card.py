"""Model card of an export: data, metrics, signatures, usage and settings."""

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.config import config_json
from estimator_clf.config.config import Config
from estimator_clf.config.groups.fields import FIELDS
from estimator_clf.core import provenance
from estimator_clf.core.errors import ConfigError
from estimator_clf.loggers import jsonl
from input.dataset_info import DatasetInfo

FILE_NAME = 'MODEL_CARD.md'

_NOT_EVALUATED = '## Metrics\n\nThe run did not evaluate these weights.'

_PER_CLASS = re.compile(r'(\w+)/(.*)', re.DOTALL)

# A shell pipe, since a photo in base64 exceeds the maximum length of an argument.
_CURL = (
    """{ printf '{"instances": [{"image_bytes": {"b64": "'; """
    """base64 < image.jpg | tr -d '\\n'; printf '"}}]}'; } | curl -s -d @- """
    'http://localhost:8501/v1/models/classifier:predict'
)
_CURL_NUMBERS = (
    """curl -s -d '{"instances": [%s]}' """
    'http://localhost:8501/v1/models/classifier:predict'
)


def write(
    directory: str,
    info: DatasetInfo,
    signatures: Mapping[str, Any],
    checkpoint: str,
    config: Config | None = None,
) -> None:
    """Writes the model card.

    Args:
      directory: of the SavedModel.
      info: description of the data.
      signatures: `SignatureDef`s by name.
      checkpoint: path prefix of the checkpoint.
      config: settings of the run, or None.
    """
    step = int(tf.train.load_variable(checkpoint, 'global_step'))
    parts = [
        _head(info, step, config),
        _data(info),
        _metrics(step, config, checkpoint),
        _signatures(signatures),
        _usage(info, config),
        _settings(config),
        _versions(),
    ]
    with open(os.path.join(directory, FILE_NAME), 'w', encoding='utf-8') as file:
        file.write('\n\n'.join(part for part in parts if part) + '\n')


def _head(info: DatasetInfo, step: int, config: Config | None) -> str:
    date = time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())
    network = f'`{_cell(config.model.network)}`' if config else 'A network'
    task = (
        f'{network} that classifies images into {info.num_classes} classes'
        if info.class_names
        else f'{network} that predicts a number'
    )
    return f'# {_cell(info.name)}\n\n{task}; weights of step {step}, exported {date}.'


def _data(info: DatasetInfo) -> str:
    rows = [['examples, ' + s, f'{n:,}'] for s, n in info.num_examples.items()]
    if info.class_names:
        height, width, channels = info.image_shape
        rows.append(['image size', f'{height} x {width} x {channels}'])
        rows.append(['pixel mean', _list(info.mean)])
        rows.append(['pixel standard deviation', _list(info.stddev)])
    else:
        rows.append(['inputs per example', str(info.image_shape[0])])
    text = f'## Data\n\n{_table(["`" + _cell(info.name) + "`", ""], rows)}'
    if info.class_names:
        names = [[i, _cell(name)] for i, name in enumerate(info.class_names)]
        text += f'\n\n## Classes\n\n{_table(["label", "class"], names)}'
    return text


def _metrics(step: int, config: Config | None, checkpoint: str) -> str:
    if config is None:
        return ''
    if not _is_inside(checkpoint, config.run.model_dir):
        return _NOT_EVALUATED
    path = os.path.join(config.run.model_dir, jsonl.FILE_NAME)
    found = {
        line['split']: line
        for line in jsonl.read(path)
        if line['step'] == step and line.get('split') != 'train'
    }
    parts = []
    for split, line in found.items():
        overall: list[list[str]] = []
        by_class: dict[str, dict[str, str]] = {}
        for name, value in line.items():
            if name in ('step', 'split', 'time') or not isinstance(value, float | int):
                continue
            match = _PER_CLASS.fullmatch(name)
            text = f'{value:,}' if jsonl.is_count(name) else f'{value:.4f}'
            if match:
                by_class.setdefault(match[2], {})[match[1]] = text
            else:
                overall.append([name, text])
        parts.append(f'## Metrics: {_cell(split)}\n\n{_table(["", "value"], overall)}')
        if by_class:
            columns = sorted({n for values in by_class.values() for n in values})
            rows = [
                [_cell(name), *(v.get(c, '') for c in columns)]
                for name, v in by_class.items()
            ]
            parts.append(_table(['class', *columns], rows))
    if not parts:
        return _NOT_EVALUATED
    return '\n\n'.join([*parts, *_inference_note(config)])


def _is_inside(checkpoint: str, model_dir: str) -> bool:
    directory = os.path.realpath(model_dir)
    return os.path.commonpath([os.path.realpath(checkpoint), directory]) == directory


def _inference_note(config: Config) -> Iterator[str]:
    """Yields a sentence if the model predicts in another way than the evaluation."""
    try:
        run = config_json.load(config.run.model_dir)
    except ConfigError:
        run = config
    evaluated = _inference_mode(run.evaluation.eval_tta, run.evaluation.eval_samples)
    exported = _inference_mode(
        config.evaluation.eval_tta if config.exports.export_tta else '',
        config.evaluation.eval_samples,
    )
    if evaluated != exported:
        yield (
            f'The evaluation used {evaluated}, this model uses {exported}: its '
            'predictions may differ.'
        )


def _inference_mode(eval_tta: str, eval_samples: int) -> str:
    if eval_tta and eval_tta != 'none':
        return f'`eval_tta={eval_tta}`'
    if eval_samples > 1:
        return f'`eval_samples={eval_samples}`'
    return 'a single forward pass'


def _signatures(signatures: Mapping[str, Any]) -> str:
    rows = []
    for name, signature in signatures.items():
        rows.append(
            [
                f'`{name}`',
                signature.method_name.rpartition('/')[2],
                _tensors(signature.inputs),
                _tensors(signature.outputs),
            ]
        )
    return '## Signatures\n\n' + _table(['name', 'method', 'input', 'outputs'], rows)


def _usage(info: DatasetInfo, config: Config | None) -> str:
    if info.class_names:
        text = (
            'Images are JPEG, PNG, GIF (first frame) or BMP, of any size; decoding, '
            'resizing and normalization are part of the graph. The EXIF orientation of '
            'a photo is ignored. `examples` and `classify` take `tf.Example`s with the '
            'image in `image/encoded`.'
        )
        if config:
            limit = config.exports.max_pixels
            text += f' An image of more than {limit:,} pixels is refused.'
        curl = _CURL
    else:
        text = '`examples` and `regress` take `tf.Example`s with the inputs in `x`.'
        curl = _CURL_NUMBERS % ([0.0] * info.image_shape[0])
    return (
        f'## Use\n\n{text} With TensorFlow Serving on this machine:\n\n```bash\n'
        'tensorflow_model_server --rest_api_port=8501 --model_name=classifier '
        f'--model_base_path="$(realpath ..)"\n```\n\n```bash\n{curl}\n```'
    )


def _settings(config: Config | None) -> str:
    if config is None:
        return ''
    # Settings that may change on resume do not determine the weights.
    rows = [
        [f'`{name}`', f'`{_cell(str(value))}`']
        for name, value in config.to_flat().items()
        if not FIELDS[name].metadata['changeable'] and value not in ('', None)
    ]
    return '## Settings\n\n' + _table(['setting', 'value'], rows)


def _versions() -> str:
    facts = provenance.collect()
    rows = [[name, version] for name, version in facts['versions'].items() if version]
    if facts['git_revision']:
        rows.append(['git revision', facts['git_revision']])
    return '## Created with\n\n' + _table(['', ''], rows)


def _tensors(tensors: Mapping[str, Any]) -> str:
    parts = []
    for name in sorted(tensors):
        sizes = [dim.size for dim in tensors[name].tensor_shape.dim]
        shape = ', '.join('N' if size < 0 else str(size) for size in sizes)
        dtype = tf.dtypes.as_dtype(tensors[name].dtype).name
        parts.append(f'`{name}` {dtype} [{shape}]')
    return '; '.join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)


def _list(numbers: Iterable[float]) -> str:
    return ', '.join(f'{number:.2f}' for number in numbers)


def _cell(text: str) -> str:
    """Escapes text for a cell of a Markdown table."""
    return re.sub(r'\s+', ' ', text).replace('|', '\\|')
