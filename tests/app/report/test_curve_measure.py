"""Measurements of a fit on curves agree with the estimator."""

import dataclasses

import numpy as np
import pytest

from langevax.app.evaluation.holdout import TrainTestSplit, on_columns
from langevax.app.report.measure import NamedCurves, curves_of, moving_slope, parts_of
from langevax.app.report.numbers import number
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
def test_bands_are_quantiles_of_the_functions_and_prior_of_the_estimator(model):
    contents = curves_of(model, NamedCurves(X, "t", ("value",)), split_of(model, X, Y))
    betas, thetas = model.slope_functions(X), model.weight_functions()
    np.testing.assert_allclose(contents.slopes[0].median, np.median(betas, 0))
    np.testing.assert_allclose(
        contents.slopes[0].half, np.quantile(betas, [0.25, 0.75], axis=0)
    )
    np.testing.assert_allclose(
        contents.weights[0].central, np.quantile(thetas, [0.05, 0.95], axis=0)
    )
    np.testing.assert_allclose(
        contents.weights[0].prior, 1.645 * model._prior_deviation(GRID, 0), rtol=1e-6
    )
    assert contents.encoded == ()
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


def test_the_moving_slope_is_that_of_the_network_at_each_step(model):
    """output(x + e) - output(x) = mean over D of beta e, for e small; one curve, so that the median is its slope."""
    split = dataclasses.replace(split_of(model, X, Y), train=np.array([3]))
    frames = np.array([2, len(model.estimator_.history_["steps"]) - 1])
    slope = moving_slope(model, NamedCurves(X[3:4], "t", ("value",)), split, frames)
    assert slope.values.shape == (2, 60)
    change = 0.02 * np.cos(np.pi * (GRID - 10) / 10)
    columns = lambda s: model.encode(X[3:4] + s * change)
    before, after = (
        np.array(list(model.estimator_.staged_predict(columns(s))))[frames, 0]
        for s in (-0.5, 0.5)
    )
    expected = [np.trapezoid(beta * change, GRID) / 10 for beta in slope.values]
    np.testing.assert_allclose(after - before, expected, rtol=0.05)


@pytest.mark.slow
def test_differentiated_curves_are_shown_as_encoded():
    model = regressor(num_modes=40, derivative=1, smoothing=None)
    contents = curves_of(model, NamedCurves(X, "t", ("value",)), split_of(model, X, Y))
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
    for samples in (contents.observed, contents.encoded):
        assert [sample.label for sample in samples] == ["heat", "noise"]
    assert [group.name for group in contents.observed[0].groups] == ["low", "high"]
    first = contents.observed[0].groups[0].curves[0]
    np.testing.assert_array_equal(first[0], times[int(np.flatnonzero(labels == 0)[0])])
    assert [len(part.grid) for part in contents.slopes] == [200, 200]
    assert contents.response == "the log odds of high"
    assert (
        moving_slope(
            model, NamedCurves(curves, "hour", ("heat", "noise")), split, np.arange(3)
        ).label
        == "heat"
    )


@pytest.fixture(scope="module")
def bumps():
    """Curves of noise with a bump anywhere in 12 to 18 or none, their labels, and the places of the bumps."""
    random = np.random.default_rng(3)
    places, labels = random.uniform(12, 18, 48), np.arange(48) % 2
    curves = 0.1 * random.normal(size=(48, 60))
    curves += labels[:, None] * 2 * np.exp(-((GRID - places[:, None]) ** 2) / 0.3)
    return curves, labels, places


@pytest.mark.parametrize(
    "encoder",
    [CurveCoefficients(num_modes=24, grid=GRID), RandomConvolutions(grid=GRID)],
)
@pytest.mark.slow
def test_the_part_that_speaks_for_a_prediction_is_the_bump(bumps, encoder):
    curves, labels, places = bumps
    settings = {
        "num_particles": 100,
        "num_steps": 200,
        "temperature": 0.003,
        "solver": "mfld",
        "random_state": 0,
    }
    model = FunctionalMeanFieldClassifier(encoder, MeanFieldClassifier(**settings))
    model.fit(curves[:36], labels[:36])
    split = split_of(model, curves, labels, ("flat", "bump"))
    split = dataclasses.replace(split, train=np.arange(36), test=np.arange(36, 48))
    held_out = NamedCurves(curves[36:], "t", ("value",))
    parts = parts_of(
        model, held_out, split, model.predict_proba(curves[36:]), range(36, 48)
    )
    assert 2 <= len(parts) <= 6
    with_bump = [part for part in parts if "is bump, predicted bump" in part.outcome]
    assert with_bump
    for part in with_bump:
        strongest = part.times[part.effects.argmax()]  # for the class predicted
        assert abs(strongest - places[int(part.name)]) < 1
        np.testing.assert_array_equal(part.channels[0][1], curves[int(part.name)])
    contents = curves_of(model, NamedCurves(curves[:36], "t", ("value",)), split)
    assert (
        (contents.slopes == ())
        == (contents.weights == ())
        == isinstance(encoder, RandomConvolutions)
    )


def test_the_curves_explained_are_typical_ones_and_the_worst_errors(model):
    outputs = np.asarray(model.predict(X), np.float64)
    outputs[5] += 10 * np.abs(Y).max()
    split = dataclasses.replace(split_of(model, X, Y), test=np.arange(24))
    parts = parts_of(model, NamedCurves(X, "t", ("value",)), split, outputs, range(24))
    names = [int(part.name) for part in parts]
    order = np.argsort(outputs)
    assert names[:3] == [order[0], order[12], 5]
    assert len(names) == len(set(names)) == 6
    assert (
        parts[2].outcome == f"observed {number(Y[5])}, predicted {number(outputs[5])}"
    )


def test_a_network_on_columns_is_unchanged(model):
    assert on_columns(on_columns(model)).n_features_in_ == 6
