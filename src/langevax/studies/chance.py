"""How far a measurement may be from a true prediction by chance, where many are compared at once."""

import numpy as np

CHANCE = 1e-3
"""That a true claim is refused, shared over all comparisons of a kind."""


def limit_of(comparisons: int, replicates: float = np.inf) -> float:
    """Standard errors, from so many replicates, that a true claim exceeds in one of `comparisons` by CHANCE.

    Example:
        >>> round(limit_of(1), 2), round(limit_of(6, 20), 2)
        (3.29, 4.67)
    """
    from scipy.stats import t

    return float(t.isf(CHANCE / (2 * comparisons), replicates - 1))
