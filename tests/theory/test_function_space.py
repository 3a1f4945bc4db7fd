"""Laws of chains mode by mode, against the recursion itself, quadrature, and the numbers of the digest."""

import numpy as np
import pytest

import function_space_laws as theory
from langevax.theory.gaussian import stationary_variance
from tests.sentences import refuses

INTEGRATORS = ("explicit", "semi_implicit", "exponential", "crank_nicolson")


def gains(integrator, h, p):
    """(a, b, c), from the papers' schemes."""
    match integrator:
        case "explicit":
            return 1 - h * p, h + 0 * p, np.sqrt(2 * h) + 0 * p
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


def precisions(num_modes, ridge=0.01, decay=2.0):
    return ridge * np.arange(1.0, num_modes + 1) ** decay


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_gains_are_those_of_the_schemes(integrator):
    p = np.array([0.3, 2.0, 50.0])
    a, b, c = gains(integrator, 0.2, p)
    ours = theory.linear_gains(integrator, 0.2, p)
    np.testing.assert_allclose(ours, (b, c**2), rtol=1e-14)
    np.testing.assert_allclose(1 - ours[0] * p, a, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_gains_are_those_of_the_library(integrator):
    import jax

    from langevax import integrators

    names = {
        "explicit": "Explicit",
        "semi_implicit": "SemiImplicit",
        "crank_nicolson": "CrankNicolson",
    }
    library = getattr(integrators, names.get(integrator, "Exponential"))()
    p = np.array([0.0, 0.3, 2.0, 50.0])
    with jax.enable_x64(True):
        _, b, c = (
            np.broadcast_to(np.asarray(gain), p.shape) for gain in library.gains(0.2, p)
        )
    np.testing.assert_allclose(
        theory.linear_gains(integrator, 0.2, p), (b, c**2), rtol=1e-12
    )


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("q", [-0.2, 0.0, 0.7, 3.0, 40.0])
def test_the_limit_is_where_a_multiplier_leaves_the_unit_interval(integrator, q):
    p = np.array([0.25, 1.0, 9.0])
    limit = theory.stability_limit(integrator, p, q)

    def stable(h):
        a, b, _ = gains(integrator, h, p)
        return bool((np.abs(a - b * q) < 1).all())

    if np.isinf(limit):
        assert all(stable(h) for h in (0.1, 1.0, 10.0))
    else:
        assert stable(limit * (1 - 1e-9))
        assert not stable(limit * (1 + 1e-9))


def test_the_digests_limits():
    """lambda = 0.01, mu_k = (k + 1)^-2, curvature 1: explicit Euler is held back by N, the other is not."""
    limits = [
        theory.stability_limit("explicit", precisions(n), 1.0)
        for n in (8, 64, 512, 4096)
    ]
    np.testing.assert_allclose(limits, [1.2, 4.8e-2, 7.6e-4, 1.2e-5], rtol=0.02)
    for n in (8, 64, 512, 4096):
        assert theory.stability_limit(
            "semi_implicit", precisions(n), 1.0
        ) == pytest.approx(2.02, abs=0.001)
        assert theory.stability_limit("crank_nicolson", precisions(n), 1.0) == 2.0


def test_limits_meet_where_nothing_is_penalised():
    assert {theory.stability_limit(i, 0.0, 4.0) for i in INTEGRATORS} == {0.5}


def test_a_mode_without_a_law_is_refused():
    with refuses(ValueError):
        theory.stability_limit("explicit", 1.0, -1.0)
    with refuses(ValueError, "integrator 'leapfrog'"):
        theory.stability_limit("leapfrog", 1.0, 1.0)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("h", [0.01, 0.3, 0.9])  # explicit diverges in the last modes
def test_moments_are_those_of_the_recursion(integrator, h):
    p, q, temperature = (
        np.array([0.2, 1.0, 3.0, 3.0]),
        np.array([0.1, 0.5, 0.0, 3.0]),
        0.7,
    )
    a, b, c = gains(integrator, h, p)
    mean, variance = np.full(4, 2.0), np.full(4, 0.4)
    steps = np.array([0, 1, 2, 7, 50])
    exact_mean, exact_variance = theory.mode_moments(
        integrator, h, p, q, temperature, steps, 2.0, 0.4
    )
    assert exact_mean.shape == exact_variance.shape == (5, 4)
    for n in range(51):
        if n in steps:
            np.testing.assert_allclose(
                exact_mean[steps == n][0], mean, rtol=1e-11, atol=1e-14
            )
            np.testing.assert_allclose(
                exact_variance[steps == n][0], variance, rtol=1e-11
            )
        mean, variance = (
            (a - b * q) * mean,
            (a - b * q) ** 2 * variance + c**2 * temperature,
        )


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_moments_settle_at_the_stationary_variance(integrator):
    p = precisions(10**5)
    h = 0.9 * min(theory.stability_limit(integrator, p, 0.5), 1.0)
    mean, variance = theory.mode_moments(
        integrator, h, p, 0.5, 0.3, 10**13, start_mean=1.0, start_variance=2.0
    )
    np.testing.assert_allclose(
        variance, stationary_variance(integrator, h, p, 0.5, 0.3), rtol=1e-9
    )
    assert np.abs(mean).max() < 1e-12


def test_a_billion_small_steps_lose_no_digits():
    """They are the Ornstein-Uhlenbeck flow over the time of 1."""
    mean, variance = theory.mode_moments(
        "explicit", 1e-9, 1.0, 1.0, 0.5, 10**9, start_mean=1.0
    )
    assert mean == pytest.approx(np.exp(-2), rel=1e-8)
    assert variance == pytest.approx(0.25 * (1 - np.exp(-4)), rel=1e-8)


def test_a_chain_beyond_its_limit_grows():
    assert theory.mode_moments("explicit", 2.1, 0.0, 1.0, 1.0, 10**6)[1] == np.inf
    assert (
        theory.mode_moments("explicit", 2.0, 0.0, 1.0, 1.0, 7)[1] == 28.0
    )  # r = -1: noise adds up


def test_wasserstein_is_that_of_gaussian_matrices():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    (m0, m1), (v0, v1) = rng.normal(size=(2, 4)), rng.uniform(0.1, 2.0, size=(2, 4))
    c0, c1 = np.diag(v0), np.diag(v1)
    cross = sqrtm(sqrtm(c1) @ c0 @ sqrtm(c1)).real
    expected = np.sqrt(((m0 - m1) ** 2).sum() + np.trace(c0 + c1 - 2 * cross))
    assert theory.wasserstein(m0, v0, m1, v1) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(
        theory.wasserstein(np.stack([m0, m1]), v0, m1, v0), [np.linalg.norm(m0 - m1), 0]
    )


def test_w2_converges_in_the_number_of_modes_where_kl_does_not():
    """The digest's numbers: step 0.05, lambda = 1, curvature 2, N = 10, 100, 10^3, 10^4."""
    from tests.gaussian_laws import kl_gaussian_diagonal

    distances, divergences = [], []
    for n in (10, 100, 1000, 10**4):
        p = precisions(n, ridge=1.0)
        settled = stationary_variance("semi_implicit", 0.05, p, 2.0, 1.0)
        distances.append(theory.wasserstein(0.0, settled, 0.0, 1 / (p + 2)))
        divergences.append(kl_gaussian_diagonal(0.0, settled, 0.0, 1 / (p + 2)))
    np.testing.assert_allclose(distances, [0.116, 0.236, 0.253, 0.255], atol=5e-4)
    np.testing.assert_allclose(divergences, [0.9, 142, 3.6e3, 5.9e4], rtol=0.02)


@pytest.mark.parametrize(
    ("integrator", "h"),
    [("explicit", 0.02), ("semi_implicit", 0.02), ("exponential", 0.02)],
)
def test_steps_to_a_distance_are_the_first_ones(integrator, h):
    p, q, temperature, start = (
        precisions(40),
        1 / np.arange(1.0, 41) ** 2,
        0.01,
        1 / np.arange(1.0, 41),
    )
    steps = theory.steps_to_wasserstein(
        integrator, h, p, q, temperature, 0.15, start_mean=start
    )
    counts = np.arange(int(steps) + 1)
    mean, variance = theory.mode_moments(
        integrator, h, p, q, temperature, counts, start
    )
    distances = theory.wasserstein(mean, variance, 0.0, temperature / (p + q))
    assert steps == np.argmax(distances <= 0.15) > 10


def test_a_distance_below_the_bias_is_never_reached():
    assert (
        theory.steps_to_wasserstein(
            "semi_implicit", 1.0, precisions(100), 0.0, 0.01, 1e-3
        )
        == np.inf
    )
    assert (
        theory.steps_to_wasserstein("explicit", 5.0, precisions(100), 1.0, 0.01, 1e-3)
        == np.inf
    )


@pytest.mark.parametrize(("decay", "digest"), [(2, 0.498), (3, 0.659), (5, 0.782)])
def test_the_order_in_the_step_depends_on_the_spectrum(decay, digest):
    p = precisions(10**6, ridge=1.0, decay=decay)
    h = 10.0 ** -np.arange(4, 9)
    bias = np.array(
        [-theory.trace_bias("semi_implicit", step_size, p, 0.0, 1.0) for step_size in h]
    )
    slopes = np.log10(bias[:-1] / bias[1:])
    assert slopes[-1] == pytest.approx(theory.weak_order(decay), abs=0.01)
    assert slopes[0] == pytest.approx(digest, abs=0.01)


def test_the_exponential_scheme_is_of_order_one():
    """Exact without a loss; with one, linear in the step."""
    p = precisions(10**5, ridge=1.0)
    assert theory.trace_bias("exponential", 0.01, p, 0.0, 1.0) == pytest.approx(
        0, abs=1e-14
    )
    bias = [theory.trace_bias("exponential", h, p, 1.0, 1.0) for h in (1e-2, 1e-3)]
    assert np.log10(bias[0] / bias[1]) == pytest.approx(1, abs=0.05)


def test_the_tail_of_a_cut_off():
    mu = np.arange(1.0, 10**6 + 1) ** -2
    tails = [theory.galerkin_tail(mu, n, 0.5, 0.2, curvature=3.0) for n in (100, 200)]
    assert np.log2(tails[0] / tails[1]) == pytest.approx(1, abs=0.01)
    everything = 0.2 * np.sum(1 / (0.5 / mu + 3.0))
    assert theory.galerkin_tail(mu, 0, 0.5, 0.2, curvature=3.0) == pytest.approx(
        everything
    )


def test_a_spectrum_without_a_finite_sum_is_refused():
    with refuses(ValueError, "decay 1"):
        theory.weak_order(1.0)
