"""When what is recorded stands still: it moves no more between stretches of time than within them.

The records of the last half are cut into four stretches with means g_1, ..., g_4. Noise alone makes

    |g_3 + g_4 - g_1 - g_2|^2 / 4    and    (|g_1 - g_2|^2 + |g_3 - g_4|^2) / 4

equal on average; a steady drift makes the first eight times the second. The noise of the records is measured along
with the drift, so the rule has no scale to be tuned.
"""

import numpy as np

RATIO = 2.0


def standing_still(records: np.ndarray, fewest: int) -> bool:
    """Whether `records`, (record, ...), have stopped drifting; never with fewer than `fewest` of them.

    Example:
        >>> still, drifting = np.random.default_rng(0).normal(size=(2, 100, 50))
        >>> standing_still(still, 50), standing_still(drifting + 0.1 * np.arange(100)[:, None], 50)
        (True, False)
        >>> standing_still(still, 101)
        False
    """
    if len(records) < fewest:
        return False
    half = np.asarray(records[len(records) // 2 :])
    stretch = len(half) // 4
    first, second, third, fourth = (half[k * stretch : (k + 1) * stretch].mean(0) for k in range(4))
    between = np.sum((third + fourth - first - second) ** 2) / 4
    within = (np.sum((first - second) ** 2) + np.sum((third - fourth) ** 2)) / 4
    return bool(between <= RATIO * within)
