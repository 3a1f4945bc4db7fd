"""Random batches: a bijection, uniform, with the variance the theory counts on, in O(batch)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from langevax import FiniteSum, gradients
from langevax.gradients import batches
from langevax.theory.moments import batch_variance_factor
from tests.errorbars import assert_mean
from tests.jaxprs import primitives, shapes
from tests.sentences import refuses

DRAWS = 2_000_000


@jax.jit
def pairs(size):
    """The first two entries of DRAWS permutations of 0..size-1; one program for all sizes."""
    keys = jax.random.split(jax.random.key(7), DRAWS)
    return jax.vmap(
        lambda key: batches.permuted(key, jnp.arange(2, dtype=jnp.int32), size)
    )(keys)


def table(size):
    return FiniteSum(lambda x, row: row * x, jnp.arange(size, dtype=jnp.float32))


def chi_square_p_value(cells, probability):
    """Of equally likely cells; a fixed key, so that 1e-4 fails by mistake only when a line changes."""
    expected = np.sum(cells) * probability
    return chi2.sf(np.sum((cells - expected) ** 2) / expected, np.size(cells) - 1)


@jax.jit
def permutations(size):
    """All places of eight permutations of 0..size-1, over and over up to 1000; one program for all sizes."""
    places = jnp.arange(1000, dtype=jnp.int32) % size
    return jax.vmap(lambda key: batches.permuted(key, places, size))(
        jax.random.split(jax.random.key(0), 8)
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 20, 64, 1000])
def test_permuted_is_a_bijection(size):
    """Each of eight permutations is all of 0..size-1 in another order, and an entry is a function of its place."""
    actual = np.asarray(permutations(jnp.int32(size)))
    np.testing.assert_array_equal(
        np.sort(actual[:, :size], axis=1), np.tile(np.arange(size), (8, 1))
    )
    np.testing.assert_array_equal(actual, actual[:, np.arange(1000) % size])
    if size >= 20:
        assert len(np.unique(actual, axis=0)) == 8
        assert not (actual[:, :size] == np.arange(size)).all(axis=1).any()


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4, 5, 16, 20])
def test_entries_and_ordered_pairs_are_uniform(size):
    """Chi-square over two million draws: of each entry on size cells, and of the pair on size (size - 1)."""
    first, second = np.asarray(pairs(jnp.int32(size))).T
    for entry in (first, second):
        assert chi_square_p_value(np.bincount(entry, minlength=size), 1 / size) > 1e-4
    cells = np.bincount(first * size + second, minlength=size**2).reshape(size, size)
    assert np.diagonal(cells).sum() == 0
    distinct = cells[~np.eye(size, dtype=bool)]
    assert chi_square_p_value(distinct, 1 / (size * (size - 1))) > 1e-4


def test_the_chi_square_tells_a_pair_apart_that_is_a_rotation():
    """A lone rotation has uniform entries, but its pairs are neighbours: what the test above would refuse."""
    first = np.random.default_rng(0).integers(20, size=DRAWS)
    cells = np.bincount(first * 20 + (first + 1) % 20, minlength=400).reshape(20, 20)
    assert chi_square_p_value(np.bincount(first), 1 / 20) > 1e-4
    assert chi_square_p_value(cells[~np.eye(20, dtype=bool)], 1 / 380) == 0


@pytest.mark.slow
@pytest.mark.mostly_compiling
@pytest.mark.parametrize(("size", "batch_size"), [(20, 6), (5, 4)])
def test_the_variance_of_a_batch_mean_is_xi_times_that_of_the_population(
    size, batch_size
):
    """Skewed values; (size - B) / (B (size - 1)), distinguished from 1 / B with replacement."""
    problem, values = table(size), np.random.default_rng(1).exponential(size=size)
    keys = jax.random.split(jax.random.key(2), 50_000)
    drawn = jax.vmap(lambda key: batches.draw(key, problem, batch_size))
    indices = np.asarray(jax.jit(drawn)(keys))
    distinct = np.array([len(set(batch)) for batch in indices[:2000].tolist()])
    assert (distinct == batch_size).all()
    means = values[indices].mean(axis=1)
    xi, other = (
        batch_variance_factor(size, batch_size, replace=r) for r in (False, True)
    )
    assert_mean(means, values.mean())
    assert_mean(
        (means - values.mean()) ** 2, xi * values.var(), wrong=other * values.var()
    )


def test_a_whole_batch_of_distinct_indices_is_every_index_once():
    for key in jax.random.split(jax.random.key(0), 3):
        assert np.sort(batches.draw(key, table(6), 6)).tolist() == list(range(6))


@pytest.mark.slow
def test_padding_is_never_drawn():
    """And all rows in use are, whatever their number, which is traced."""
    keys = jax.random.split(jax.random.key(3), 500)

    @eqx.filter_jit
    def drawn(problem):
        return jax.vmap(lambda key: batches.draw(key, problem, 3))(keys)

    for count in (3, 5):
        problem = FiniteSum(lambda x, row: row * x, jnp.arange(8.0), count=count)
        assert set(np.unique(drawn(problem)).tolist()) == set(range(count))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_computes_nothing_of_the_size_of_the_table(weighted):
    """A batch gradient from a million rows: no sort, and no array above a few batches."""
    size = 1_000_003
    weights = jnp.ones(size) if weighted else None
    problem = FiniteSum(lambda x, row: row * x, jnp.zeros(size), weights=weights)
    minibatch = gradients.Minibatch(batch_size=8)

    def step(position, key):
        return minibatch.estimate(problem, position, (), key, jnp.int32(0))[0]

    jaxpr = jax.make_jaxpr(step)(jnp.ones(()), jax.random.key(0))
    assert "sort" not in primitives(jaxpr)
    assert max(np.prod(shape, dtype=int) for shape in shapes(jaxpr)) <= 64


@pytest.mark.parametrize(
    "make",
    [
        gradients.Minibatch,
        lambda b: gradients.SVRG(b, 3),
        lambda b: gradients.SARAH(b, 3),
    ],
)
def test_more_distinct_indices_than_rows_are_refused(make):
    with refuses(ValueError, "batch_size 7 6"):
        make(7).init(table(6), jnp.ones(()))
    with refuses(ValueError, "batch_size 4 3"):
        make(4).init(
            FiniteSum(lambda x, row: row * x, jnp.arange(6.0), count=3), jnp.ones(())
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 0), ("batch_size", 2.5), ("period", 0), ("period", -1)],
)
@pytest.mark.parametrize("make", [gradients.SVRG, gradients.SARAH])
def test_a_size_that_is_not_a_positive_int_is_refused(make, name, value):
    with refuses((ValueError, TypeError), name):
        make(**({"batch_size": 2, "period": 3} | {name: value}))
