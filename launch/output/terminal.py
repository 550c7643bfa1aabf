"""Terminal output of a run: progress, messages, tables of metrics."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from estimator_clf.config.step_plan import StepPlan
from estimator_clf.training.callbacks import Callback
from launch.app import flag_names


class TerminalCallback(Callback):
    """A progress bar on a terminal, one plain line per interval in a log."""

    def __init__(self, stream: TextIO | None = None):
        """Makes the callback.

        Args:
          stream: where to write; standard error by default, since standard output is
            for results.
        """
        self._stream = stream or sys.stderr
        self._bar: Any = None

    def on_start(self, plan: StepPlan) -> None:
        self._plan = plan
        self._first, self._start = plan.start_step, time.monotonic()
        if plan.start_step:
            self.on_message(f'Resuming from step {plan.start_step}.')
        if plan.eval_split is None:
            self.on_message(
                'There is no validation and no test split, so nothing is evaluated; '
                'hold out some training examples with `validation_split=0.1`'
            )
        if self._stream.isatty() and plan.start_step < plan.total_steps:
            from tqdm import tqdm

            self._bar = tqdm(
                total=plan.total_steps,
                initial=plan.start_step,
                unit='step',
                dynamic_ncols=True,
                file=self._stream,
                bar_format='{desc}{percentage:3.0f}%|{bar}| {n}/{total} steps '
                '[{elapsed}<{remaining}{postfix}]',
            )

    def on_step(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(step - self._bar.n)  # Below 0 after a rollback.

    def on_train(self, step: int, metrics: Mapping[str, float]) -> None:
        shown = {
            'loss': f'{metrics["loss"]:.4f}',
            'accuracy': f'{metrics["accuracy"]:.4f}' if 'accuracy' in metrics else None,
            # A regression has rows, not images.
            'images/s' if 'accuracy' in metrics else 'rows/s': (
                f'{metrics["examples_per_second"]:,.0f}'
            ),
        }
        shown = {name: text for name, text in shown.items() if text}
        if self._bar is not None:
            self._bar.set_description_str(f'epoch {metrics["epoch"]:.1f} ')
            self._bar.set_postfix(shown, refresh=False)
            return
        if step <= self._first:  # A rollback to before the start of this process.
            self._first, self._start = step, time.monotonic()
        facts = ', '.join(f'{name} {text}' for name, text in shown.items())
        size = _examples(metrics)
        facts += f', over {size}' if size else ''
        self.on_message(
            f'step {step}/{self._plan.total_steps}, epoch {metrics["epoch"]:.2f}, '
            f'{facts}, waiting for input {metrics.get("input_wait", 0):.0%}, '
            f'ETA {self._left(step)}'
        )

    def _left(self, step):
        if step == self._first:
            return 'unknown'
        each = (time.monotonic() - self._start) / (step - self._first)
        return _duration((self._plan.total_steps - step) * each)

    def on_evaluate(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        names = ('loss', 'accuracy', 'macro_f1', 'root_mean_squared_error')
        facts = ', '.join(f'{n} {metrics[n]:.4f}' for n in names if n in metrics)
        size = _examples(metrics)
        where = f'{split} ({size})' if size else split
        self.on_message(f'step {step}, {where}: {facts}')

    def on_stop(self, signal_name: str) -> None:
        self.on_message(f'{signal_name}: saving a checkpoint, then stopping.')

    def on_message(self, text: str) -> None:
        text = flag_names(text)
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Leaves the bar on the terminal; output continues below it."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def table(header: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """Formats a table as text.

    Args:
      header: titles of the columns.
      rows: cells; floats have four decimals, and columns with one are aligned right.

    Returns:
      Text of several lines, without a newline at the end.
    """
    cells = [[f'{c:.4f}' if isinstance(c, float) else str(c) for c in r] for r in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [
        any(isinstance(row[column], float) for row in rows)
        for column in range(len(header))
    ]

    def line(texts):
        padded = (
            text.rjust(width) if end else text.ljust(width)
            for text, width, end in zip(texts, widths, right, strict=True)
        )
        return '  '.join(padded).rstrip()

    return '\n'.join([line(header), line(['-' * w for w in widths]), *map(line, cells)])


def metrics_tables(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Formats the metrics of some splits: overall ones first, then those per class.

    Args:
      metrics: metrics by split and name.
    """
    splits = list(metrics)
    names = list(dict.fromkeys(n for m in metrics.values() for n in m))
    overall = [n for n in names if '/' not in n and n != 'examples']
    nan = float('nan')
    rows: list[list[str | float]] = [
        [n, *(float(metrics[s].get(n, nan)) for s in splits)] for n in overall
    ]
    if 'examples' in names:  # Those of a run of an older version are not known.
        rows.insert(0, ['examples', *(metrics[s].get('examples', '') for s in splits)])
    parts = [table(['metric', *splits], rows)]
    classes = [n.partition('/')[2] for n in names if n.startswith('precision/')]
    columns = ['examples'] if any(n.startswith('examples/') for n in names) else []
    columns += ['precision', 'recall']
    for split in splits:
        if not classes:
            break
        rows = [
            [c, *(_cell(metrics[split], column, c) for column in columns)]
            for c in classes
        ]
        parts.append(table([f'class ({split})', *columns], rows))
    return '\n\n'.join(parts)


def _examples(metrics):
    return f'{metrics["examples"]:,} examples' if 'examples' in metrics else ''


def _cell(metrics, column, class_name):
    default = '' if column == 'examples' else float('nan')
    return metrics.get(f'{column}/{class_name}', default)


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'
    )
