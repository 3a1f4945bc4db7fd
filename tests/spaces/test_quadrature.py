"""From curves to coefficients: the order of the quadrature, and regression against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad_vec, trapezoid
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from langevax import spaces
from langevax.spaces import spectra
from tests.sentences import refuses
from tests.spaces.cases import CASES

RNG = np.random.default_rng(5)


def irregular(n):
    """Gaps of 0.4 to 1.6 times their mean, wide and narrow by turns; an even n repeats them at its own scale."""
    t = (np.arange(n) + 0.5) / n
    return (
        t
        + 0.5 * np.sin(2 * np.pi * t) / (2 * np.pi)
        + (0.05 / n) * (-1) ** np.arange(n)
    )


def test_weights_are_those_of_the_trapezoidal_rule():
    grid, values = np.sort(RNG.uniform(-2, 5, 20)), RNG.normal(size=20)
    weights = spaces.trapezoid_weights(grid)
    assert weights.sum() == pytest.approx(1)
    assert weights @ values == pytest.approx(
        trapezoid(values, grid) / (grid[-1] - grid[0])
    )


def test_towards_the_ends_of_a_domain_values_are_constant():
    np.testing.assert_allclose(
        spaces.trapezoid_weights([1.0, 2.0], domain=(0.0, 4.0)), [1.5 / 4, 2.5 / 4]
    )
    np.testing.assert_allclose(
        spaces.trapezoid_weights([1.0], domain=(0.0, 4.0)), [1.0]
    )


def test_over_a_period_the_ends_meet():
    weights = spaces.trapezoid_weights(
        [0.0, 0.5, 3.0], domain=(0.0, 4.0), periodic=True
    )
    np.testing.assert_allclose(weights, [1.5 / 8, 3.0 / 8, 3.5 / 8])
    np.testing.assert_allclose(
        spaces.trapezoid_weights(np.arange(4) / 4, (0.0, 1.0), periodic=True), 1 / 4
    )


@pytest.mark.parametrize("kind", [spaces.Cosine, spaces.Fourier])
def test_the_error_is_of_second_order(kind):
    """Each doubling of the points divides it by four, give or take a third."""
    basis = kind(4)

    def smooth(t):
        return np.exp(np.sin(2 * np.pi * t)) + (0 if kind is spaces.Fourier else t**2)

    with jax.enable_x64():
        exact = quad_vec(
            lambda t: smooth(t) * np.asarray(basis.evaluate(np.array([t])))[0], 0, 1
        )[0]
        errors = [
            np.abs(
                spaces.project(basis, irregular(n), jnp.asarray(smooth(irregular(n))))
                - exact
            ).max()
            for n in (50, 100, 200, 400)
        ]
    assert errors[-1] < 1e-4
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert rates.min() > 1.6


def test_projection_takes_points_in_any_order_and_batches():
    basis, t = spaces.Cosine(3), irregular(30)
    values = jnp.asarray(RNG.normal(size=(2, 4, 30)), jnp.float32)
    shuffled = RNG.permutation(30)
    coefficients = spaces.project(basis, t, values)
    assert coefficients.shape == (2, 4, 3)
    np.testing.assert_allclose(
        spaces.project(basis, t[shuffled], values[..., shuffled]),
        coefficients,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        spaces.project(basis, t, values[1, 2]), coefficients[1, 2], atol=1e-6
    )
    np.testing.assert_allclose(
        jax.jit(lambda v: spaces.project(basis, t, v))(values), coefficients, atol=1e-6
    )


@pytest.mark.parametrize("name", ["cosine", "fourier", "components"])
def test_on_the_grid_of_a_basis_projection_is_analysis(name):
    basis = CASES[name].basis
    values = jnp.asarray(RNG.normal(size=len(basis.grid)), jnp.float32)
    np.testing.assert_allclose(
        spaces.project(basis, basis.grid, values), basis.analyze(values), atol=1e-5
    )


def test_points_of_several_variables_come_with_weights():
    basis, _, points = CASES["kernel"]
    values = jnp.ones(30)
    with refuses(ValueError, "weights"):
        spaces.project(basis, points, jnp.ones(13))
    coefficients = spaces.project(basis, basis.points, values, weights=basis.weights)
    np.testing.assert_allclose(coefficients, basis.analyze(values), atol=1e-5)


def test_regression_with_all_modes_is_the_gaussian_process_of_scikit_learn():
    t, y, new = (
        np.sort(RNG.uniform(size=(25, 1)), axis=0),
        RNG.normal(size=25),
        RNG.uniform(size=(9, 1)),
    )
    kernel = Matern(length_scale=0.2, nu=1.5)
    theirs = GaussianProcessRegressor(kernel, alpha=0.1**2, optimizer=None).fit(t, y)
    with jax.enable_x64():
        basis = spaces.KernelEigenbasis(kernel, t)
        assert basis.num_modes == 25
        x = spaces.regress(
            spaces.GaussianPrior(basis, basis.eigenvalues), t, y, noise=0.1
        )
        np.testing.assert_allclose(basis.at(x, new), theirs.predict(new), atol=1e-8)


@pytest.mark.parametrize("num_points", [5, 40])
def test_both_systems_give_the_mean_of_the_posterior(num_points):
    """Fewer and more points than the 12 modes, each with its own noise, in batches."""
    basis = spaces.Cosine(12)
    prior = spaces.GaussianPrior(basis, spectra.matern(basis))
    t, noise, values = (
        RNG.uniform(size=num_points),
        RNG.uniform(0.1, 1, num_points),
        RNG.normal(size=(2, 3, num_points)),
    )
    with jax.enable_x64():
        rows = np.asarray(basis.evaluate(t))
    mu = np.asarray(prior.eigenvalues, np.float64)
    gain = np.linalg.solve(
        rows.T @ (rows / noise[:, None] ** 2) + np.diag(1 / mu),
        (rows / noise[:, None] ** 2).T,
    )
    mean = spaces.regress(prior, t, values, noise)
    assert (mean.shape, mean.dtype) == ((2, 3, 12), jnp.float32)
    np.testing.assert_allclose(mean, values @ gain.T, atol=1e-5)


def test_regression_finds_a_curve_where_quadrature_is_lost():
    """Eight irregular points of a smooth curve, 32 modes."""
    basis = spaces.Cosine(32)
    prior = spaces.GaussianPrior(
        basis, spectra.matern(basis, smoothness=2.5, length_scale=0.5)
    )
    t, everywhere = (
        np.array([0.02, 0.1, 0.3, 0.35, 0.6, 0.62, 0.8, 0.97]),
        np.linspace(0, 1, 50),
    )

    def error(coefficients):
        return float(
            np.abs(basis.at(coefficients, everywhere) - np.sin(4 * everywhere)).max()
        )

    assert error(spaces.regress(prior, t, np.sin(4 * t), noise=1e-3)) < 0.1
    assert (
        error(spaces.project(basis, t, jnp.asarray(np.sin(4 * t), jnp.float32))) > 0.5
    )


@pytest.mark.parametrize(
    ("call", "facts"),
    [
        (
            lambda: spaces.trapezoid_weights([0.0, 2.0, 1.0]),
            "grid",
        ),
        (lambda: spaces.trapezoid_weights([0.0, np.nan]), "grid"),
        (lambda: spaces.trapezoid_weights([1.0]), "domain"),
        (
            lambda: spaces.trapezoid_weights([0.0, 2.0], (0.0, 1.0)),
            "grid",
        ),
        (
            lambda: spaces.trapezoid_weights([0.0, 2.0], periodic=True),
            "domain",
        ),
        (
            lambda: spaces.project(spaces.Cosine(3), np.ones(4), jnp.ones(5)),
            "values 4",
        ),
        (
            lambda: spaces.project(
                spaces.Cosine(3), np.ones(4), jnp.ones(4), np.ones(3)
            ),
            "weights (4,)",
        ),
    ],
)
def test_bad_arguments_are_named(call, facts):
    with refuses(ValueError, facts):
        call()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"noise": 0.0}, "noise 0"),
        ({"noise": np.ones(3)}, "noise (4,)"),
        ({"values": np.ones(5)}, "values 4"),
        ({"values": np.array([1.0, np.nan, 0.0, 0.0])}, "values[1] nan"),
    ],
)
def test_bad_arguments_of_a_regression_are_named(arguments, facts):
    prior = spaces.GaussianPrior(spaces.Cosine(3), np.ones(3))
    with refuses(ValueError, facts):
        spaces.regress(
            prior,
            **{
                "points": np.linspace(0, 1, 4),
                "values": np.ones(4),
                "noise": 0.1,
                **arguments,
            },
        )
