"""The loop of a run: whether there is one, and where it ends."""

from estimator_clf.core import intervals as duration


def wanted(config, replicas, tell):
    """Tells whether a run of the session takes several steps.

    Args:
      config: `Config`.
      replicas: devices to train on; on several a loop is not possible.
      tell: function of a text, for a person who asked for it in vain.
    """
    asked = config.steps_per_loop
    if replicas > 1 and asked not in ('auto', '1'):
        tell(
            f'`steps_per_loop={asked}`: on {replicas} devices each step is taken by '
            'itself'
        )
    return replicas == 1 and asked != '1'


def hook_of(loop, config, plan, intervals):
    """Makes the hook of a run's loop.

    Args:
      loop: `StepLoop`.
      config: `Config`.
      plan: `Plan`.
      intervals: intervals in steps of the evaluations.
    """
    first, last = duration.step_range(config.profile, 'profile') or (0, 0)

    def alone(step):
        # What is fetched beside a run must be of one step: images and histograms of
        # the first step and some more; and recordings tell one step from the next.
        sampled = step == plan.start_step + 1 or duration.due(step, plan.sample_every)
        return sampled or first <= step <= last

    most = None if config.steps_per_loop == 'auto' else int(config.steps_per_loop)
    every = [plan.log_every, plan.save_every, *intervals]
    return loop.hook(plan.total_steps, every, alone, most)
