"""The gains of the four integrators: their formulas, their limits, and the chains they drive."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import integrators
from langevax.theory.gaussian import stationary_variance
from tests.errorbars import assert_mean

INTEGRATORS = {
    "explicit": integrators.Explicit(),
    "semi_implicit": integrators.SemiImplicit(),
    "exponential": integrators.Exponential(),
    "crank_nicolson": integrators.CrankNicolson(),
}
IMPLICIT = [name for name in INTEGRATORS if name != "explicit"]


@pytest.mark.parametrize("name", INTEGRATORS)
def test_without_precision_all_agree(name):
    gains = INTEGRATORS[name].gains(jnp.float32(0.3), jnp.zeros(3, jnp.float32))
    for gain, expected in zip(gains, (1.0, 0.3, 0.6**0.5), strict=True):
        assert gain.dtype == jnp.float32
        np.testing.assert_allclose(
            np.broadcast_to(gain, 3), np.float32(expected), rtol=2e-7
        )


@pytest.mark.parametrize("name", INTEGRATORS)
def test_gains_of_a_small_precision_keep_their_digits(name):
    """h p = 1e-13, far below the rounding of 1 in float32."""
    a, b, c = INTEGRATORS[name].gains(jnp.float32(0.1), jnp.float32(1e-12))
    np.testing.assert_allclose([a, b, c], [1, 0.1, 0.2**0.5], rtol=3e-7)


@pytest.mark.parametrize("precision", [1e30, 3e38, np.inf])
@pytest.mark.parametrize("name", IMPLICIT)
def test_a_huge_precision_pins_the_position_to_zero(name, precision):
    """As p grows b and c vanish; a tends to 0, or to -1 for Crank-Nicolson."""
    a, b, c = INTEGRATORS[name].gains(jnp.float32(0.5), jnp.float32(precision))
    assert (float(a), float(b)) == (
        pytest.approx(-1.0 if name == "crank_nicolson" else 0.0),
        pytest.approx(0.0),
    )
    assert 0 <= float(c) < 1e-14


@pytest.mark.parametrize("precision", [1e30, 3e38, np.inf])
def test_the_explicit_step_on_a_huge_precision_overflows_but_is_not_nan(precision):
    gains = INTEGRATORS["explicit"].gains(jnp.float32(0.5), jnp.float32(precision))
    assert not np.isnan(gains).any()
    assert gains.a < -1e29


@pytest.mark.parametrize("name", INTEGRATORS)
def test_gains_are_consistent_with_the_minimum(name):
    """1 - a = b p, so that the fixed point of every integrator is that of the potential."""
    with jax.enable_x64():
        h, p = jnp.asarray([[0.01], [0.4], [3.0]]), jnp.asarray([0.1, 1.0, 50.0])
        a, b, _ = INTEGRATORS[name].gains(h, p)
        np.testing.assert_allclose(1 - a, b * p, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", INTEGRATORS)
def test_stationary_variance_of_the_gains_is_the_closed_form(name):
    """The chain x <- (a - b q) x + c sqrt(T) xi settles at T c^2 / (1 - (a - b q)^2)."""
    with jax.enable_x64():
        h, p, q = (
            jnp.asarray([[[0.02]], [[0.3]]]),
            jnp.asarray([[0.2], [2.5]]),
            jnp.asarray([0.0, 1.0, -0.1, 3.0]),
        )
        a, b, c = INTEGRATORS[name].gains(h, p)
        settled = 0.7 * c**2 / (1 - (a - b * q) ** 2)
        expected = stationary_variance(
            name, np.asarray(h), np.asarray(p), np.asarray(q), 0.7
        )
        np.testing.assert_allclose(settled, expected, rtol=1e-12)


def test_exponential_steps_compose():
    """A step of h and then of k is a step of h + k: of the mean under a constant gradient, and of the variance."""
    with jax.enable_x64():
        p = jnp.asarray([0.0, 0.3, 2.0, 40.0])
        (a1, b1, c1), (a2, b2, c2), (a, b, c) = (
            integrators.Exponential().gains(h, p) for h in (0.2, 0.7, 0.9)
        )
        np.testing.assert_allclose(a2 * a1, a, rtol=1e-13)
        np.testing.assert_allclose(a2 * b1 + b2, b, rtol=1e-13)
        np.testing.assert_allclose((a2 * c1) ** 2 + c2**2, c**2, rtol=1e-13)


@pytest.mark.parametrize("name", ["explicit", "semi_implicit", "crank_nicolson"])
def test_the_other_integrators_do_not_compose(name):
    """A midpoint step twice is not a midpoint step: what the test above tells apart."""
    (a1, *_), (a2, *_), (a, *_) = (
        INTEGRATORS[name].gains(h, 2.0) for h in (0.2, 0.7, 0.9)
    )
    assert abs(a2 * a1 - a) > 0.01


PRECISION = {"a": 2.0, "b": np.array([0.5, 1.0, 5.0])}
CURVATURE = {"a": np.array([0.5, 2.5]), "b": np.array([0.0, 1.5, 0.3])}
CENTER = {"a": np.array([1.0, -1.0]), "b": np.array([2.0, 0.5, -1.0])}
STEP_SIZE, TEMPERATURE, CHAINS = 0.3, 0.6, 20_000


def springs(position, row):
    """1/2 curvature (x - center)^2, summed over a position that is a dictionary."""
    forces = jax.tree.map(lambda x, q, c: jnp.sum(q * (x - c) ** 2) / 2, position, *row)
    return jax.tree.reduce(jnp.add, forces)


@pytest.mark.slow
@pytest.mark.parametrize("name", INTEGRATORS)
def test_chains_settle_at_the_closed_form_for_a_prefix_precision(name):
    """20,000 chains, a dictionary as position, one scalar and one array as its precision: z-scores below 4.5.

    The integrator treats the precision p, the gradient the curvature q. All have mean q center / (p + q); their
    variance is the closed form and, by 10 standard errors, not the target's T / (p + q).
    """
    rows = jax.tree.map(
        lambda v: jnp.asarray(np.stack([0.5 * v, 1.5 * v]), jnp.float32), CURVATURE
    )
    centers = jax.tree.map(lambda v: jnp.asarray(np.stack([v, v]), jnp.float32), CENTER)
    problem = langevax.FiniteSum(springs, (rows, centers), precision=PRECISION)
    mean = jax.tree.map(
        lambda p, q, c: q * c / (p + q),
        {"a": np.full(2, 2.0), "b": PRECISION["b"]},
        CURVATURE,
        CENTER,
    )
    result = langevax.simulate(
        langevax.Langevin(STEP_SIZE, TEMPERATURE, integrator=INTEGRATORS[name]),
        problem,
        jax.tree.map(lambda m: jnp.asarray(m, jnp.float32), mean),
        key=jax.random.key(1),
        num_steps=60,
        num_chains=CHAINS,
    )
    x, center = (
        np.concatenate([tree["a"], tree["b"]], axis=-1)
        for tree in (result.position, mean)
    )
    p, q = (
        np.array([2.0, 2.0, *PRECISION["b"]]),
        np.concatenate([CURVATURE["a"], CURVATURE["b"]]),
    )
    closed_form = stationary_variance(name, STEP_SIZE, p, q, TEMPERATURE)
    assert_mean(x, center)
    assert_mean((x - center) ** 2, closed_form, wrong=TEMPERATURE / (p + q))
    assert np.abs(np.corrcoef(x.T) - np.eye(5)).max() < 4.5 / CHAINS**0.5


def test_one_step_of_a_prefix_precision_is_the_gains_of_each_leaf():
    """A scalar covers the whole leaf `a`, an array goes with the entries of leaf `b`."""
    problem = langevax.FiniteSum(
        lambda x, row: 0.0 * row, jnp.ones(1), precision=PRECISION
    )
    start = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray([1.0, 2.0, 3.0])}
    langevin = langevax.Langevin(0.5, 0.0, integrator=integrators.SemiImplicit())
    state, _ = langevin.init(problem, start, jax.random.key(0))
    state, _ = langevin.step(problem, state, jax.random.key(0), jnp.int32(0))
    np.testing.assert_allclose(state.position["a"], [1 / 2, -2 / 2], rtol=1e-6)
    np.testing.assert_allclose(
        state.position["b"], [1 / 1.25, 2 / 1.5, 3 / 3.5], rtol=1e-6
    )
