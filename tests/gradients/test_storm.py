"""STORM: what it is at its ends, and how it forgets; and that it and SLEDGE serve `anneal`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, gradients
from langevax.gradients import SLEDGE, STORM
from langevax.optimize import anneal
from tests.errorbars import assert_mean
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

N, D, B = 7, 2, 2
ROWS = np.random.default_rng(3).normal(size=(N, D))


def quartic(x, row):
    return jnp.sum((x - row) ** 4) / 4


def problem(size=N):
    rows = ROWS if size == N else np.random.default_rng(0).normal(size=(size, D))
    return FiniteSum(quartic, jnp.asarray(rows, jnp.float32))


def path(estimator, num_steps=12):
    langevin = langevax.Langevin(0.02, 0.01, estimator)
    options = {
        "key": jax.random.key(0),
        "num_steps": num_steps,
        "num_chains": 3,
        "record_every": 1,
    }
    return langevax.simulate(langevin, problem(), jnp.ones(D), **options)


@pytest.mark.slow
def test_storm_of_momentum_one_is_the_minibatch_gradient():
    plain = path(gradients.Minibatch(B)).positions
    np.testing.assert_allclose(path(STORM(B, 1.0)).positions, plain, rtol=0, atol=1e-6)
    assert path(STORM(B, 1.0)).evaluations == 3 * (B + 11 * 2 * B)


def test_storm_forgets_by_one_less_momentum_a_step():
    """From any v, over 20,000 keys: (1 - a) times what was wrong is left, and a of the noise of a batch."""
    here, before = np.array([0.5, -1.0]), np.array([0.3, -0.8])
    state = gradients.estimator.ReferenceState(
        jnp.float32(before), jnp.array([3.0, 7.0])
    )
    estimate = lambda key: STORM(B, 0.3).estimate(
        problem(), jnp.float32(here), state, key, jnp.int32(1)
    )[0]
    actual = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(1), 20_000))
    g, h = ((x - ROWS) ** 3 for x in (here, before))
    mean = g.mean(0) + 0.7 * (np.array([3.0, 7.0]) - h.mean(0))
    assert_mean(
        actual, mean, wrong=g.mean(0) + 0.3 * (np.array([3.0, 7.0]) - h.mean(0))
    )
    xi = (N - B) / (B * (N - 1))
    variance = (g - 0.7 * h).var(0)
    assert_mean((np.asarray(actual) - mean) ** 2, xi * variance, wrong=variance / B)


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [SLEDGE(64), STORM(64, 0.1)],
    ids=lambda e: type(e).__name__,
)
def test_they_serve_anneal(estimator):
    """A convex sum of 2048 rows in a box: the minimum is found and reached."""
    actual = anneal(
        problem(2048),
        jnp.ones(D),
        key=jax.random.key(0),
        bounds=[(-3, 3)] * D,
        num_chains=4,
        num_steps=200,
        gradient=estimator,
    )
    assert actual.success
    assert actual.fun == pytest.approx(minimum(), abs=1e-4)


def minimum():
    from scipy.optimize import minimize as scipy_minimize

    rows = np.random.default_rng(0).normal(size=(2048, D))
    return scipy_minimize(
        lambda x: np.mean(np.sum((x - rows) ** 4, axis=1)) / 4, np.zeros(D)
    ).fun


@pytest.mark.slow
def test_mistakes_are_named(unchecked_types):
    for make, options, facts in (
        (STORM, {"momentum": 2.0}, "momentum 1 2.0"),
        (STORM, {"momentum": np.nan}, "momentum"),
    ):
        with refuses(ValueError, facts):
            make(B, **options)
    with refuses(TypeError, "momentum"):
        STORM(B, lambda step: 0.1)
    with refuses(ValueError, "batch_size 8 7"):
        STORM(8, 0.1).init(problem(), jnp.zeros(D))
