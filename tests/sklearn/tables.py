"""Small tables that the estimator tests share, so that they share compiled programs too."""

import functools

import jax
import numpy as np
from sklearn.datasets import load_diabetes, load_iris

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor
from langevax.sklearn.fold_paths import FoldSearch, SplitRows
from langevax.sklearn.learned_scales import PreparedColumns

QUICK = {"num_particles": 100, "random_state": 0, "validation": None}
"""A path to the temperature of the kernel limit."""
STEPS = QUICK | {"num_steps": 100}
"""Steps of mean-field Langevin dynamics in its place."""


@functools.cache
def diabetes():
    """(442, 10) and the progression."""
    return load_diabetes(return_X_y=True)


@functools.cache
def iris():
    """(150, 4) and three names, shuffled."""
    bunch = load_iris()
    order = np.random.default_rng(0).permutation(150)
    return bunch.data[order], bunch.target_names[bunch.target][order]


@functools.cache
def fitted_regressor():
    """Not to be changed by a test."""
    X, y = diabetes()
    return MeanFieldRegressor(**QUICK).fit(X[:300], y[:300])


@functools.cache
def fitted_classifier():
    """Not to be changed by a test."""
    X, y = iris()
    return MeanFieldClassifier(**QUICK).fit(X[:100], y[:100])


def fold_search(network, learned=None):
    """The paths of the folds of a network's rows, begun as they are asked for; close them."""
    split = SplitRows.of(network.task.labels, np.ones(len(network.inputs)), None)
    columns = PreparedColumns(None, "columns", learned)
    return FoldSearch(network, network.inputs, split, jax.random.key(0), 64, columns)


def outputs_left_out(search, number):
    """(n, ...) outputs of a search at the rows of each fold, after so many coolings."""
    search.losses()
    parts = [search.path(fold).outputs(number, 0.0) for fold in range(5)]
    return np.concatenate(parts)[np.argsort(search.held(5))]


@functools.cache
def overlapping():
    """(2400, 7) standard normals, one of which shifts the odds of two classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2400, 7))
    return X, rng.uniform(size=2400) < 1 / (1 + np.exp(-(X[:, 0] - 0.7)))


@functools.cache
def fitted_on_overlapping():
    """By default, on 400 rows; not to be changed by a test."""
    X, y = overlapping()
    return MeanFieldClassifier(random_state=0).fit(X[:400], y[:400])
