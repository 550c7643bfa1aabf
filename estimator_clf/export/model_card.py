"""`MODEL_CARD.md`: what a person wants to know of a model that lies on a disk."""

import os
import re
import time

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.config import config_json
from estimator_clf.config.fields import FIELDS
from estimator_clf.core import provenance
from estimator_clf.core.errors import ConfigError
from estimator_clf.loggers import jsonl

FILE_NAME = 'MODEL_CARD.md'

_NOT_EVALUATED = '## Metrics\n\nThe run has not evaluated these weights.'

_PER_CLASS = re.compile(r'(\w+)/(.*)', re.DOTALL)

# A shell pipe and not an argument: a photo in base64 is longer than an argument may be.
_CURL = (
    """{ printf '{"instances": [{"image_bytes": {"b64": "'; """
    """base64 < image.jpg | tr -d '\\n'; printf '"}}]}'; } | curl -s -d @- """
    'http://localhost:8501/v1/models/classifier:predict'
)
_CURL_NUMBERS = (
    """curl -s -d '{"instances": [%s]}' """
    'http://localhost:8501/v1/models/classifier:predict'
)


def write(directory, info, signatures, checkpoint, config=None):
    """Writes the card.

    Args:
      directory: of the SavedModel.
      info: `DatasetInfo`.
      signatures: dict name -> `SignatureDef`.
      checkpoint: path prefix of the checkpoint.
      config: `Config` of the run, or None.
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


def _head(info, step, config):
    made = time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())
    network = f'`{config.network}`' if config else 'A network'
    task = (
        f'{network} that classifies images into {info.num_classes} classes'
        if info.class_names
        else f'{network} that predicts a number'
    )
    return f'# {_cell(info.name)}\n\n{task}; weights of step {step}, exported {made}.'


def _data(info):
    rows = [['examples, ' + s, f'{n:,}'] for s, n in info.num_examples.items()]
    if info.class_names:
        height, width, channels = info.image_shape
        rows.append(['images', f'brought to {height} x {width} x {channels}'])
        rows.append(['mean of the pixels', _list(info.mean)])
        rows.append(['deviation of the pixels', _list(info.stddev)])
    else:
        rows.append(['numbers of an example', str(info.image_shape[0])])
    text = f'## Data\n\n{_table(["`" + _cell(info.name) + "`", ""], rows)}'
    if info.class_names:
        names = [[i, _cell(name)] for i, name in enumerate(info.class_names)]
        text += f'\n\n## Classes\n\n{_table(["label", "class"], names)}'
    return text


def _metrics(step, config, checkpoint):
    if config is None:
        return ''
    if not _inside(checkpoint, config.model_dir):
        return _NOT_EVALUATED
    path = os.path.join(config.model_dir, jsonl.FILE_NAME)
    found = {
        line['split']: line
        for line in jsonl.read(path)
        if line['step'] == step and line.get('split') != 'train'
    }
    parts = []
    for split, line in found.items():
        overall, by_class = [], {}
        for name, value in line.items():
            if name in ('step', 'split', 'time') or not isinstance(value, float | int):
                continue
            match = _PER_CLASS.fullmatch(name)
            if match:
                by_class.setdefault(match[2], {})[match[1]] = value
            else:
                overall.append([name, f'{value:.4f}'])
        parts.append(f'## Metrics: {_cell(split)}\n\n{_table(["", "value"], overall)}')
        if by_class:
            columns = sorted({n for values in by_class.values() for n in values})
            rows = [
                [_cell(name), *(f'{v[c]:.4f}' if c in v else '' for c in columns)]
                for name, v in by_class.items()
            ]
            parts.append(_table(['class', *columns], rows))
    if not parts:
        return _NOT_EVALUATED
    return '\n\n'.join([*parts, *_otherwise(config)])


def _inside(checkpoint, model_dir):
    directory = os.path.realpath(model_dir)
    return os.path.commonpath([os.path.realpath(checkpoint), directory]) == directory


def _otherwise(config):
    """A sentence, if the run's evaluation looked otherwise than the model does."""
    try:
        run = config_json.load(config.model_dir)
    except ConfigError:
        run = config
    evaluated = _in_words(run.eval_tta, run.eval_samples)
    model = _in_words(config.export_tta and config.eval_tta, config.eval_samples)
    if evaluated != model:
        yield (
            f'The evaluation looked at each example {evaluated}, this model does '
            f'{model}: what it says may differ.'
        )


def _in_words(views, passes):
    if views and views != 'none':
        return f'with `eval_tta={views}`'
    return f'with `eval_samples={passes}`' if passes > 1 else 'once'


def _signatures(signatures):
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


def _usage(info, config):
    if info.class_names:
        text = (
            'Images are JPEG, PNG, GIF (of which the first frame counts) or BMP, of '
            'any size; decoding, resizing and standardizing are in the graph. The '
            'orientation in the EXIF data of a photo is not looked at. `examples` and '
            '`classify` take `tf.Example`s with the image in `image/encoded`.'
        )
        if config:
            text += f' An image of more than {config.max_pixels:,} pixels is refused.'
        curl = _CURL
    else:
        text = '`examples` and `regress` take `tf.Example`s with the numbers in `x`.'
        curl = _CURL_NUMBERS % ([0.0] * info.image_shape[0])
    return (
        f'## Use\n\n{text} With TensorFlow Serving on this machine:\n\n```bash\n'
        'tensorflow_model_server --rest_api_port=8501 --model_name=classifier '
        f'--model_base_path="$(realpath ..)"\n```\n\n```bash\n{curl}\n```'
    )


def _settings(config):
    if config is None:
        return ''
    # What is free to differ between the parts of a run does not make the weights.
    rows = [
        [f'`--{name}`', f'`{_cell(str(value))}`']
        for name, value in config.to_flat().items()
        if not FIELDS[name].metadata['changeable'] and value not in ('', None)
    ]
    return '## Settings\n\n' + _table(['flag', 'value'], rows)


def _versions():
    facts = provenance.collect()
    rows = [[name, version] for name, version in facts['versions'].items() if version]
    if facts['git_revision']:
        rows.append(['git revision', facts['git_revision']])
    return '## Made with\n\n' + _table(['', ''], rows)


def _tensors(tensors):
    parts = []
    for name in sorted(tensors):
        sizes = [dim.size for dim in tensors[name].tensor_shape.dim]
        shape = ', '.join('N' if size < 0 else str(size) for size in sizes)
        dtype = tf.dtypes.as_dtype(tensors[name].dtype).name
        parts.append(f'`{name}` {dtype} [{shape}]')
    return '; '.join(parts)


def _table(head, rows):
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)


def _list(numbers):
    return ', '.join(f'{number:.2f}' for number in numbers)


def _cell(text):
    """Text that cannot break out of its cell of a table."""
    return re.sub(r'\s+', ' ', text).replace('|', '\\|')
