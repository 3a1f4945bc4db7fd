"""When a run has arrived: its dual vector stands still, by the rule of `langevax.run.result.is_stationary`."""

from typing import Any

import numpy as np

from langevax.run.result import is_stationary

FEWEST = 50
"""Records from which on the rule is asked."""


def arrived(duals: np.ndarray) -> bool:
    """Whether the duals recorded so far, (record, ...), have stopped drifting.

    Example:
        >>> still, drifting = np.random.default_rng(0).normal(size=(2, 100, 50))
        >>> arrived(still), arrived(drifting + 0.1 * np.arange(100)[:, None])
        (True, False)
    """
    return is_stationary(duals, FEWEST)


def stop_at_plateau(trace: Any, _state: Any) -> bool:
    """A callback of `simulate` for runs that record `{"dual": ...}`."""
    return trace is not None and arrived(trace.values["dual"])
