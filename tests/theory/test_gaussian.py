"""The Gaussian closed forms against the recursion itself, quadrature and sampling-free identities."""

import numpy as np
import pytest

from langevax.theory.gaussian import stationary_variance
from tests.gaussian_laws import kl_gaussian_diagonal
from tests.sentences import refuses

INTEGRATORS = ("explicit", "semi_implicit", "exponential", "crank_nicolson")


def gains(integrator, h, p):
    """The gains (a, b, c) of x <- a x - b curvature x + c sqrt(temperature) xi, from the papers' schemes."""
    match integrator:
        case "explicit":
            return 1 - h * p, h, np.sqrt(2 * h)
        case "semi_implicit":
            return 1 / (1 + h * p), h / (1 + h * p), np.sqrt(2 * h) / (1 + h * p)
        case "exponential":
            return (
                np.exp(-h * p),
                (1 - np.exp(-h * p)) / p,
                np.sqrt((1 - np.exp(-2 * h * p)) / p),
            )
        case "crank_nicolson":
            return (
                (1 - h * p / 2) / (1 + h * p / 2),
                h / (1 + h * p / 2),
                np.sqrt(2 * h) / (1 + h * p / 2),
            )


def iterate_variance(integrator, h, p, q, temperature, num_steps):
    a, b, c = gains(integrator, h, p)
    variance = 0.0
    for _ in range(num_steps):
        variance = (a - b * q) ** 2 * variance + c**2 * temperature
    return variance


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize(
    ("h", "p", "q", "temperature"),
    [
        (0.3, 1.0, 0.5, 2.0),
        (0.3, 2.0, 3.0, 0.1),
        (0.05, 9.0, 1.0, 1.0),
        (0.2, 3.0, -1.0, 0.7),
        (0.4, 0.1, 4.5, 1.0),
    ],
)
def test_stationary_variance_is_where_the_recursion_settles(
    integrator, h, p, q, temperature
):
    settled = iterate_variance(integrator, h, p, q, temperature, num_steps=600)
    assert stationary_variance(integrator, h, p, q, temperature) == pytest.approx(
        settled, rel=1e-12
    )


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_stationary_variance_is_infinite_exactly_where_the_recursion_diverges(
    integrator,
):
    h, q = 0.7, np.array([0.5, 1.5, 2.5, 3.5, 5.5, 8.0])
    for p in (0.3, 1.0, 2.2, 6.0):
        a, b, _ = gains(integrator, h, p)
        diverges = np.abs(a - b * q) >= 1
        np.testing.assert_array_equal(
            np.isinf(stationary_variance(integrator, h, p, q, 1.0)), diverges
        )


def test_semi_implicit_settles_below_the_papers_step_bound_only():
    """Muzellec et al. (COLT 2022): step_size < 2 / (curvature - precision)."""
    p, q = 0.01, 1.0
    assert np.isfinite(stationary_variance("semi_implicit", 2.02, p, q, 1.0))
    assert np.isinf(stationary_variance("semi_implicit", 2.0203, p, q, 1.0))


@pytest.mark.parametrize("integrator", ["exponential", "crank_nicolson"])
def test_exact_for_the_prior(integrator):
    assert stationary_variance(
        integrator, 3.0, np.array([0.1, 1.0, 1e6]), 0.0, 1.0
    ) == pytest.approx([10, 1, 1e-6])


def test_semi_implicit_is_too_cold_in_high_modes():
    """They keep 2 / (step_size precision) of the target's variance."""
    h, p = 0.1, 1e8
    assert stationary_variance("semi_implicit", h, p, 0.0, 1.0) * p == pytest.approx(
        2 / (h * p), rel=1e-6
    )


@pytest.mark.parametrize("precision", [0.0, 1e-12])
def test_all_integrators_agree_without_precision(precision):
    variances = [
        stationary_variance(name, 0.3, precision, 2.0, 0.7) for name in INTEGRATORS
    ]
    np.testing.assert_allclose(variances, 0.35 / (1 - 0.3), rtol=1e-11)


def test_unknown_integrator_and_missing_law_are_named():
    with refuses(ValueError, "semi_implicit"):
        stationary_variance("euler", 0.1, 1.0, 1.0, 1.0)
    with refuses(ValueError, "0"):
        stationary_variance("explicit", 0.1, 1.0, -1.0, 1.0)


def test_kl_in_one_dimension_is_the_integral():
    x, step = np.linspace(-30, 30, 6001, retstep=True)

    def log_density(mean, variance):
        return -((x - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2

    p, q = log_density(0.3, 0.8), log_density(-1.0, 2.0)
    assert kl_gaussian_diagonal(0.3, 0.8, -1.0, 2.0) == pytest.approx(
        step * np.sum(np.exp(p) * (p - q)), rel=1e-12
    )


def test_stationary_kl_of_ula_is_of_second_order_in_the_step():
    """1/2 sum [r - 1 - log r], r = 1 / (1 - eta h / 2), which is sum (eta h)^2 / 16 to leading order."""
    curvatures, temperature = np.array([0.5, 1.0, 2.0, 3.0]), 0.3
    for step_size, tolerance in ((1e-2, 3e-2), (1e-3, 3e-3), (1e-4, 3e-4)):
        biased = stationary_variance(
            "explicit", step_size, 0.0, curvatures, temperature
        )
        kl = kl_gaussian_diagonal(0.0, biased, 0.0, temperature / curvatures)
        assert kl == pytest.approx(
            np.sum((step_size * curvatures) ** 2) / 16, rel=tolerance
        )
