"""Chains in a box: the fold against mirror images, the laws they keep, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chisquare

import langevax
from langevax import MALA, Langevin, Underdamped, gradients
from langevax.problems.problem import Function
from langevax.samplers.reflected import Reflected, fold
from tests.errorbars import assert_mean
from tests.sentences import refuses

LOWER, UPPER = jnp.array([-1.0, 0.0]), jnp.array([2.0, 0.5])


def flat(x):
    return 0.0 * jnp.sum(x)


def mirrored(x, lower, upper):
    """One reflection after the other, in exact steps of float64; and how many."""
    turns = 0
    while not lower <= x <= upper:
        x, turns = (2 * lower - x if x < lower else 2 * upper - x), turns + 1
    return x, turns


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-1.0, 2.0), (0.25, 0.5), (-np.inf, 1.5), (-0.5, np.inf), (-np.inf, np.inf)],
)
def test_the_fold_is_reflection_after_reflection(lower, upper):
    """However many; the velocity's sign is that of their number."""
    x = np.random.default_rng(0).normal(size=400) * np.geomspace(0.1, 300, 400)
    with jax.enable_x64():
        folded, signs = fold(jnp.asarray(x), lower, upper)
    expected = [mirrored(one, lower, upper) for one in x]
    np.testing.assert_allclose(folded, [y for y, _ in expected], rtol=0, atol=1e-11)
    np.testing.assert_array_equal(signs, [(-1) ** turns for _, turns in expected])


@pytest.mark.slow
def test_the_fold_leaves_alone_what_is_inside_and_what_is_not_finite():
    """Bit for bit inside, walls included; float32 never rounds out of the box."""
    inside = np.linspace(-0.1, 0.3, 1001, dtype=np.float32)
    np.testing.assert_array_equal(
        fold(jnp.asarray(inside), inside[0], inside[-1])[0], inside
    )
    x = np.random.default_rng(1).normal(size=100_000).astype(np.float32) * 1e4
    folded = np.asarray(fold(jnp.asarray(x), -0.1, 0.3)[0])
    assert folded.min() >= np.float32(-0.1)
    assert folded.max() <= np.float32(0.3)
    assert not np.isfinite(
        fold(jnp.array([np.nan, np.inf, -np.inf]), -1.0, 1.0)[0]
    ).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm", [Langevin(50.0, 1.0), Langevin(0.003, 1.0), Underdamped(5.0, 1.0)]
)
def test_without_a_force_the_law_in_the_box_is_uniform(algorithm):
    """20,000 chains from the uniform law: steps of 3 box widths, of a fifth of one, and with a velocity.

    Chi-square over 60 cells at 1e-5; the same chains from a uniform start, clipped instead of folded, fail.
    """

    def uniform(key):
        return LOWER + (UPPER - LOWER) * jax.random.uniform(key, (2,))

    run = langevax.simulate(
        Reflected(algorithm, LOWER, UPPER),
        Function(flat),
        uniform,
        key=jax.random.key(0),
        num_steps=20,
        num_chains=20_000,
    )
    assert chisquare(cells(run.position)).pvalue > 1e-5
    free = langevax.simulate(
        algorithm,
        Function(flat),
        uniform,
        key=jax.random.key(0),
        num_steps=20,
        num_chains=20_000,
    )
    assert chisquare(cells(np.clip(free.position, LOWER, UPPER))).pvalue < 1e-10


def cells(position):
    """Counts in 60 equal cells of the box."""
    lower, upper = np.asarray(LOWER, np.float64), np.asarray(UPPER, np.float64)
    place = np.floor(
        (np.asarray(position) - lower) / (upper - lower) * [10, 6] * (1 - 1e-6)
    ).astype(int)
    return np.bincount(place[:, 0] * 6 + place[:, 1], minlength=60)


def test_a_velocity_is_mirrored_as_often_as_its_position():
    """A step in the box is a free one, folded: over 200 keys, some of which lead to a wall an odd number of times."""
    free, problem, keys = (
        Underdamped(2.0, 1.0),
        Function(flat),
        jax.random.split(jax.random.key(2), 200),
    )
    chain = Reflected(free, LOWER, UPPER)
    state, _ = chain.init(problem, jnp.array([0.3, 0.2]), keys[0])
    steps = jax.vmap(
        lambda key: tuple(
            a.step(problem, state, key, jnp.int32(0))[0] for a in (free, chain)
        )
    )
    outside, inside = steps(keys)
    position, signs = chain.fold(outside.position)
    np.testing.assert_array_equal(inside.position, position)
    np.testing.assert_array_equal(inside.velocity, signs * outside.velocity)
    assert set(np.unique(signs)) == {-1.0, 1.0}


@pytest.mark.slow
def test_a_slope_between_walls_has_the_truncated_law():
    """exp(-2 x / T) on [0, 1]: mean and second moment, with the bias of order one of h = 1e-3; on a dictionary."""
    temperature, slope = 0.7, 2.0
    chain = Reflected(
        Langevin(1e-3, temperature), {"a": 0.0, "b": -np.inf}, {"a": 1.0, "b": np.inf}
    )
    problem = Function(lambda x: slope * x["a"] + 2 * x["b"] ** 2)
    start = {"a": jnp.array(0.5), "b": jnp.array(0.0)}
    run = langevax.simulate(
        chain, problem, start, key=jax.random.key(1), num_steps=2000, num_chains=10_000
    )
    density = lambda x: np.exp(-slope * x / temperature)
    mass = quad(density, 0, 1)[0]
    moments = [quad(lambda x, k=k: x**k * density(x), 0, 1)[0] / mass for k in (1, 2)]
    a = np.asarray(run.position["a"], np.float64)
    assert_mean(np.stack([a, a**2], axis=1), moments, slack=2e-3, wrong=[0.5, 1 / 3])
    assert_mean(
        np.asarray(run.position["b"], np.float64) ** 2,
        temperature / 4,
        slack=1e-3,
        wrong=temperature / 2,
    )


def test_estimators_and_starts_see_positions_in_the_box():
    """SARAH's last position is a folded one, the start is folded, and the count is the algorithm's."""
    algorithm = Reflected(Langevin(1.0, 1.0, gradients.SARAH(1, 3)), LOWER, UPPER)
    run = langevax.simulate(
        algorithm,
        Function(flat),
        jnp.array([9.0, -7.0]),
        key=jax.random.key(0),
        num_steps=4,
    )
    assert run.evaluations == 6
    for position in (run.position, run.state.gradient.position):
        assert np.all((position >= LOWER) & (position <= UPPER))


@pytest.mark.slow
def test_mistakes_are_named():
    langevin = Langevin(0.1, 0.1)
    with refuses(TypeError, "algorithm"):
        Reflected(MALA(0.1, 0.1), 0.0, 1.0)
    with refuses(ValueError, "lower['a'] 1.0"):
        Reflected(langevin, {"a": 1.0}, {"a": 1.0})
    with refuses(ValueError):
        Reflected(langevin, np.nan, 1.0)
    with refuses(ValueError):
        Reflected(langevin, 0.0, {"a": 1.0})
    with refuses(TypeError, "upper 'one'"):
        Reflected(langevin, 0.0, "one")
    broken = Function(lambda x: jnp.sum(jnp.sqrt(x - 5)))
    with refuses(langevax.DivergenceError, "step_size=0.01"):
        langevax.simulate(
            Reflected(langevin, 0.0, 1.0),
            broken,
            jnp.ones(2),
            key=jax.random.key(0),
            num_steps=3,
        )
