"""Ends a session of a single process at its first error.

`MonitoredSession`, and with it `Estimator.train`, takes an AbortedError for a preempted
worker, restores the last checkpoint and tries again, without end and without a message.
That is right in a cluster. In one process nothing was preempted: oneDNN raises the same
error when memory runs out, and the retry fails the same way.
"""

import functools
from typing import Any

from tensorflow.python.distribute import distribute_coordinator_context
from tensorflow.python.training import monitored_session


def stop_retries() -> None:
    """Retries errors of clusters only. Idempotent."""
    original = monitored_session._MonitoredSession.__init__
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def init(
        self: Any,
        session_creator: Any,
        hooks: Any,
        should_recover: bool,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        recover = should_recover and not _is_local(session_creator)
        original(self, session_creator, hooks, recover, *args, **kwargs)

    monitored_session._MonitoredSession.__init__ = init


def _is_local(session_creator: Any) -> bool:
    """Whether the session runs in this process alone; False if unknown."""
    if session_creator is None:
        return not distribute_coordinator_context.get_current_worker_context()
    return getattr(session_creator, '_master', None) in ('', 'local')
