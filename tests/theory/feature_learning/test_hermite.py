"""Hermite coefficients and Gaussian moments against integrals in closed form, SciPy's quadrature, and tables."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf

from langevax.theory.feature_learning import (
    activation,
    hermite_coefficients,
    kernel_floor,
    tau_star,
)
from langevax.theory.feature_learning.activations import (
    gaussian_moments,
    moments_in_numpy,
)
from tests.sentences import refuses


def expectation(function, kinks=()):
    density = lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    pieces = itertools.pairwise([-12, *kinks, 12])
    return sum(
        quad(lambda z: function(z) * density(z), *piece, epsabs=1e-13)[0]
        for piece in pieces
    )


@pytest.mark.parametrize(
    ("name", "mean", "linear", "rest", "slope_square"),
    [
        (
            "erf",
            0,
            2 / np.sqrt(3 * np.pi),
            np.sqrt(2 / np.pi * np.arcsin(2 / 3) - 4 / (3 * np.pi)),
            4 / np.pi / 5**0.5,
        ),
        ("relu", 1 / np.sqrt(2 * np.pi), 0.5, np.sqrt(1 / 4 - 1 / (2 * np.pi)), 0.5),
        ("centred relu", 0, 0.5, np.sqrt(1 / 4 - 1 / (2 * np.pi)), 0.5),
        (
            "sin",
            0,
            np.exp(-0.5),
            np.sqrt((1 - np.exp(-2)) / 2 - np.exp(-1)),
            (1 + np.exp(-2)) / 2,
        ),
    ],
)
def test_coefficients_are_those_in_closed_form(name, mean, linear, rest, slope_square):
    coefficients = hermite_coefficients(name)
    np.testing.assert_allclose(
        coefficients,
        (mean, linear, rest, np.sqrt(slope_square - linear**2)),
        atol=2e-13,
    )


def test_coefficients_are_those_of_the_tables():
    np.testing.assert_allclose(
        hermite_coefficients("tanh")[:3], (0, 0.605706, 0.165576), atol=5e-7
    )
    np.testing.assert_allclose(
        hermite_coefficients("softplus")[:3], (0.806059, 0.5, 0.146678), atol=5e-7
    )


def test_a_function_with_kinks_is_integrated_between_them():
    """The moments of a hat, and no finite E s'^2 of the sign, which jumps."""
    expected = [
        expectation(lambda z: z**k * max(1 - abs(z), 0), (-1, 0, 1))  # noqa: B023
        for k in (0, 1)  # noqa: B023, RUF100
    ]
    hat = lambda t: jnp.maximum(1 - abs(t), 0)
    np.testing.assert_allclose(
        hermite_coefficients(hat, kinks=[1, 0, -1])[:2], expected, atol=1e-12
    )
    sign = hermite_coefficients(jnp.sign, kinks=[0])
    assert sign.linear == pytest.approx(np.sqrt(2 / np.pi), rel=1e-12)
    assert sign.slope_rest == np.inf


def test_centring_takes_the_mean_away_and_nothing_else():
    plain, centred = (
        hermite_coefficients(jnp.exp),
        hermite_coefficients(jnp.exp, centred=True),
    )
    assert plain.mean == pytest.approx(np.exp(0.5), rel=1e-12)
    np.testing.assert_allclose(centred, (0, *plain[1:]), atol=1e-11)
    assert activation("relu", centred=True) == activation("centred relu")


def test_kinks_that_are_not_declared_are_detected():
    with refuses(ValueError):
        hermite_coefficients(lambda t: jnp.maximum(t, 0))


def test_functions_that_are_not_activations_are_refused():
    with refuses(ValueError, "'gelo'"):
        hermite_coefficients("gelo")
    with refuses(TypeError, "3"):
        hermite_coefficients(3)
    with refuses(ValueError):
        hermite_coefficients(lambda t: t.sum())
    with refuses(TypeError):
        activation(np.tanh)


@pytest.mark.parametrize("name", ["erf", "centred relu"])
def test_moments_of_moved_activations_are_integrals(name):
    made, shift, scale = activation(name), np.array([0.3, -1.2]), np.array([0.7, 1.9])
    host = moments_in_numpy(made, shift, scale)
    with jax.enable_x64():
        traced = jax.jit(functools.partial(gaussian_moments, made))(
            jnp.asarray(shift), jnp.asarray(scale)
        )
    np.testing.assert_allclose(traced, host, atol=1e-14)
    s = {"erf": erf, "centred relu": lambda x: max(x, 0) - 1 / np.sqrt(2 * np.pi)}[name]
    for i in range(2):
        factors = (
            lambda z, v: v,
            lambda z, v: z * v,
            lambda z, v: v**2,
            lambda z, v: (z**2 - 1) / 2 * v,
        )
        at = -shift[i] / scale[i]
        expected = [
            expectation(lambda z: f(z, s(shift[i] + scale[i] * z)), (at,))  # noqa: B023
            for f in factors
        ]
        np.testing.assert_allclose([h[i] for h in host], expected, atol=1e-11)


def test_moments_follow_a_kink_that_moves():
    """d/da E relu(a + z) = P(a + z > 0), through nodes that move with a."""
    relu = activation("relu")
    with jax.enable_x64():
        slope = jax.jit(
            jax.grad(lambda a: gaussian_moments(relu, a, jnp.ones_like(a))[0])
        )(jnp.asarray(0.4))
    assert float(slope) == pytest.approx((1 + erf(0.4 / np.sqrt(2))) / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("student", "teacher", "slope", "tau", "floor"),
    [
        ("erf", "erf", np.sqrt(3), 0, 0.0401),
        ("tanh", "tanh", 1.588, 9.45e-5, 0.0274),
        ("erf", "tanh", 1.465, 1.46e-4, 0.0274),
    ],
)
def test_large_steps_reach_the_tabled_distance(student, teacher, slope, tau, floor):
    nearest = tau_star(student, teacher)
    assert nearest.tau == pytest.approx(tau, rel=4e-3, abs=1e-14)
    assert nearest.slope == pytest.approx(slope, abs=6e-4)
    assert kernel_floor(teacher) == pytest.approx(floor, abs=5e-5)


def test_large_steps_of_relu_reach_what_scipy_finds():
    """E relu(k u + v) = k u P(v < k u) + density(k u)."""
    from scipy.optimize import minimize_scalar
    from scipy.stats import norm

    def distance(k):
        smoothed = lambda u: k * u * norm.cdf(k * u) + norm.pdf(k * u)
        return expectation(lambda u: (max(u, 0) - smoothed(u)) ** 2, (0,))

    best = minimize_scalar(distance, bounds=(0.5, 2), method="bounded")
    nearest = tau_star("centred relu", "centred relu")
    assert (
        nearest.tau
        == pytest.approx(best.fun, rel=1e-9)
        == pytest.approx(0.0400557, abs=1e-7)
    )
    assert nearest.slope == pytest.approx(best.x, abs=1e-4)
