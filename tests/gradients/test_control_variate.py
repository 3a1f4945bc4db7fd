"""The fixed control variate: unbiased with its exact variance, SVRG whose anchor stays, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np

import langevax
from langevax import FiniteSum, gradients
from langevax.theory.moments import batch_variance_factor
from tests.errorbars import assert_mean
from tests.sentences import refuses

N, D, B = 6, 2, 2
ROWS = np.random.default_rng(3).normal(size=(N, D))


def quartic(x, row):
    return jnp.sum((x - row) ** 4) / 4


def problem():
    return FiniteSum(quartic, jnp.asarray(ROWS, jnp.float32))


def test_it_is_unbiased_with_the_variance_of_changes_since_the_center():
    here, center = np.array([0.5, -1.0]), np.array([1.0, -0.3])
    estimator = gradients.ControlVariate(B, jnp.float32(center))
    state, used = estimator.init(problem(), jnp.float32(here))
    assert used == N
    keys = jax.random.split(jax.random.key(1), 20_000)
    one = lambda key: estimator.estimate(
        problem(), jnp.float32(here), state, key, jnp.int32(1)
    )[::2]
    estimates, used = jax.jit(jax.vmap(one))(keys)
    changes, mean = (
        (here - ROWS) ** 3 - (center - ROWS) ** 3,
        ((here - ROWS) ** 3).mean(0),
    )
    xi, other = (batch_variance_factor(N, B, replace=r) for r in (False, True))
    assert_mean(estimates, mean)
    assert_mean(
        (np.asarray(estimates) - mean) ** 2,
        xi * changes.var(0),
        wrong=other * changes.var(0),
    )
    assert np.unique(used) == 2 * B


def test_without_a_center_it_is_svrg_that_never_refreshes():
    """Bit for bit, each of three chains with its own start; n evaluations at the start, 2B a step."""
    steps, start = 9, lambda key: jax.random.normal(key, (D,))
    runs = [
        langevax.simulate(
            langevax.Langevin(0.01, 0.1, estimator),
            problem(),
            start,
            key=jax.random.key(0),
            num_steps=steps,
            num_chains=3,
        )
        for estimator in (gradients.ControlVariate(B), gradients.SVRG(B, steps + 1))
    ]
    np.testing.assert_array_equal(runs[0].position, runs[1].position)
    assert runs[0].evaluations == 3 * (
        N + 2 * B * steps
    )  # SVRG takes its anchor's gradient for its first step


def test_a_center_is_used_whatever_the_start():
    """At the center the estimate is exact, whatever the batch."""
    center = jnp.array([1.0, -0.3])
    estimator = gradients.ControlVariate(B, center)
    state, _ = estimator.init(problem(), jnp.zeros(D))
    gradient, _, _ = estimator.estimate(
        problem(), center, state, jax.random.key(0), jnp.int32(0)
    )
    np.testing.assert_allclose(gradient, problem().gradient(center), rtol=1e-6)


def test_a_center_that_does_not_fit_is_refused():
    for center, facts in (
        (jnp.zeros(3), "center (3,) (2,)"),
        ({"w": jnp.zeros(D)}, "center"),
    ):
        with refuses(ValueError, facts):
            gradients.ControlVariate(B, center).init(problem(), jnp.zeros(D))
    with refuses(ValueError, "center[0] nan"):
        gradients.ControlVariate(B, jnp.array([jnp.nan, 0.0]))
    with refuses(ValueError, "batch_size 7 6"):
        gradients.ControlVariate(7).init(problem(), jnp.zeros(D))
