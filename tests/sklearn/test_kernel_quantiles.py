"""Quantiles as functions: the posterior by quadrature, coverage of the level, and what is refused."""

import numpy as np
import pytest
import scipy.stats
from langevax.likelihoods import Quantile
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.gaussian_process.kernels import ConstantKernel
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_pinball_loss

from langevax import likelihoods
from langevax.sklearn import KernelLangevinRegressor, load
from langevax.sklearn.kernel_langevin.laplace import fit_quantile

LEVEL = 0.9
QUICK = {"num_samples": 100, "random_state": 0, "progress": False}


def spread(n, seed):
    """Rows, targets whose deviation but not whose mean depends on the first column, and their 90 % quantile."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    deviation = 0.3 * np.exp(1.5 * np.sin(3 * X[:, 0]))
    return (
        X,
        5 + deviation * rng.normal(size=n),
        5 + deviation * scipy.stats.norm.ppf(LEVEL),
    )


@pytest.fixture(scope="module")
def fitted():
    X, y, _ = spread(400, 0)
    return KernelLangevinRegressor("rbf", loss=Quantile(1.0, LEVEL), **QUICK).fit(X, y)


def test_the_posterior_of_a_constant_is_that_of_quadrature():
    """With row weights; twice the noise would move the mean by three deviations."""
    rng = np.random.default_rng(3)
    X, y, weights = (
        rng.normal(size=(40, 1)),
        rng.exponential(size=40),
        rng.integers(1, 4, 40).astype(float),
    )
    loss = likelihoods.Quantile(1.0, 0.8, width=0.3)
    settings = QUICK | {"num_samples": 1000, "normalize_y": False, "noise": 0.4}
    model = KernelLangevinRegressor(ConstantKernel(2.0), loss=loss, **settings).fit(
        X, y, weights
    )
    grid = np.linspace(-2, 6, 8001)
    r = (grid - y[:, None]) / 0.4
    logs = -weights @ (0.3 * np.logaddexp(0, r / 0.3) - 0.8 * r) - grid**2 / 4
    density = np.exp(logs - logs.max())
    density /= density.sum()
    mean = density @ grid
    deviation = np.sqrt(density @ (grid - mean) ** 2)
    drawn_mean, drawn_deviation = model.predict(X[:1], return_std=True)
    effective = float(model.summary()["ess_bulk"][0])
    assert abs(drawn_mean[0] - mean) < 5 * deviation / np.sqrt(effective)
    assert drawn_deviation[0] == pytest.approx(deviation, rel=5 / np.sqrt(effective))


def test_held_out_observations_lie_below_as_often_as_the_level_says(fitted):
    X, y, truth = spread(4000, 1)
    predicted = fitted.predict(X)
    assert 0.85 < np.mean(y < predicted) < 0.95
    loss = mean_pinball_loss(y, predicted, alpha=LEVEL)
    train, targets, _ = spread(400, 0)
    boosting = GradientBoostingRegressor(
        loss="quantile", alpha=LEVEL, random_state=0
    ).fit(train, targets)
    linear = QuantileRegressor(quantile=LEVEL, alpha=0).fit(train, targets)
    assert loss < 1.1 * mean_pinball_loss(y, truth, alpha=LEVEL)
    assert loss < mean_pinball_loss(y, boosting.predict(X), alpha=LEVEL)
    assert loss < 0.9 * mean_pinball_loss(y, linear.predict(X), alpha=LEVEL)


def test_a_quantile_has_bands_but_no_noise(fitted, tmp_path):
    X, _, truth = spread(500, 2)
    low, high = fitted.interval(X).T
    assert (
        0.6 < np.mean((low < truth) & (truth < high)) < 0.99
    )  # a working likelihood: not calibrated
    with pytest.raises(
        ValueError, match=r"noise=True asks for new observations, .* fit two quantiles"
    ):
        fitted.interval(X, noise=True)
    fitted.save(tmp_path / "model")
    np.testing.assert_allclose(load(tmp_path / "model").interval(X), fitted.interval(X))


def test_units_of_the_targets_do_not_choose_the_kernel():
    X, y, _ = spread(150, 0)
    unit, milli = (
        fit_quantile("rbf", X, scale * (y - 5), np.ones(150), None, LEVEL)
        for scale in (1.0, 1e-3)
    )
    assert milli.noise == pytest.approx(1e-3 * unit.noise, rel=1e-2)
    assert milli.centre == pytest.approx(1e-3 * unit.centre, rel=1e-2)
    assert milli.kernel.k2.length_scale == pytest.approx(
        unit.kernel.k2.length_scale, rel=1e-2
    )


def test_a_column_that_does_not_matter_to_the_quantile_has_a_long_scale():
    X, y, _ = spread(300, 0)
    best = fit_quantile("rbf", X, y - 5, np.ones(300), None, LEVEL, "each")
    assert best.kernel.k2.length_scale[1] > 5 * best.kernel.k2.length_scale[0]
