"""One run of `benchmarks/training.py` with PyTorch, without TensorFlow.

`--child` is torch or torch_compile; the other arguments are those of the benchmark.
"""

import argparse
import json
import time

import torch
from torch import nn

_SHAPES = {'cifar': (3, 32, 32), 'cnn': (1, 28, 28)}
_EXAMPLES = {'cifar': 50_000, 'cnn': 60_000}
_WARM_UP = {'cifar': 4, 'cnn': 60}


def main():
    """Trains for the given time; prints the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--child', choices=('torch', 'torch_compile'))
    parser.add_argument('--workload', choices=tuple(_SHAPES))
    parser.add_argument('--batch_size', type=int)
    parser.add_argument('--seconds', type=float)
    options = parser.parse_args()
    torch.manual_seed(0)
    workload, batch = options.workload, options.batch_size
    model = network(workload).to(memory_format=torch.channels_last)
    trained = [p for p in model.parameters() if p.requires_grad]
    if workload == 'cifar':
        optimizer = torch.optim.SGD(trained, 0.1, 0.85, nesterov=True)
    else:
        optimizer = torch.optim.Adam(trained, 1e-4)
    count = _EXAMPLES[workload]
    images = torch.randint(0, 256, (count, *_SHAPES[workload]), dtype=torch.uint8)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (count,))
    fast = 'avx512_bf16' in _flags() or 'amx_bf16' in _flags()

    def loss_of(images, labels):
        x = (images.float() - 127.5) / 73.6
        with torch.autocast('cpu', torch.bfloat16, enabled=fast):
            logits = model(x)
        return nn.functional.cross_entropy(logits.float(), labels)

    if options.child == 'torch_compile':
        loss_of = torch.compile(loss_of)

    def step(number):
        at = number * batch % (count - batch)
        if at < batch:  # An epoch has ended.
            step.order = torch.randperm(count)
        indices = step.order[at : at + batch]
        x = images[indices].contiguous(memory_format=torch.channels_last)
        loss = loss_of(x, labels[indices])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    model.train()
    for number in range(_WARM_UP[workload]):
        step(number)
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < options.seconds:
        step(_WARM_UP[workload] + steps)
        steps += 1
    seconds = time.perf_counter() - begin
    print(
        json.dumps(
            {
                'steps': steps,
                'seconds': seconds,
                'images_per_second': steps * batch / seconds,
                'torch': torch.__version__,
            }
        )
    )


class Scaled(nn.Module):
    """Divides the logits by 9."""

    def forward(self, x):
        return x / 9


def network(workload):
    """Builds the network of a workload."""
    if workload == 'cnn':
        return nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(7 * 7 * 64, 1024),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(1024, 10),
        )
    first = nn.Conv2d(3, 24, 2)
    first.requires_grad_(False)
    layers, channels = [first, nn.ReLU()], 24
    for width in (64, 256, 256):
        for pool in (True, False):
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
            if pool:
                layers.append(nn.MaxPool2d(2))
            norm = nn.BatchNorm2d(width, momentum=0.4)
            norm.weight.requires_grad = False
            layers += [norm, nn.ReLU()]
            channels = width
    layers += [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False), Scaled()]
    return nn.Sequential(*layers)


def _flags():
    try:
        with open('/proc/cpuinfo', encoding='ascii', errors='replace') as file:
            for line in file:
                if line.startswith('flags'):
                    return line.split()
    except OSError:  # Not Linux.
        pass
    return []


if __name__ == '__main__':
    main()
