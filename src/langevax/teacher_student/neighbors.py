"""k nearest neighbours, the linear estimator without a closed form: its risk is measured at test inputs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from langevax import checks

NEIGHBORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""One grid for every n."""


class TunedNeighbors(NamedTuple):
    """The mean of the best number of nearest targets."""

    num_neighbors: int
    score: float
    """Mean squared error against the test values, at its least."""
    score_error: float
    """Its standard error over test inputs."""
    on_edge: bool
    """Whether the best number is the grid's first or last, so that the grid ought to be wider."""


def tuned_neighbors(
    inputs: Float[Any, "n d"],
    targets: Float[Any, " n"],
    test_inputs: Float[Any, "tests d"],
    test_values: Float[Any, " tests"],
    neighbors: Sequence[int] = NEIGHBORS,
) -> TunedNeighbors:
    """scikit-learn's `KNeighborsRegressor` with the number of neighbours that is best at the test inputs.

    Args:
        inputs, targets: (n, d) and (n,).
        test_inputs, test_values: where, and against what; the teacher's own values give the excess risk. Choosing by
            them tunes in the competitor's favour.
        neighbors: numbers to choose from; those above n are left out.

    Cost: one search, for the most neighbours.

    Example:
        >>> X = np.linspace(0, 1, 9)[:, None]
        >>> tuned_neighbors(X, X[:, 0], X + 0.05, X[:, 0] + 0.05, [1, 2, 4]).num_neighbors
        2
    """
    from sklearn.neighbors import KNeighborsRegressor

    for number in neighbors:
        checks.positive_int("neighbors", number)
    y, values = np.asarray(targets, np.float64), np.asarray(test_values, np.float64)
    grid = np.array([number for number in sorted(neighbors) if number <= len(y)])
    if not len(grid):
        raise ValueError(f"neighbors is {list(neighbors)} but there are {len(y)} rows; pass at least one up to that.")
    search = KNeighborsRegressor(n_neighbors=int(grid[-1])).fit(np.asarray(inputs), y)
    nearest = search.kneighbors(np.asarray(test_inputs), return_distance=False)
    means = np.cumsum(y[nearest], axis=1)[:, grid - 1] / grid
    squares = (means - values[:, None]) ** 2
    scores = squares.mean(axis=0)
    best = int(np.argmin(scores))
    error = float(squares[:, best].std(ddof=1) / np.sqrt(len(values)))
    return TunedNeighbors(int(grid[best]), float(scores[best]), error, best in (0, len(grid) - 1))
