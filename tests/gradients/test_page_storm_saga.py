"""PAGE, STORM and SAGA: what they are at their ends, unbiasedness, and the branches that are compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, gradients
from langevax.gradients import PAGE, SAGA, SLEDGE, STORM
from langevax.optimize import anneal
from tests.errorbars import assert_mean
from tests.gradients.walks import bent_problem
from tests.jaxprs import equations, shapes
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

N, D, B = 7, 2, 2  # blocks of 2 and 4: of sizes 2, 2, 2, 1 and 4, 3
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
def test_page_of_probability_one_is_the_full_gradient():
    """(o7), and its cost."""
    full, page = path(gradients.Full()), path(PAGE(B, 1.0))
    np.testing.assert_allclose(page.positions, full.positions, rtol=0, atol=1e-6)
    assert page.evaluations == full.evaluations == 3 * 12 * N


def test_page_tosses_its_coin_b_of_n_plus_b_times():
    """Over 20,000 steps, for the default, for a probability of its own and for another key."""
    steps = jnp.arange(20_000, dtype=jnp.int32)
    tossed = lambda estimator: jax.jit(
        jax.vmap(lambda t: estimator.coin(problem(), t))
    )(steps)
    first, other = tossed(PAGE(B)), tossed(PAGE(B, key=jax.random.key(1)))
    assert_mean(first, B / (N + B), wrong=B / N)
    assert_mean(tossed(PAGE(B, 0.1)), 0.1)
    assert_mean(first == other, 1 - 2 * (B / (N + B)) * (N / (N + B)))


@pytest.mark.slow
def test_keys_of_schedules_are_arguments_of_a_run():
    """Another key tosses other coins and cuts other blocks, in the same run otherwise; the default is key 0."""
    for make in (PAGE, SAGA, SLEDGE):
        default, same, other = (
            path(make(B, **options))
            for options in ({}, *({"key": jax.random.key(i)} for i in (0, 1)))
        )
        np.testing.assert_array_equal(default.positions, same.positions)
        assert np.abs(default.positions - other.positions).max() > 1e-4


def test_page_takes_a_full_pass_as_a_branch_under_vmap():
    """Chains share the coin: all that has the rows' size lies in one branch of a conditional."""
    finite_sum, estimator = problem(1009), PAGE(B)
    keys, x = jax.random.split(jax.random.key(0), 3), jnp.ones((3, D))
    states = jax.vmap(lambda x: estimator.init(finite_sum, x)[0])(x)

    def step(x, states, keys, t):
        return jax.vmap(lambda x, s, k: estimator.estimate(finite_sum, x, s, k, t))(
            x, states, keys
        )

    jaxpr = jax.make_jaxpr(step)(x, states, keys, jnp.int32(3))
    passes = lambda jaxpr: sum(1009 in shape for shape in shapes(jaxpr))
    (cond,) = [
        e
        for e in equations(jaxpr)
        if e.primitive.name == "cond" and passes(e.params["branches"][1])
    ]
    assert passes(cond.params["branches"][0]) == 0
    assert passes(cond.params["branches"][1]) == passes(jaxpr) > 0


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


@pytest.mark.parametrize("table", ["components", "blocks"])
@pytest.mark.parametrize("batch_size", [2, 4])
def test_saga_is_unbiased_whatever_its_table(table, batch_size):
    """From a table made elsewhere, 20,000 keys; blocks of unequal sizes, too."""
    here, before = jnp.array([0.5, -1.0]), jnp.array([1.0, -0.3])
    estimator = SAGA(batch_size, table)
    state, used = estimator.init(problem(), before)
    assert used == N
    estimate = lambda key: estimator.estimate(
        problem(), here, state, key, jnp.int32(1)
    )[0]
    actual = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(1), 20_000))
    assert_mean(
        actual,
        ((np.asarray(here) - ROWS) ** 3).mean(0),
        wrong=((np.asarray(before) - ROWS) ** 3).mean(0),
    )


@pytest.mark.parametrize(("table", "batch_size"), [("components", 2), ("blocks", 4)])
def test_the_running_mean_of_saga_is_that_of_its_table(table, batch_size):
    """(o8), after 200 steps in float64, where it is no longer the gradient; blocks of unequal sizes, weighed."""
    with jax.enable_x64():
        finite_sum, estimator = (
            bent_problem(N, 0.5, D, curvature=1.0),
            SAGA(batch_size, table),
        )
        langevin = langevax.Langevin(0.2, 0.1, estimator)
        run = langevax.simulate(
            langevin, finite_sum, jnp.ones(D), key=jax.random.key(0), num_steps=200
        )
        state = run.state.gradient
        weights = np.full(N, 1 / N) if table == "components" else np.array([4, 3]) / N
        np.testing.assert_allclose(
            state.mean, weights @ np.asarray(state.table), rtol=0, atol=1e-14
        )
        assert (
            np.abs(state.mean - finite_sum.gradient(jnp.asarray(run.position))).max()
            > 1e-3
        )
        assert state.table.shape == ((N if table == "components" else 2), D)


@pytest.mark.long
@pytest.mark.parametrize(
    "estimator",
    [SLEDGE(64), SAGA(64, "components"), PAGE(64), STORM(64, 0.1)],
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
        (PAGE, {"probability": 1.5}, "probability 1 1.5"),
        (PAGE, {"probability": 0.0}, "probability 0"),
        (STORM, {"momentum": 2.0}, "momentum 1 2.0"),
        (STORM, {"momentum": np.nan}, "momentum"),
    ):
        with refuses(ValueError, facts):
            make(B, **options)
    with refuses(TypeError, "key"):
        PAGE(B, key=0)
    with refuses(TypeError, "momentum"):
        STORM(B, lambda step: 0.1)
    for estimator in (PAGE(8), STORM(8, 0.1)):
        with refuses(ValueError, "batch_size 8 7"):
            estimator.init(problem(), jnp.zeros(D))
