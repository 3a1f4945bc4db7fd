"""Products of bases: the order of their modes, their values, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import spaces
from tests.sentences import refuses
from tests.spaces.cases import KERNEL_BASIS, PATH


def test_modes_are_ordered_by_the_sum_of_squares():
    basis = spaces.TensorProduct([spaces.Cosine(4), spaces.Cosine(4)], 8)
    pairs = np.stack(np.unravel_index(basis.order, (4, 4)), axis=1)
    expected = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1)]
    np.testing.assert_array_equal(pairs, expected)
    np.testing.assert_allclose(
        basis.frequencies**2, np.pi**2 * np.sum(np.square(expected), axis=1)
    )


def test_ties_of_three_factors_keep_the_order_of_their_indices():
    basis = spaces.TensorProduct([spaces.Cosine(3, domain=(0.0, 0.7))] * 3)
    indices = np.stack(np.unravel_index(basis.order, (3, 3, 3)), axis=1)
    expected = sorted(np.ndindex(3, 3, 3), key=lambda k: (sum(i * i for i in k), k))
    np.testing.assert_array_equal(indices, expected)


def test_values_are_those_of_explicit_products():
    left, right = spaces.Cosine(3, 5), spaces.Fourier(5)
    basis = spaces.TensorProduct([left, right])
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    flat = jnp.asarray(x.ravel()[basis.order])
    expected = (
        np.asarray(left.evaluate(left.grid))
        @ x
        @ np.asarray(right.evaluate(right.grid)).T
    )
    np.testing.assert_allclose(
        basis.synthesize(flat).reshape(basis.grid_shape), expected, atol=1e-5
    )


def test_the_grid_runs_over_the_last_factor_first():
    basis = spaces.TensorProduct(
        [spaces.Cosine(2), spaces.Fourier(3, domain=(0.0, 4.0))]
    )
    assert (basis.grid_shape, basis.dim, basis.volume) == ((2, 4), 2, 4.0)
    np.testing.assert_array_equal(
        basis.grid[:5], [[0.25, 0], [0.25, 1], [0.25, 2], [0.25, 3], [0.75, 0]]
    )


@pytest.mark.slow
def test_a_cut_keeps_rough_products_out_and_analysis_projects():
    basis = spaces.TensorProduct([spaces.Cosine(6), spaces.Cosine(6)], 10)
    values = jnp.asarray(np.random.default_rng(1).normal(size=36), jnp.float32)
    once = basis.analyze(values)
    np.testing.assert_allclose(basis.analyze(basis.synthesize(once)), once, atol=1e-6)
    assert float(jnp.mean(basis.synthesize(once) ** 2)) < float(jnp.mean(values**2))


@pytest.mark.slow
def test_curves_on_the_nodes_of_a_graph():
    graph = spaces.GraphLaplacian(PATH, 5)
    basis = spaces.TensorProduct([graph, spaces.Cosine(4)])
    assert (basis.dim, basis.volume) == (1, 20.0)
    with jax.enable_x64():
        np.testing.assert_allclose(
            basis.analyze(basis.synthesize(jnp.eye(20))), np.eye(20), atol=1e-12
        )


def test_a_single_factor_is_that_basis():
    basis, factor = spaces.TensorProduct([spaces.Fourier(7)]), spaces.Fourier(7)
    x = jnp.arange(7.0)
    np.testing.assert_allclose(basis.synthesize(x), factor.synthesize(x), atol=1e-6)


def test_bad_arguments_are_named():
    with refuses(ValueError, "bases"):
        spaces.TensorProduct([])
    with refuses(ValueError, "bases[1] 2"):
        spaces.TensorProduct([spaces.Cosine(2), KERNEL_BASIS])
    with refuses(ValueError):
        spaces.TensorProduct([spaces.Cosine(2), spaces.Cosine(3)], 7)
    with refuses(ValueError, "points 2"):
        spaces.TensorProduct([spaces.Cosine(2), spaces.Cosine(3)]).evaluate(
            np.ones((4, 3))
        )
