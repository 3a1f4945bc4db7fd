"""A length scale per column: evidence and slopes against scikit-learn and differences, and use in the estimators."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from langevax import Run
from langevax.sklearn import KernelLangevinClassifier, KernelLangevinRegressor, load
from langevax.sklearn.kernel_langevin.evidence import fit_numbers, fit_robust
from langevax.sklearn.kernel_langevin.laplace import fit_labels, label_slopes
from langevax.sklearn.kernel_langevin.length_scales import (
    KINDS,
    column_slopes,
    gram_and_derivative,
    normal_slopes,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = (
    np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] + 0.2 * RNG.normal(size=120)
)  # the third column does not matter
WEIGHTS = RNG.uniform(0.3, 2.0, 120)
SIGNS = np.where(Y > 0.2, 1.0, -1.0)
QUICK = {"num_samples": 50, "random_state": 0, "run": Run(progress=False)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("law", ["normal", "labels"])
def test_slopes_are_those_of_differences(law, kind):
    """In log amplitude, log noise and log length scales, with row weights."""
    inputs = X[:40]
    slopes = {
        "normal": normal_slopes(Y[:40], WEIGHTS[:40]),
        "labels": label_slopes([SIGNS[:40], -SIGNS[39::-1]], WEIGHTS[:40]),
    }[law]

    def at(place):
        gram, derivative = gram_and_derivative(kind, inputs, np.exp(place[2:]))
        c = np.exp(place[0])
        evidence = slopes(c * gram, np.exp(place[1]))
        columns = column_slopes(
            c * evidence.gram * derivative, inputs, np.exp(place[2:])
        )
        return evidence.cost, np.array(
            [c * np.sum(evidence.gram * gram), evidence.noise, *columns]
        )

    place = np.array([0.3, -1.0, 0.2, 0.5, 0.9])
    steps = 1e-4 * np.eye(5)
    differences = [(at(place + step)[0] - at(place - step)[0]) / 2e-4 for step in steps]
    np.testing.assert_allclose(at(place)[1], differences, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)  # a column without effect reaches its bound
def test_the_greatest_evidence_is_that_of_scikit_learn():
    fitted = fit_numbers("rbf", X, Y, np.ones(120), None, "each")
    shared = fit_numbers("rbf", X, Y, np.ones(120), None)
    kernel = ConstantKernel() * RBF(np.ones(3)) + WhiteKernel(0.1)
    process = GaussianProcessRegressor(
        kernel, n_restarts_optimizer=1, random_state=0
    ).fit(X, Y)
    value = -fitted.cost / 2 - 60 * np.log(2 * np.pi)
    assert value == pytest.approx(process.log_marginal_likelihood_value_, abs=1e-2)
    assert fitted.cost < shared.cost - 10
    lengths = fitted.kernel.k2.length_scale
    np.testing.assert_allclose(
        lengths[:2], process.kernel_.k1.k2.length_scale[:2], rtol=0.05
    )
    assert 100 < lengths[2] < 2e5  # long, not infinite


def test_labels_have_the_evidence_and_the_slopes_of_scikit_learn():
    fitted = fit_labels("rbf", X, (SIGNS > 0).astype(int), np.ones(120), "each")
    process = GaussianProcessClassifier(
        ConstantKernel(9.0) * RBF(np.ones(3)), optimizer=None
    ).fit(X, SIGNS)
    value, slope = process.log_marginal_likelihood(fitted.theta, eval_gradient=True)
    lengths = fitted.k2.length_scale
    gram, derivative = gram_and_derivative("rbf", X, lengths)
    c = fitted.k1.constant_value
    evidence = label_slopes([SIGNS], np.ones(120))(c * gram, 1.0)
    columns = column_slopes(c * evidence.gram * derivative, X, lengths)
    assert evidence.cost == pytest.approx(-2 * value, rel=1e-4)
    np.testing.assert_allclose(
        [c * np.sum(evidence.gram * gram), *columns], -2 * slope, atol=0.02
    )
    shared = fit_labels("rbf", X, (SIGNS > 0).astype(int), np.ones(120))
    assert value > process.log_marginal_likelihood(np.repeat(shared.theta, [1, 3])) + 2
    assert lengths[2] > 10 * lengths[0]


def test_outliers_do_not_choose_the_length_scales():
    targets = Y.copy()
    targets[::12] += 30 * X[::12, 2]
    fitted = fit_robust("rbf", X, targets, np.ones(120), None, "each")
    lengths = fitted.kernel.k2.length_scale
    assert lengths[2] > 10 * lengths[0]
    assert fitted.noise < 0.4


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    rows = rng.uniform(-1, 1, (800, 6))
    return rows, np.sin(5 * rows[:, 0]) + rows[:, 1] + 0.1 * rng.normal(size=800)


def test_columns_that_matter_unequally_are_fitted_better(table, tmp_path):
    rows, y = table
    shared, each = (
        KernelLangevinRegressor("rbf", length_scale=word, **QUICK).fit(
            rows[:200], y[:200]
        )
        for word in ("shared", "each")
    )
    errors = [1 - model.score(rows[200:], y[200:]) for model in (shared, each)]
    assert errors[1] < 0.03 < 2 * errors[1] + 0.03 < errors[0]
    lengths = each.kernel_.k2.length_scale
    assert lengths[0] < lengths[1] < lengths[2:].min()
    each.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.kernel_.k2.length_scale, lengths)
    np.testing.assert_allclose(loaded.predict(rows[:9]), each.predict(rows[:9]))


@pytest.mark.slow
def test_classes_have_a_length_scale_per_column_too(table):
    rows, y = table
    shared, each = (
        KernelLangevinClassifier("rbf", length_scale=word, **QUICK).fit(
            rows[:200], y[:200] > 0
        )
        for word in ("shared", "each")
    )
    assert (
        each.score(rows[200:], y[200:] > 0)
        > shared.score(rows[200:], y[200:] > 0) + 0.02
    )
    assert each.kernel_.k2.length_scale[0] < each.kernel_.k2.length_scale[2:].min()
