"""Measurements of a fit on curves agree with the estimator."""

import numpy as np
import pytest

from langevax.app.evaluation.holdout import TrainTestSplit, on_columns
from langevax.app.report.measure import NamedCurves, curves_of
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
    contents = curves_of(model, NamedCurves(X, "t", ("value",)), split_of(model, X, Y))
    betas = model.slope_functions(X)
    np.testing.assert_allclose(contents.slopes[0].median, np.median(betas, 0))
    np.testing.assert_allclose(
        contents.slopes[0].half, np.quantile(betas, [0.25, 0.75], axis=0)
    )
    np.testing.assert_allclose(
        contents.slopes[0].central, np.quantile(betas, [0.05, 0.95], axis=0)
    )
    assert contents.response == "y"


def test_curves_are_grouped_by_thirds_of_their_targets(model):
    (sample,) = curves_of(
        model, NamedCurves(X, "t", ("value",)), split_of(model, X, Y)
    ).observed
    order = np.argsort(Y)
    assert [len(group.curves) for group in sample.groups] == [8, 8, 8]
    assert sample.groups[
        0
    ].name == f"lowest third: {Y[order[0]]:.3g} to {Y[order[7]]:.3g}".replace("-", "−")
    lowest = np.sort([values[0] for _, values in sample.groups[0].curves])
    np.testing.assert_array_equal(lowest, np.sort(X[order[:8], 0]))
    assert sample.ordered


def test_values_that_are_missing_are_not_drawn():
    holes = X.copy()
    holes[0, 5:9] = np.nan
    times, values = NamedCurves(holes, "t", ("value",)).channel(0, 0, GRID)
    assert (len(times), len(values), np.isnan(values).any()) == (56, 56, False)


@pytest.mark.slow
def test_sparse_curves_are_shown_as_observed():
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
    contents = curves_of(model, NamedCurves(curves, "hour", ("heat", "noise")), split)
    assert [sample.label for sample in contents.observed] == ["heat", "noise"]
    assert [group.name for group in contents.observed[0].groups] == ["low", "high"]
    first = contents.observed[0].groups[0].curves[0]
    np.testing.assert_array_equal(first[0], times[int(np.flatnonzero(labels == 0)[0])])
    assert [len(part.grid) for part in contents.slopes] == [300, 300]
    assert contents.response == "the log odds of high"


@pytest.mark.slow
def test_patterns_have_no_slopes():
    model = FunctionalMeanFieldRegressor(
        RandomConvolutions(grid=GRID), MeanFieldRegressor(**SMALL)
    ).fit(X, Y)
    contents = curves_of(model, NamedCurves(X, "t", ("value",)), split_of(model, X, Y))
    assert contents.slopes == ()
    assert len(contents.observed) == 1


def test_a_network_on_columns_is_unchanged(model):
    assert on_columns(on_columns(model)).n_features_in_ == 6
