"""One run of `benchmarks/input.py` with PyTorch: a DataLoader with Pillow.

Requires torch, numpy and Pillow only: it runs in another Python.
"""

import argparse
import glob
import json
import os
import time

import numpy as np
import torch
from PIL import Image

_SIZE = (224, 224)
_BATCH = 32
_WARM_SECONDS, _WARM_BATCHES = 2.0, 20


class Photos(torch.utils.data.Dataset):
    """Photos of a directory, uint8 [3, 224, 224], with class numbers."""

    def __init__(self, directory):
        self._paths = sorted(glob.glob(os.path.join(directory, '*', '*')))
        names = sorted({path.split(os.sep)[-2] for path in self._paths})
        self._labels = [names.index(path.split(os.sep)[-2]) for path in self._paths]

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, number):
        with Image.open(self._paths[number]) as image:
            image = image.convert('RGB').resize(_SIZE, Image.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return pixels, self._labels[number]


def batches(loader):
    """Yields batches endlessly."""
    while True:
        yield from loader


def main():
    """Prints one line of JSON with the fields of `benchmarks.input_run`."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--child')
    parser.add_argument('--workload')
    parser.add_argument('--data_dir')
    parser.add_argument('--seconds', type=float)
    options = parser.parse_args()
    workers = int(options.child.partition('_')[2])
    loader = torch.utils.data.DataLoader(
        Photos(os.path.join(options.data_dir, 'train')),
        batch_size=_BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    iterator = batches(loader)
    until, done = time.perf_counter() + _WARM_SECONDS, 0
    while done < max(_WARM_BATCHES, len(loader)) or time.perf_counter() < until:
        next(iterator)
        done += 1
    begin, cpu, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < options.seconds:
        next(iterator)
        done += 1
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    found = {
        'images': done * _BATCH,
        'seconds': seconds,
        'images_per_second': done * _BATCH / seconds,
    }
    if not workers:
        found['cpu_seconds'] = cpu
    print(json.dumps(found))


if __name__ == '__main__':
    main()
