"""Sums over rows in blocks: every row once, nothing whole, weights and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.problems import blocks
from tests.jaxprs import shapes
from tests.sentences import refuses

SIZES = [(1, 1), (1, 8), (7, 1), (7, 3), (7, 6), (7, 7), (7, 100), (12, 4), (13, 4)]


@pytest.mark.parametrize(("size", "block_size"), SIZES)
def test_cuts_are_even_and_at_most_of_the_requested_size(size, block_size):
    """`whole` blocks and a remainder smaller than a block by no more than the number of blocks."""
    block, whole = blocks._block_sizes(size, block_size)
    assert block <= block_size
    remainder = size - whole * block
    assert 0 <= remainder < block
    assert whole + (remainder > 0) == -(-size // block_size)


@pytest.mark.parametrize(
    ("size", "block_size"), [(7, 1), (7, 3), (7, 100), (13, 4), (12, 4)]
)
def test_every_row_is_counted_once(size, block_size):
    """Row i is the i-th unit vector and i: sums are all ones, and maps keep the order."""
    rows = (jnp.eye(size), jnp.arange(size, dtype=jnp.float32))
    total = blocks.block_sum(
        lambda r: (jnp.sum(r[0], axis=0), jnp.sum(r[1])), rows, block_size
    )
    np.testing.assert_array_equal(total[0], np.ones(size))
    assert total[1] == size * (size - 1) / 2
    mapped = blocks.block_map(lambda r: 2 * r[1], rows, block_size)
    np.testing.assert_array_equal(mapped, 2 * np.arange(size))


def test_rows_times_anything_is_never_whole():
    """A sum of outer products of 64 rows with 32 numbers in blocks of 8: no intermediate has 64 x 32 entries."""
    rows, other = jnp.ones((64, 3)), jnp.ones((32, 3))

    def largest(block_size):
        function = lambda r: jnp.sum(jnp.tanh(r @ other.T) ** 2)
        jaxpr = jax.make_jaxpr(
            lambda rows: blocks.block_sum(function, rows, block_size)
        )(rows)
        return max(np.prod(shape, dtype=int) for shape in shapes(jaxpr))

    assert largest(8) <= 8 * 32
    assert largest(64) == 64 * 32


def test_take_is_rows_at_indices():
    rows = {"x": jnp.arange(6.0).reshape(3, 2), "y": jnp.arange(3)}
    taken = blocks.take(rows, jnp.array([2, 0, 2]))
    np.testing.assert_array_equal(taken["x"], [[4, 5], [0, 1], [4, 5]])
    np.testing.assert_array_equal(taken["y"], [2, 0, 2])


def test_weights_have_mean_one():
    np.testing.assert_allclose(
        blocks.normalised_weights([1.0, 0.0, 3.0, 4.0], 4, jnp.float32),
        [0.5, 0, 1.5, 2],
    )
    assert blocks.normalised_weights(None, 4, jnp.float32) is None


def test_weights_have_mean_one_over_the_rows_in_use():
    weights = blocks.normalised_weights([1.0, 3.0, 100.0], 3, jnp.float32)
    np.testing.assert_allclose(
        blocks.row_weights(weights, jnp.int32(2), 3, jnp.float32),
        [0.5, 1.5, 0],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(
        blocks.row_weights(None, jnp.int32(2), 3, jnp.float32), [1, 1, 0]
    )
    assert blocks.row_weights(None, None, 3, jnp.float32) is None


@pytest.mark.parametrize(
    ("weights", "facts"),
    [
        ([1.0, 2.0], "shape"),
        ([1.0, -2.0, 1.0], "0"),
        ([0.0, 0.0, 0.0], "0"),
        ([1.0, np.nan, 1.0], "finite"),
    ],
)
def test_invalid_weights_are_refused(weights, facts):
    with refuses(ValueError, facts):
        blocks.normalised_weights(np.array(weights, np.float32), 3, jnp.float32)


@pytest.mark.parametrize("count", [0, 4, -1])
def test_a_count_outside_the_rows_is_refused(count):
    with refuses(ValueError, "count"):
        blocks.checked_count(count, 3)
