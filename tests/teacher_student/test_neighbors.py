"""Nearest neighbours: every number of the grid is what scikit-learn's regressor of that number predicts."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from competitors import tuned_neighbors


def test_it_is_the_best_of_scikit_learns_fits():
    rng = np.random.default_rng(0)
    x, test = rng.normal(size=(80, 3)), rng.normal(size=(500, 3))
    y, values = np.sin(x[:, 0]) + 0.3 * rng.normal(size=80), np.sin(test[:, 0])
    grid = [1, 2, 5, 9, 20, 300]
    best = tuned_neighbors(x, y, test, values, grid)
    squares = {k: (KNeighborsRegressor(k).fit(x, y).predict(test) - values) ** 2 for k in grid[:-1]}
    expected = min(squares, key=lambda k: squares[k].mean())
    assert best.num_neighbors == expected
    assert best.score == pytest.approx(squares[expected].mean())
    assert best.score_error == pytest.approx(squares[expected].std(ddof=1) / np.sqrt(500))
    assert not best.on_edge
    assert tuned_neighbors(x, y, test, values, [1, 2]).on_edge


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="neighbors must be at least 1"):
        tuned_neighbors(np.eye(2), np.ones(2), np.eye(2), np.ones(2), [0])
    with pytest.raises(ValueError, match="there are 2 rows"):
        tuned_neighbors(np.eye(2), np.ones(2), np.eye(2), np.ones(2), [3])
