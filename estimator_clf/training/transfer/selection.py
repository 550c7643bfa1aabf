"""Decides whether fine-tuning is kept."""

import math
from collections.abc import Mapping
from typing import Any

from estimator_clf.config.metric_goal import MetricGoal


def compare(
    results: Mapping[int, Mapping[str, float]], goal: MetricGoal, last_step: int
) -> dict[str, Any]:
    """Compares the evaluations of fine-tuning with that of step 0.

    The best one is kept if it is better by `goal` and not worse by accuracy, where the
    two may differ; else the weights of step 0.

    Args:
      results: metrics on the validation split by step, that of 0 among them.
      goal: by which the best checkpoint was saved.
      last_step: of fine-tuning.

    Returns:
      JSON facts: `kept_step`; `final_step`, that of the checkpoint with these weights,
      `last_step` itself if it has them; values before and after.
    """
    frozen = results[0]
    steps = [
        step
        for step in sorted(results)
        if 0 < step <= last_step and math.isfinite(goal.value(results[step]))
    ]
    best = 0
    for step in steps:
        if goal.better(goal.value(results[step]), goal.value(results[best])):
            best = step
    kept = best
    names = [name for name in ('accuracy',) if name in frozen]
    if best and any(results[best][name] < frozen[name] for name in names):
        kept = 0
    metrics = list(dict.fromkeys([goal.metric, *names]))
    return {
        'kept_step': kept,
        'final_step': last_step if kept == last_step else last_step + 1,
        'best_step': best or (steps[-1] if steps else 0),
        'metrics': {
            name: [frozen[name], results[best or (steps[-1] if steps else 0)][name]]
            for name in metrics
        },
    }


def summary(facts: Mapping[str, Any]) -> str:
    """Describes the decision in one sentence."""
    values = ', '.join(
        f'{name} {before:.4f} before, {after:.4f} after'
        for name, (before, after) in facts['metrics'].items()
    )
    if facts['kept_step']:
        return f'kept, of step {facts["kept_step"]}: {values}'
    return f'not kept, because it is not better: {values}'
