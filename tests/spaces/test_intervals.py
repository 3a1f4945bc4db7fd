"""Cosines and waves: orthonormal by an independent quadrature, exact where they say so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad_vec

from langevax import spaces
from tests.sentences import refuses

KINDS = {
    "cosine": spaces.Cosine,
    "fourier": spaces.Fourier,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_functions_are_orthonormal_in_the_uniform_law(kind):
    basis = kind(7, domain=(1.0, 4.0))

    def products(t):
        row = np.asarray(basis.evaluate(np.array([t])))[0]
        return np.outer(row, row)

    with jax.enable_x64():
        gram, _ = quad_vec(products, 1.0, 4.0, epsabs=1e-9)
    np.testing.assert_allclose(gram / 3, np.eye(7), atol=1e-8)


@pytest.mark.parametrize(
    ("kind", "dim", "volume"), [(kind, 1, 3.0) for kind in KINDS.values()], ids=KINDS
)
def test_domain_and_grid(kind, dim, volume):
    basis = kind(7, num_points=10, domain=(1.0, 4.0))
    assert (basis.dim, basis.volume) == (dim, volume)
    assert basis.grid.shape == (10,)
    assert 1 <= basis.grid.min() < basis.grid.max() < 4
    assert (np.diff(basis.grid) > 0).all()


@pytest.mark.parametrize(
    ("kind", "frequencies"),
    [
        (spaces.Cosine, np.pi * np.array([0, 1, 2, 3, 4]) / 3),
        (spaces.Fourier, 2 * np.pi * np.array([0, 1, 1, 2, 2]) / 3),
    ],
)
def test_frequencies_are_the_roots_of_the_eigenvalues(kind, frequencies):
    np.testing.assert_allclose(kind(5, domain=(1.0, 4.0)).frequencies, frequencies)


@pytest.mark.parametrize("kind", [spaces.Cosine, spaces.Fourier])
def test_the_laplacian_of_a_function_is_its_frequency_squared(kind):
    basis = kind(6, domain=(0.0, 2.0))
    t, h = np.array([0.3, 0.9, 1.7]), 1e-4
    with jax.enable_x64():
        left, middle, right = (
            np.asarray(basis.evaluate(t + shift)) for shift in (-h, 0.0, h)
        )
    np.testing.assert_allclose(
        (2 * middle - left - right) / h**2,
        basis.frequencies**2 * middle,
        atol=1e-3,
        err_msg="-f'' is not w^2 f",
    )


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"num_modes": 0}, "num_modes"),
        ({"num_modes": 2.5}, "num_modes"),
        ({"num_modes": 8, "num_points": 7}, "num_points"),
        ({"num_modes": 8, "domain": (1.0, 1.0)}, "domain"),
        ({"num_modes": 8, "domain": (0.0, np.inf)}, "domain"),
    ],
)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_bad_arguments_are_named(kind, arguments, name):
    with refuses((ValueError, TypeError), name):
        kind(**arguments)


def test_even_numbers_of_waves_end_with_a_cosine():
    basis = spaces.Fourier(4)
    with jax.enable_x64():
        last = np.asarray(basis.evaluate(np.array([0.0, 0.25])))[:, -1]
    np.testing.assert_allclose(last, np.sqrt(2) * np.array([1.0, -1.0]), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_whole_numbers_are_points_too(kind):
    basis = kind(4, domain=(-1.0, 2.0))
    expected = basis.evaluate(np.array([0.0, 1.0]))
    np.testing.assert_allclose(basis.evaluate(np.array([0, 1])), expected, atol=1e-6)
    np.testing.assert_allclose(
        jax.jit(basis.evaluate)(jnp.array([0, 1])), expected, atol=1e-5
    )
