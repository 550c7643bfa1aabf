"""Translates settings of version 0.1 to today's names and syntax."""

from collections.abc import Sequence
from typing import Any

from estimator_clf.core.call_syntax import Call, quote

#: dict old name -> new name.
RENAMED = {
    'hardest': 'hard_example_fraction',
    'max_bad_examples': 'max_corrupt_images',
    'eval_pictures': 'eval_plots',
    'eval_passes': 'eval_samples',
    'accumulate_steps': 'gradient_accumulation_steps',
    'rescale_weights': 'normalize_weights',
    'also_evaluate': 'extra_eval_sets',
    'max_pixels': 'max_image_pixels',
}

#: dict old name -> (the setting that has it now, name of the option there).
MOVED = {
    'label_pattern': ('dataset', 'label_pattern'),
    'cifar100_labels': ('dataset', 'labels'),
    'idx_prefix': ('dataset', 'prefix'),
    'compression': ('dataset', 'compression'),
    'image_key': ('dataset', 'image_key'),
    'label_key': ('dataset', 'label_key'),
    'text_key': ('dataset', 'text_key'),
    'label_offset': ('dataset', 'label_offset'),
    'shuffle_buffer': ('dataset', 'shuffle_buffer'),
    'network_args': ('network', ''),
    'proxy_args': ('proxy', ''),
}


def upgrade(
    settings: dict[str, Any], class_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns settings of version 0.1 as today's version writes them.

    Args:
      settings: flat settings.
      class_names: names of the run's classes, in order: class weights had no names.
    """
    settings = {RENAMED.get(name, name): value for name, value in settings.items()}
    options: dict[str, dict[str, Any]] = {'dataset': {}, 'network': {}, 'proxy': {}}
    for old, (setting, option) in MOVED.items():
        value = settings.pop(old, None)
        if value in (None, ''):
            continue
        if option in ('label_offset', 'shuffle_buffer'):
            value = int(value)
        options[setting].update(_options(value) if not option else {option: value})
    for setting, given in options.items():
        if given:
            settings[setting] = str(Call(settings[setting], (), given))
    weights = settings.get('class_weights', '')
    if weights not in ('', 'balanced') and class_names:
        pairs = zip(class_names, weights.split(','), strict=False)
        settings['class_weights'] = ', '.join(f'{quote(n)}={w}' for n, w in pairs)
    for name, translate in _SYNTAX.items():
        if settings.get(name):
            settings[name] = translate(settings[name])
    return settings


def _options(text):
    """`hidden=256x128,dropout=0.5` as dict option -> value."""
    found = {}
    for item in filter(None, map(str.strip, text.split(','))):
        name, _, value = map(str.strip, item.partition('='))
        found[name] = _value(value)
    return found


def _value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    parts = text.split('x')
    if len(parts) > 1 and all(part.isdigit() for part in parts):
        return tuple(map(int, parts))
    return {'true': True, 'false': False, 'none': None}.get(text.lower(), text)


def _augment(text):
    """`flip,crop:4,randaugment:2x9` -> `flip, crop(4), randaugment(9, ops=2)`."""
    calls = []
    for item in filter(None, map(str.strip, text.split(','))):
        name, _, amount = item.partition(':')
        ops, times, magnitude = amount.partition('x')
        if name == 'randaugment' and times:
            calls.append(f'{name}({magnitude or "9"}, ops={ops})')
        else:
            calls.append(f'{name}({amount})' if amount else name)
    return ', '.join(calls)


def _calls(text):
    """`mirror,shift:1` -> `mirror, shift(1)`."""
    return _augment(text)


def _mapping(text):
    """`conv:0.1,logits:10` -> `conv=0.1, logits=10`."""
    pairs = (item.rpartition(':') for item in filter(None, text.split(',')))
    return ', '.join(
        f'{quote(key.strip())}={number.strip()}' for key, _, number in pairs
    )


def _quoted_list(text):
    """Patterns that hold parentheses, quoted."""
    return ', '.join(quote(part.strip()) for part in text.split(',') if part.strip())


def _renames(text):
    """`^vgg/=cnn/,(a)=b` -> `^vgg/=cnn/, "(a)"=b`."""
    pairs = (item.strip().partition('=') for item in text.split(',') if item.strip())
    return ', '.join(f'{quote(a)}={quote(b) if b else ""}' for a, _, b in pairs)


def _lookahead(text):
    """`5:0.95` -> `every=5, decay=0.95`."""
    every, _, decay = text.partition(':')
    return f'every={every}, decay={decay}' if decay else f'every={every}'


def _eval_sets(text):
    """`a:5epochs,b=@DIR:1epochs` -> `a(every=5epochs), b(data_dir=DIR)`."""
    calls: list[str] = []
    for entry in filter(None, map(str.strip, text.split(','))):
        what, colon, every = entry.rpartition(':')
        what = what if colon else entry
        name, _, what = what.rpartition('=')
        split, _, data_dir = what.partition('@')
        args = (split,) if split and name else ()
        given: dict[str, Any] = {'data_dir': data_dir} if data_dir else {}
        if colon and every != '1epochs':
            given['every'] = int(every) if every.isdigit() else every
        calls.append(str(Call(name or split, args, given)))
    return ', '.join(calls)


_SYNTAX = {
    'augment': _augment,
    'eval_tta': _calls,
    'lookahead': _lookahead,
    'lr_multipliers': _mapping,
    'decay_multipliers': _mapping,
    'freeze': _quoted_list,
    'train_only': _quoted_list,
    'warm_start_include': _quoted_list,
    'warm_start_exclude': _quoted_list,
    'warm_start_map': _renames,
    'extra_eval_sets': _eval_sets,
}
