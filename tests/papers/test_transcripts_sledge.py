"""SLEDGE and STORM against their transcripts, in float64, with the same draws and noises.

Step s has key fold_in(key, s), which `Langevin` splits into one for the estimator, which draws, and one for the noise.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, gradients, trees
from langevax.gradients import tables
from tests.papers import transcripts_sledge as transcripts

pytestmark = pytest.mark.mostly_compiling

N, D, B, STEPS = 7, 3, 2, 20
STEP_SIZE, TEMPERATURE, KEY = 0.15, 0.02, 11


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64():
        yield


def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, D)), rng.normal(size=N)


def cauchy(x, row):
    """log(1 + residual^2), not convex."""
    features, target = row
    return jnp.log1p((features @ x - target) ** 2)


def cauchy_gradient(x, indices):
    features, targets = (a[indices] for a in rows())
    residuals = features @ x - targets
    return (2 * residuals / (1 + residuals**2)) @ features / len(indices)


def problem(padding=0):
    data = tuple(
        jnp.asarray(np.concatenate([a, np.full((padding, *a.shape[1:]), 9.0)]))
        for a in rows()
    )
    return FiniteSum(cauchy, data, count=N if padding else None)


def run(estimator, problem):
    start, key = jnp.full(D, 1.5), jax.random.key(KEY)
    langevin = langevax.Langevin(STEP_SIZE, TEMPERATURE, estimator)
    result = langevax.simulate(
        langevin, problem, start, key=key, num_steps=STEPS, record_every=1
    )
    return np.concatenate(
        [np.asarray(start)[None], result.positions]
    ), result.evaluations


def drawn(draw):
    """Return what `draw(key)` gives at every step, and the noises."""
    split = lambda step: jax.random.split(jax.random.fold_in(jax.random.key(KEY), step))
    keys = jax.vmap(split)(jnp.arange(STEPS))
    noises = jax.vmap(lambda key: trees.normal_like(jnp.zeros(D), key=key))(keys[:, 1])
    return np.asarray(jax.jit(jax.vmap(draw))(keys[:, 0])), np.sqrt(
        2 * STEP_SIZE * TEMPERATURE
    ) * np.asarray(noises)


def members(problem, table, batch_size):
    """The components of each entry, as the library has them."""
    if table == "components":
        return [[i] for i in range(N)]
    blocks = tables.Blocks(batch_size)
    every = jnp.arange(-(-N // batch_size), dtype=jnp.int32)
    indices, lengths = jax.jit(jax.vmap(lambda j: blocks.members(problem, j)))(every)
    blocks = [
        row[:length].tolist()
        for row, length in zip(np.asarray(indices), lengths, strict=True)
    ]
    assert sorted(np.concatenate(blocks)) == list(
        range(N)
    )  # each component is in one block
    return blocks


def assert_same_path(actual, expected):
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    assert np.abs(np.diff(actual, axis=0)).max() > 0.1  # it moved


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "table", "batch_size", "padding"),
    [
        ("sledge", "components", 2, 0),
        ("sledge", "components", 2, 2),
        ("sledge", "blocks", 2, 0),
        ("sledge", "blocks", 3, 5),
    ],
)
def test_the_table(name, table, batch_size, padding):
    """The lazy table is the table written out (o3), whole or padded, its blocks of unequal lengths; and its cost.

    Rounding is all that a pass over the table changes, once in n / b steps.
    """
    finite_sum = problem(padding)
    make = getattr(gradients, name.upper())
    estimator = make(batch_size, table)
    draws, noises = drawn(
        lambda key: estimator.entries(finite_sum).draw(key, finite_sum)
    )
    actual, used = run(estimator, finite_sum)
    groups = members(finite_sum, table, batch_size)
    expected = getattr(transcripts, name)(
        cauchy_gradient,
        groups,
        np.full(D, 1.5),
        STEP_SIZE,
        draws,
        noises,
    )
    assert_same_path(actual, expected)
    points = 2 if name == "sledge" else 1
    largest_batch = batch_size + (
        table == "blocks"
    )  # one more at each point where b does not divide n
    assert used == N + points * largest_batch * (STEPS - 1)


@pytest.mark.slow
def test_storm():
    draws, noises = drawn(lambda key: gradients.batches.draw(key, problem(), B))
    actual, used = run(gradients.STORM(B, 0.3), problem())
    expected = transcripts.storm(
        cauchy_gradient, np.full(D, 1.5), STEP_SIZE, 0.3, draws, noises
    )
    assert_same_path(actual, expected)
    assert used == B + 2 * B * (STEPS - 1)
