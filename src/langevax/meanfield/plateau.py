"""When a run has arrived: the dual vector moves no more between stretches of time than within them.

The records of the last half are cut into four stretches with mean duals g_1, ..., g_4. Noise alone makes

    |g_3 + g_4 - g_1 - g_2|^2 / 4    and    (|g_1 - g_2|^2 + |g_3 - g_4|^2) / 4

equal on average; a steady drift makes the first eight times the second. The noise of a cloud is measured
along with the drift, so the rule has no scale to be tuned.
"""

from typing import Any

import numpy as np

RATIO = 2.0
FEWEST = 50
"""Records from which on the rule is asked."""


def arrived(duals: np.ndarray) -> bool:
    """Whether the duals recorded so far, (record, ...), have stopped drifting.

    Example:
        >>> still, drifting = np.random.default_rng(0).normal(size=(2, 100, 50))
        >>> arrived(still), arrived(drifting + 0.1 * np.arange(100)[:, None])
        (True, False)
    """
    if len(duals) < FEWEST:
        return False
    half = np.asarray(duals[len(duals) // 2 :])
    stretch = len(half) // 4
    first, second, third, fourth = (half[k * stretch : (k + 1) * stretch].mean(0) for k in range(4))
    between = np.sum((third + fourth - first - second) ** 2) / 4
    within = (np.sum((first - second) ** 2) + np.sum((third - fourth) ** 2)) / 4
    return bool(between <= RATIO * within)


def stop_at_plateau(trace: Any, _state: Any) -> bool:
    """A callback of `simulate` for runs that record `{"dual": ...}`."""
    return trace is not None and arrived(trace.values["dual"])
