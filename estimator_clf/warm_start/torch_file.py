"""Reads torchvision's `state_dict` files: .pth, .pt and .safetensors.

The files are read by PyTorch, with `weights_only`, which loads tensors and runs no code
of the file, and by safetensors, whose format has none.
"""

import os
import pickle
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from estimator_clf.config.warm_start_rules import listed
from estimator_clf.core.errors import ConfigError
from model_fns.layers.published import TorchLayout

#: Extensions of the files.
EXTENSIONS = ('.pth', '.pt', '.safetensors')

# In the order of Keras: of convolutions and dense layers, and of batch normalization.
_CONV = ('weight', 'bias')
_BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var')


def read_layers(path: str, layout: TorchLayout) -> dict[str, list[np.ndarray]]:
    """Reads a file into the layout of Keras.

    Args:
      path: of the file.
      layout: the network in such files.

    Returns:
      dict Keras layer -> arrays: kernels are [H, W, inputs, outputs].

    Raises:
      ConfigError: the package that reads it is missing; the file cannot be read, or is
        of another network.
    """
    tensors = _read(path)
    missing = [
        f'{module}.weight'
        for module in layout.modules
        if f'{module}.weight' not in tensors
    ]
    if missing:
        raise ConfigError(
            f'`warm_start={path}` does not contain this network: of the '
            f"{len(layout.modules)} layers of torchvision's, {len(missing)} are "
            f'missing, such as {missing[0]}; the file has {listed(tensors, 6)}'
        )
    layers = {
        layer: _convert(path, module, tensors)
        for module, layer in layout.modules.items()
    }
    if layout.adapt:
        layout.adapt(layers)
    return layers


def _convert(path, module, tensors):
    normalizes = f'{module}.running_mean' in tensors
    names = [f'{module}.{name}' for name in (_BATCH_NORM if normalizes else _CONV)]
    arrays = [tensors[name] for name in names if name in tensors]
    kernel = arrays[0]
    if normalizes and len(arrays) == len(_BATCH_NORM):
        return arrays
    if kernel.ndim == 2:
        arrays[0] = kernel.T
    elif kernel.ndim == 4:
        # One input per output: a depthwise kernel, [H, W, channels, 1] in Keras.
        depthwise = kernel.shape[1] == 1
        arrays[0] = kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    else:
        raise ConfigError(
            f'`warm_start={path}` does not contain this network: {names[0]} has the '
            f'shape {list(kernel.shape)}'
        )
    return arrays


def _read(path: str) -> Mapping[str, np.ndarray]:
    if not os.path.isfile(path):
        raise ConfigError(f'`warm_start={path}`: there is no such file')
    safe = path.lower().endswith('.safetensors')
    return (_read_safetensors if safe else _read_pickled)(path)


def _read_safetensors(path):
    try:
        import safetensors
        from safetensors.numpy import load_file
    except ImportError:
        raise _missing(path, 'safetensors') from None
    try:
        return {name: _float32(a) for name, a in load_file(path).items()}
    # TypeError and KeyError: a type that NumPy does not have, such as bfloat16.
    except (safetensors.SafetensorError, OSError, TypeError, KeyError) as error:
        raise _unreadable(path, error) from None


def _read_pickled(path):
    try:
        import torch
    except ImportError:
        raise _missing(path, 'torch') from None
    try:
        found = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        raise ConfigError(
            f'`warm_start={path}` cannot be read: it contains more than tensors (a '
            'whole pickled model, which could run code), or is corrupt. Save the '
            'state_dict: torch.save(model.state_dict(), PATH)'
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from None
    if isinstance(found, Mapping) and isinstance(found.get('state_dict'), Mapping):
        found = found['state_dict']  # Of a training checkpoint.
    is_tensor: Callable = torch.is_tensor
    if not isinstance(found, Mapping) or not any(map(is_tensor, found.values())):
        raise _unreadable(path, 'it is not a state_dict: a dictionary of tensors')
    return {
        # The prefix is that of nn.DataParallel.
        str(name).removeprefix('module.'): _float32(tensor.detach().float().numpy())
        for name, tensor in found.items()
        if is_tensor(tensor)
    }


def _float32(array):
    return np.asarray(array, np.float32)


def _missing(path, package):
    extra = ' (the extra [safetensors])' if package == 'safetensors' else ''
    return ConfigError(
        f'`warm_start={path}` requires the package {package}{extra}: pip install '
        f'{package}'
    )


def _unreadable(path, error):
    reason = str(error).partition('\n')[0]
    return ConfigError(f'`warm_start={path}` cannot be read, or is corrupt: {reason}')
