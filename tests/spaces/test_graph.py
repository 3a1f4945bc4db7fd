"""Bases on graphs: paths and cycles, whose spectra are known, dense and sparse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from langevax import spaces
from tests.sentences import refuses
from tests.spaces.cases import aligned


def path(n, kind=sp.csr_array):
    return kind(sp.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[1, -1]))


def cycle(n):
    return sp.csr_array(
        path(n) + sp.coo_array((np.ones(2), ([0, n - 1], [n - 1, 0])), shape=(n, n))
    )


def random_graph(n, degree, seed=0):
    i, j = np.random.default_rng(seed).integers(0, n, (2, n * degree // 2))
    one_way = sp.csr_array((np.ones(len(i)), (i, j)), shape=(n, n))
    return one_way + one_way.T


@pytest.mark.parametrize(
    "form", [lambda a: a.toarray(), sp.csr_array, sp.csc_matrix, sp.coo_array]
)
def test_a_path_has_the_cosines_of_its_nodes(form):
    basis = spaces.GraphLaplacian(form(path(30)), normalized=False)
    np.testing.assert_allclose(
        basis.frequencies, 2 * np.sin(np.pi * np.arange(30) / 60), atol=1e-7
    )
    nodes = (np.arange(30) + 0.5) / 30
    expected = np.sqrt(2) * np.cos(np.pi * np.arange(1, 30) * nodes[:, None])
    np.testing.assert_allclose(basis.matrix[:, 0], 1)
    np.testing.assert_allclose(
        aligned(basis.matrix[:, 1:], expected), expected, atol=1e-10
    )


@pytest.mark.parametrize(("normalized", "degree"), [(False, 1), (True, 2)])
def test_a_cycle_has_the_waves(normalized, degree):
    basis = spaces.GraphLaplacian(cycle(20), normalized=normalized)
    waves = (np.arange(20) + 1) // 2
    np.testing.assert_allclose(
        basis.frequencies**2,
        (2 - 2 * np.cos(2 * np.pi * waves / 20)) / degree,
        atol=1e-12,
    )
    assert (basis.dim, basis.volume) == (0, 20.0)
    pairs = basis.matrix[:, 1:3]
    angles = 2 * np.pi * np.arange(20) / 20
    np.testing.assert_allclose(
        pairs @ pairs.T, 2 * np.cos(angles[:, None] - angles), atol=1e-10
    )


def test_normalised_vectors_start_with_the_roots_of_degrees():
    adjacency = random_graph(50, 8)
    basis = spaces.GraphLaplacian(adjacency)
    degrees = (adjacency - sp.diags_array(adjacency.diagonal())).sum(axis=0)
    np.testing.assert_allclose(
        basis.matrix[:, 0], np.sqrt(degrees / degrees.mean()), atol=1e-10
    )
    assert basis.frequencies[-1] ** 2 <= 2 + 1e-12


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(
    "make",
    [lambda: cycle(1600), lambda: random_graph(1600, 20)],
    ids=["cycle", "random"],
)
def test_large_sparse_graphs_agree_with_dense_ones(make, normalized):
    """A cycle needs the factorisation, a random graph does without."""
    adjacency = make()
    basis = spaces.GraphLaplacian(adjacency, 9, normalized)
    again = spaces.GraphLaplacian(adjacency, 9, normalized)
    np.testing.assert_array_equal(basis.matrix, again.matrix)
    from scipy.sparse.csgraph import laplacian

    matrix = laplacian(adjacency, normed=normalized)
    values = basis.frequencies**2
    np.testing.assert_allclose(matrix @ basis.matrix, values * basis.matrix, atol=1e-8)
    np.testing.assert_allclose(
        basis.matrix.T @ basis.matrix / 1600, np.eye(9), atol=1e-10
    )
    if make().nnz == 3200:  # the cycle: none is left out
        waves = (np.arange(9) + 1) // 2
        expected = (2 - 2 * np.cos(2 * np.pi * waves / 1600)) / (2 if normalized else 1)
        np.testing.assert_allclose(values, expected, atol=1e-11)


def test_as_many_zero_frequencies_as_components():
    blocks = sp.block_diag([random_graph(400, 20, seed) for seed in range(4)])
    basis = spaces.GraphLaplacian(blocks, 6)
    assert (basis.frequencies[:4] < 1e-6).all()
    assert basis.frequencies[4] > 0.3


def test_a_node_without_edges_is_a_component():
    adjacency = np.zeros((4, 4))
    adjacency[0, 1] = adjacency[1, 0] = adjacency[1, 2] = adjacency[2, 1] = 1
    for normalized in (False, True):
        basis = spaces.GraphLaplacian(adjacency, normalized=normalized)
        assert np.sum(basis.frequencies < 1e-7) == 2
        assert np.isfinite(basis.matrix).all()


def test_weights_of_edges_count_and_the_diagonal_does_not():
    adjacency = np.array([[5.0, 3.0], [3.0, 0.0]])
    basis = spaces.GraphLaplacian(adjacency, normalized=False)
    np.testing.assert_allclose(basis.frequencies**2, [0, 6], atol=1e-12)


def test_values_at_nodes():
    basis = spaces.GraphLaplacian(path(6), 4)
    np.testing.assert_allclose(
        basis.evaluate(np.array([5, 0])), basis.matrix[[5, 0]], atol=1e-6
    )
    x = jnp.arange(4.0)
    np.testing.assert_allclose(
        basis.at(x, jnp.array([2])), basis.synthesize(x)[2:3], atol=1e-5
    )
    with jax.enable_x64():
        assert basis.evaluate(np.array([1])).dtype == jnp.float64


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    ("adjacency", "facts"),
    [
        (np.ones((2, 3)), "adjacency"),
        (
            np.array([[0.0, 1.0], [2.0, 0.0]]),
            "adjacency 1",
        ),
        (
            np.array([[0.0, -1.0], [-1.0, 0.0]]),
            "adjacency 0 -1.0",
        ),
        (np.array([[0.0, np.nan], [np.nan, 0.0]]), "adjacency nan"),
    ],
)
def test_values_that_are_not_graphs_are_refused(form, adjacency, facts):
    with refuses(ValueError, facts):
        spaces.GraphLaplacian(form(adjacency))


def test_bad_arguments_are_named():
    with refuses(ValueError, "num_modes 7 6"):
        spaces.GraphLaplacian(path(6), 7)
    with refuses(ValueError, "num_modes 1600"):
        spaces.GraphLaplacian(path(1600))
    basis = spaces.GraphLaplacian(path(6), 4)
    with refuses(ValueError, "points"):
        basis.evaluate(np.array([0.5]))
    with refuses(ValueError, "0 5 6"):
        basis.evaluate(np.array([0, 6]))
