"""Gradient estimators: unbiased, counted, equal where they must be, and with the exact moments of the theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, gradients
from langevax.run import program
from langevax.run.chains import Chains
from langevax.theory import moments
from tests.errorbars import LIMIT, assert_mean, z_scores
from tests.jaxprs import equations, shapes

N, D, B, PERIOD = 5, 2, 2, 4
STEP_SIZE, TEMPERATURE = 0.6, 0.03  # large: what estimators add stands out
CHAINS, STEPS = 40_000, 9


def quadratic(x, row):
    curvature, slope = row
    return jnp.sum(curvature * x**2 / 2 + slope * x)


def components():
    """Curvatures, one of them negative, and slopes correlated with them."""
    rng = np.random.default_rng(0)
    curvatures = rng.normal(1.0, 0.8, size=(N, D))
    curvatures[0] = -0.5
    return curvatures, 0.7 * curvatures + rng.normal(size=(N, D))


def simulate(estimator, curvatures, slopes, start=(1.0, -2.0), **options):
    """Chains of the quadratic finite sum in float64, recorded at every step: (chain, step, coordinate)."""
    with jax.enable_x64():
        problem = FiniteSum(quadratic, (jnp.asarray(curvatures), jnp.asarray(slopes)))
        return langevax.simulate(
            langevax.Langevin(STEP_SIZE, TEMPERATURE, estimator),
            problem,
            jnp.asarray(start),
            key=jax.random.key(4),
            **({"num_steps": STEPS, "num_chains": CHAINS, "record_every": 1} | options),
        )


# Unbiasedness, on a problem that is not quadratic.


def quartic(x, row):
    return jnp.sum((x - row) ** 4) / 4


def drawn(estimator, problem, here, before, gradient_before):
    """20,000 estimates at `here`, the first after a full gradient at `before`; and what each of them costs."""
    state = {
        gradients.Minibatch: (),
        gradients.SVRG: gradients.estimator.ReferenceState(before, gradient_before),
        gradients.SARAH: gradients.estimator.ReferenceState(before, gradient_before),
    }[type(estimator)]
    keys = jax.random.split(jax.random.key(1), 20_000)
    estimate = jax.jit(
        jax.vmap(
            lambda key: estimator.estimate(problem, here, state, key, jnp.int32(1))[::2]
        )
    )
    estimates, used = estimate(keys)
    return np.asarray(estimates), np.unique(used)


@pytest.mark.parametrize("make", [gradients.Minibatch, gradients.SVRG, gradients.SARAH])
def test_estimates_are_unbiased_with_xi_times_the_variance_of_the_components(make):
    """Of the component gradients, or of their changes since the anchor; 20,000 keys, z-scores below 4.5.

    At the first step after a full gradient SARAH is SVRG. The factor Xi is distinguished from that with replacement.
    """
    rows = np.random.default_rng(3).normal(size=(N, D))
    problem = FiniteSum(quartic, jnp.asarray(rows, jnp.float32))
    here, before = np.array([0.5, -1.0]), np.array([1.0, -0.3])
    plain = make is gradients.Minibatch
    estimator = make(B) if plain else make(B, PERIOD)
    points = here, before, ((before - rows) ** 3).mean(axis=0)
    estimates, used = drawn(
        estimator, problem, *(jnp.asarray(x, jnp.float32) for x in points)
    )
    components = (
        (here - rows) ** 3 if plain else (here - rows) ** 3 - (before - rows) ** 3
    )
    mean = ((here - rows) ** 3).mean(axis=0)
    xi, other = (moments.batch_variance_factor(N, B, replace=r) for r in (False, True))
    assert_mean(estimates, mean)
    assert_mean(
        (estimates - mean) ** 2,
        xi * components.var(axis=0),
        wrong=other * components.var(axis=0),
    )
    assert used.tolist() == [B if plain else 2 * B]


def test_sarah_corrects_its_own_last_gradient():
    """v at step 2 is the mean over batches of gradient(x2) - gradient(x1) + v1, whatever v1."""
    problem = FiniteSum(
        quartic, jnp.asarray(np.random.default_rng(3).normal(size=(N, D)), jnp.float32)
    )
    x1, x2, v1 = jnp.array([0.5, -1.0]), jnp.array([0.2, -0.4]), jnp.array([3.0, 7.0])
    state = gradients.estimator.ReferenceState(x1, v1)
    whole = gradients.SARAH(N, PERIOD)
    v2, state, _ = whole.estimate(problem, x2, state, jax.random.key(0), jnp.int32(2))
    np.testing.assert_allclose(
        v2, problem.gradient(x2) - problem.gradient(x1) + v1, rtol=1e-5
    )
    np.testing.assert_array_equal(state.position, x2)
    np.testing.assert_array_equal(state.gradient, v2)


# What a run costs.


@pytest.mark.slow
def test_evaluations_are_n_or_b_a_step_or_n_plus_2b_each_inner_step_of_an_epoch():
    """For each of three chains, over two epochs and a step, totals at every step."""
    step_costs = {
        gradients.Full(): [N] * 9,
        gradients.Minibatch(B): [B] * 9,
        gradients.SVRG(B, PERIOD): [N, 2 * B, 2 * B, 2 * B] * 2 + [N],
        gradients.SARAH(B, PERIOD): [N, 2 * B, 2 * B, 2 * B] * 2 + [N],
    }
    for estimator, costs in step_costs.items():
        result = simulate(estimator, *components())
        assert result.evaluations == CHAINS * sum(costs)
        np.testing.assert_array_equal(
            result.trace.info["evaluations"][[0, -1]], np.tile(np.cumsum(costs), (2, 1))
        )
    assert sum(step_costs[gradients.SVRG(B, PERIOD)][:PERIOD]) == N + 2 * B * (
        PERIOD - 1
    )


# Where variance reduction has nothing to reduce, all are full-gradient Langevin.


@pytest.mark.slow
@pytest.mark.parametrize("make", [gradients.SVRG, gradients.SARAH])
@pytest.mark.parametrize("case", ["period one", "full batches", "equal curvatures"])
def test_the_path_is_that_of_the_full_gradient(make, case):
    """With the same noise, to 1e-13 in float64."""
    curvatures, slopes = components()
    batch_size, period = {
        "period one": (B, 1),
        "full batches": (N, PERIOD),
        "equal curvatures": (B, PERIOD),
    }[case]
    if case == "equal curvatures":
        curvatures = np.broadcast_to(curvatures.mean(axis=0), (N, D)).copy()
    plain = simulate(gradients.Full(), curvatures, slopes).positions
    reduced = simulate(make(batch_size, period), curvatures, slopes).positions
    np.testing.assert_allclose(reduced, plain, rtol=0, atol=1e-13)


def test_the_path_with_equal_curvatures_is_that_of_the_full_gradient_in_float32():
    slopes = components()[1]
    problem = FiniteSum(quadratic, (jnp.ones((N, D)), jnp.asarray(slopes, jnp.float32)))
    paths = [
        langevax.simulate(
            langevax.Langevin(STEP_SIZE, TEMPERATURE, estimator),
            problem,
            jnp.ones(D),
            key=jax.random.key(4),
            num_steps=200,
            num_chains=4,
        ).position
        for estimator in (gradients.Full(), gradients.SVRG(B, 50))
    ]
    np.testing.assert_allclose(*paths, rtol=0, atol=1e-5)


# Exact moments.


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sgld", "svrg", "sarah"])
def test_chains_have_the_exact_moments_of_the_theory(method):
    """40,000 chains, E x and E x^2 at every step through two epochs and one more step, z-scores below 4.5.

    The second moments of draws with replacement, of the other methods and of the full gradient are all distinguished.
    """
    curvatures, slopes = components()
    estimator = {
        "sgld": gradients.Minibatch(B),
        "svrg": gradients.SVRG(B, PERIOD),
        "sarah": gradients.SARAH(B, PERIOD),
    }[method]
    start = np.array([1.0, -2.0])

    def exact(method, **changes):
        options = {"batch_size": B, "period": PERIOD, "replace": False} | changes
        if method == "ld":
            options = {}
        if method == "sgld":
            del options["period"]
        chain = moments.QuadraticChain(
            curvatures, slopes, start, start**2, STEP_SIZE, TEMPERATURE, STEPS
        )
        return getattr(chain, method)(**options)

    positions = simulate(estimator, curvatures, slopes).positions
    assert_mean(positions, exact(method).first[1:])
    assert_mean(
        positions**2,
        exact(method).second[1:],
        wrong=exact(method, replace=True).second[1:],
    )
    for other in {"ld", "sgld", "svrg", "sarah"} - {method}:
        assert z_scores(positions**2, exact(other).second[1:]).max() > 2 * LIMIT


def test_full_gradient_chains_have_the_exact_moments_of_the_theory():
    curvatures, slopes = components()
    start = np.array([1.0, -2.0])
    exact = moments.QuadraticChain(
        curvatures, slopes, start, start**2, STEP_SIZE, TEMPERATURE, STEPS
    ).ld()
    positions = simulate(gradients.Full(), curvatures, slopes).positions
    assert_mean(positions, exact.first[1:])
    assert_mean(
        positions**2,
        exact.second[1:],
        wrong=exact.first[1:] ** 2 + exact.variance[1:] / 2,
    )


# What is compiled.


ROWS = 1009


def full_passes(jaxpr):
    """Number of arrays computed that have the size of the table, inner jaxprs included."""
    return sum(ROWS in shape for shape in shapes(jaxpr))


@pytest.mark.slow
@pytest.mark.parametrize("make", [gradients.SVRG, gradients.SARAH])
def test_the_refresh_is_a_branch_under_vmap_over_chains(make):
    """In the program that `simulate` runs: a conditional, not a select, and in the compiled program still.

    All that is computed on the table's rows lies in one of its two branches, so that an inner step does none of it.
    """
    problem = FiniteSum(quartic, jnp.zeros((ROWS, D)))
    langevin = langevax.Langevin(jnp.float32(0.1), jnp.float32(0.1), make(B, PERIOD))
    parts = program.RunParts(langevin, problem, jax.random.key(0), chains=Chains(3))
    carry = program.begin(parts, jnp.zeros((3, D)))
    chunk = program.Chunk(parts, jnp.int32(9), jnp.int32(1))

    def advance(carry):
        return program.advance(chunk, carry, None)[0]

    jaxpr = jax.make_jaxpr(advance)(carry)
    (refresh,) = [
        e
        for e in equations(jaxpr)
        if e.primitive.name == "cond" and full_passes(e.params["branches"][1])
    ]
    assert full_passes(refresh.params["branches"][0]) == 0
    assert full_passes(refresh.params["branches"][1]) == full_passes(jaxpr) > 0
    assert " conditional(" in jax.jit(advance).lower(carry).compile().as_text()
