"""Measurements of a fit on curves agree with the estimator."""

import dataclasses

import numpy as np
import pytest

from langevax.evaluation.holdout import TrainTestSplit, on_columns
from langevax.report.measure import TrainingCurves, curves_of, moving_slope
from langevax.sklearn import FunctionalMeanFieldClassifier, FunctionalMeanFieldRegressor

GRID = np.linspace(10, 20, 60)
X = np.stack([np.cos(np.pi * k * (GRID - 10) / 10) for k in range(4)], 1) @ np.random.default_rng(0).normal(
    size=(4, 24)
)
X, Y = 5 * X.T, X[0] + X[20] ** 2
SMALL = {"num_particles": 20, "num_steps": 20, "temperature": 0.01, "random_state": 0, "num_modes": 6}
SMALL |= {"encoder": "basis", "solver": "mfld"}


def split_of(model, X, y, classes=()):
    columns = model.encoder_.transform(X)
    names = tuple(f"wave {k}" for k in range(columns.shape[1]))
    groups = {name: [i] for i, name in enumerate(names)}
    rows = np.arange(len(y))
    task = "classification" if classes else "regression"
    return TrainTestSplit(
        "t.csv", "y", task, classes, names, groups, tuple(range(len(names))), columns, y, rows, rows[:0], "curve"
    )


@pytest.fixture(scope="module")
def model():
    return FunctionalMeanFieldRegressor(grid=GRID, **SMALL).fit(X, Y)


def test_bands_are_quantiles_of_the_functions_and_prior_of_the_estimator(model):
    contents = curves_of(model, TrainingCurves(X, "t", ("value",)), split_of(model, X, Y))
    betas, thetas = model.slope_functions(X), model.weight_functions()
    np.testing.assert_allclose(contents.slopes[0].median, np.median(betas, 0))
    np.testing.assert_allclose(contents.slopes[0].half, np.quantile(betas, [0.25, 0.75], axis=0))
    np.testing.assert_allclose(contents.weights[0].central, np.quantile(thetas, [0.05, 0.95], axis=0))
    np.testing.assert_allclose(contents.weights[0].prior, 1.645 * model._prior_deviation(GRID, 0), rtol=1e-6)
    assert contents.encoded == ()
    assert contents.response == "y"


def test_curves_are_grouped_by_thirds_of_their_targets(model):
    (sample,) = curves_of(model, TrainingCurves(X, "t", ("value",)), split_of(model, X, Y)).observed
    order = np.argsort(Y)
    assert [len(group.curves) for group in sample.groups] == [8, 8, 8]
    assert sample.groups[0].name == f"lowest third: {Y[order[0]]:.3g} to {Y[order[7]]:.3g}".replace("-", "−")
    lowest = np.sort([values[0] for _, values in sample.groups[0].curves])
    np.testing.assert_array_equal(lowest, np.sort(X[order[:8], 0]))
    assert sample.ordered


def test_values_that_are_missing_are_not_drawn():
    holes = X.copy()
    holes[0, 5:9] = np.nan
    times, values = TrainingCurves(holes, "t", ("value",)).channel(0, 0, GRID)
    assert (len(times), len(values), np.isnan(values).any()) == (56, 56, False)


def test_the_moving_slope_is_that_of_the_network_at_each_step(model):
    """output(x + e) - output(x) = mean over D of beta e, for e small; one curve, so that the median is its slope."""
    split = dataclasses.replace(split_of(model, X, Y), train=np.array([3]))
    frames = np.array([2, len(model.history_["steps"]) - 1])
    slope = moving_slope(model, TrainingCurves(X[3:4], "t", ("value",)), split, frames)
    assert slope.values.shape == (2, 60)
    change = 0.02 * np.cos(np.pi * (GRID - 10) / 10)
    before, after = (np.array(list(model.staged_predict(X[3:4] + s * change)))[frames, 0] for s in (-0.5, 0.5))
    expected = [np.trapezoid(beta * change, GRID) / 10 for beta in slope.values]
    np.testing.assert_allclose(after - before, expected, rtol=0.05)


def test_differentiated_curves_are_shown_as_encoded():
    model = FunctionalMeanFieldRegressor(grid=GRID, derivative=1, smoothing=None, **SMALL | {"num_modes": 40}).fit(X, Y)
    contents = curves_of(model, TrainingCurves(X, "t", ("value",)), split_of(model, X, Y))
    (encoded,) = contents.encoded
    assert encoded.label == contents.slopes[0].label == "derivative"
    _, values = encoded.groups[0].curves[0]
    row = np.flatnonzero(np.quantile(Y, 1 / 3) >= Y)[0]
    exact = np.gradient(X[row], GRID)
    assert np.abs(values - exact)[5:-5].max() < 0.1 * np.abs(exact).max()


@pytest.mark.slow
def test_sparse_curves_are_shown_as_observed_and_as_encoded():
    random = np.random.default_rng(1)
    times = [np.sort(random.uniform(10, 20, 8)) for _ in X]
    curves = [((t, np.interp(t, GRID, x)), (t, random.normal(size=8))) for t, x in zip(times, X, strict=True)]
    labels = (X[:, 0] > 0).astype(int)
    model = FunctionalMeanFieldClassifier(channels=2, **SMALL).fit(curves, labels)
    split = split_of(model, curves, labels, ("low", "high"))
    contents = curves_of(model, TrainingCurves(curves, "hour", ("heat", "noise")), split)
    for samples in (contents.observed, contents.encoded):
        assert [sample.label for sample in samples] == ["heat", "noise"]
    assert [group.name for group in contents.observed[0].groups] == ["low", "high"]
    first = contents.observed[0].groups[0].curves[0]
    np.testing.assert_array_equal(first[0], times[int(np.flatnonzero(labels == 0)[0])])
    assert [len(part.grid) for part in contents.slopes] == [200, 200]
    assert contents.response == "the log odds of high"
    assert moving_slope(model, TrainingCurves(curves, "hour", ("heat", "noise")), split, np.arange(3)).label == "heat"


def test_a_network_on_columns_is_unchanged(model):
    assert on_columns(on_columns(model)).n_features_in_ == 6
