"""When a run has arrived: its dual vector stands still, by the rule of `langevax.run.standstill`."""

from typing import Any

import numpy as np

from langevax.run.standstill import standing_still

FEWEST = 50
"""Records from which on the rule is asked."""


def arrived(duals: np.ndarray) -> bool:
    """Whether the duals recorded so far, (record, ...), have stopped drifting.

    Example:
        >>> still, drifting = np.random.default_rng(0).normal(size=(2, 100, 50))
        >>> arrived(still), arrived(drifting + 0.1 * np.arange(100)[:, None])
        (True, False)
    """
    return standing_still(duals, FEWEST)


def stop_at_plateau(trace: Any, _state: Any) -> bool:
    """A callback of `simulate` for runs that record `{"dual": ...}`."""
    return trace is not None and arrived(trace.values["dual"])
