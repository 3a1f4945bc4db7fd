"""Measurements of a fit on curves agree with the estimator."""

import numpy as np
import pytest

from langevax.app.evaluation.holdout import TrainTestSplit, on_columns
from langevax.app.report.measure import curves_of
from langevax.sklearn import (
    CurveCoefficients,
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    MeanFieldClassifier,
    MeanFieldRegressor,
    RandomConvolutions,
)

pytestmark = pytest.mark.mostly_compiling

GRID = np.linspace(10, 20, 60)
X = np.stack(
    [np.cos(np.pi * k * (GRID - 10) / 10) for k in range(4)], 1
) @ np.random.default_rng(0).normal(size=(4, 24))
X, Y = 5 * X.T, X[0] + X[20] ** 2
SMALL = {
    "num_particles": 20,
    "num_steps": 20,
    "temperature": 0.01,
    "random_state": 0,
    "solver": "mfld",
}


def regressor(num_modes=6, **of_encoder):
    encoder = CurveCoefficients(num_modes=num_modes, grid=GRID, **of_encoder)
    return FunctionalMeanFieldRegressor(encoder, MeanFieldRegressor(**SMALL)).fit(X, Y)


def split_of(model, X, y, classes=()):
    columns = model.encoder_.transform(X)
    names = tuple(f"wave {k}" for k in range(columns.shape[1]))
    groups = {name: [i] for i, name in enumerate(names)}
    rows = np.arange(len(y))
    task = "classification" if classes else "regression"
    return TrainTestSplit(
        "t.csv",
        "y",
        task,
        classes,
        names,
        groups,
        tuple(range(len(names))),
        columns,
        y,
        rows,
        rows[:0],
        "curve",
    )


@pytest.fixture(scope="module")
def model():
    return regressor()


@pytest.mark.slow
def test_bands_are_quantiles_of_the_functions_of_the_estimator(model):
    contents = curves_of(model, X.__getitem__, ("t", ("value",)), split_of(model, X, Y))
    betas = model.slope_functions(X)
    np.testing.assert_allclose(contents.slopes[0].median, np.median(betas, 0))
    np.testing.assert_allclose(
        contents.slopes[0].half, np.quantile(betas, [0.25, 0.75], axis=0)
    )
    np.testing.assert_allclose(
        contents.slopes[0].central, np.quantile(betas, [0.05, 0.95], axis=0)
    )
    assert contents.response == "y"


@pytest.mark.slow
def test_sparse_curves_have_a_function_for_each_channel():
    random = np.random.default_rng(1)
    times = [np.sort(random.uniform(10, 20, 8)) for _ in X]
    curves = [
        ((t, np.interp(t, GRID, x)), (t, random.normal(size=8)))
        for t, x in zip(times, X, strict=True)
    ]
    labels = (X[:, 0] > 0).astype(int)
    model = FunctionalMeanFieldClassifier(
        CurveCoefficients(num_modes=6), MeanFieldClassifier(**SMALL)
    ).fit(curves, labels)
    split = split_of(model, curves, labels, ("low", "high"))
    axes = "hour", ("heat", "noise")
    contents = curves_of(model, lambda rows: [curves[i] for i in rows], axes, split)
    assert [band.label for band in contents.slopes] == ["heat", "noise"]
    assert [len(part.grid) for part in contents.slopes] == [300, 300]
    assert contents.response == "the log odds of high"


@pytest.mark.slow
def test_patterns_have_no_slopes():
    model = FunctionalMeanFieldRegressor(
        RandomConvolutions(grid=GRID), MeanFieldRegressor(**SMALL)
    ).fit(X, Y)
    contents = curves_of(model, X.__getitem__, ("t", ("value",)), split_of(model, X, Y))
    assert contents.slopes == ()


def test_a_network_on_columns_is_unchanged(model):
    assert on_columns(on_columns(model)).n_features_in_ == 6
