"""Spectra by formula: the kernels they sum up to, at points far from the ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import spaces
from langevax.spaces import spectra
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

LAGS = np.array([0.0, 0.03, 0.1, 0.25, 0.4])
LENGTH = 0.1  # a tenth of the period: what comes around it is below exp(-10)


def matern_32(r, length):
    return (1 + np.sqrt(3) * r / length) * np.exp(-np.sqrt(3) * r / length)


def squared_exponential(r, length):
    return np.exp(-(r**2) / (2 * length**2))


def covariance(basis, eigenvalues, points, origin):
    with jax.enable_x64():
        return np.asarray(
            spaces.GaussianPrior(basis, eigenvalues).covariance(points, origin)
        )[:, 0]


@pytest.mark.parametrize("domain", [(0.0, 1.0), (-2.0, 2.0)])
def test_matern_on_waves_is_the_closed_form(domain):
    length, scale = LENGTH * (domain[1] - domain[0]), domain[1] - domain[0]
    basis = spaces.Fourier(1001, domain=domain)
    mu = spectra.matern(basis, smoothness=1.5, length_scale=length, variance=3.0)
    points = domain[0] + scale * (0.5 + LAGS / 2)
    values = covariance(basis, mu, points, points[:1])
    np.testing.assert_allclose(
        values, 3 * matern_32(scale * LAGS / 2, length), atol=2e-3
    )


def test_squared_exponential_on_waves_is_the_closed_form():
    basis = spaces.Fourier(101)
    mu = spectra.squared_exponential(basis, length_scale=LENGTH, variance=2.0)
    np.testing.assert_allclose(
        covariance(basis, mu, LAGS, LAGS[:1]),
        2 * squared_exponential(LAGS, LENGTH),
        atol=1e-3,
        rtol=0,
    )


@pytest.mark.parametrize(
    ("spectrum", "kernel", "tolerance"),
    [
        (spectra.matern, matern_32, 5e-3),
        (spectra.squared_exponential, squared_exponential, 1e-6),
    ],
)
def test_kernels_on_the_plane_are_isotropic(spectrum, kernel, tolerance):
    """Two waves, of different periods: in dimension 2 the constants and the exponents are others."""
    basis = spaces.TensorProduct(
        [spaces.Fourier(101), spaces.Fourier(101, domain=(0.0, 1.5))]
    )
    radii, angles = np.array([0.0, 0.05, 0.12, 0.2]), np.array([0.0, 0.3, 1.2, 2.5])
    points = np.array([[0.5, 0.5]]) + radii[:, None] * np.stack(
        [np.cos(angles), np.sin(angles)], axis=1
    )
    values = covariance(
        basis, spectrum(basis, length_scale=LENGTH, variance=2.0), points, points[:1]
    )
    np.testing.assert_allclose(values, 2 * kernel(radii, LENGTH), atol=tolerance)


def test_matern_on_cosines_is_reflected_at_the_ends():
    basis = spaces.Cosine(801)
    mu = spectra.matern(basis, length_scale=0.05)
    with jax.enable_x64():
        variance = np.asarray(
            spaces.GaussianPrior(basis, mu).variance(np.array([0.0, 0.5, 1.0]))
        )
    np.testing.assert_allclose(variance, [2, 1, 2], atol=2e-3)


def test_a_smooth_matern_is_nearly_squared_exponential():
    basis = spaces.Fourier(41)
    smooth = spectra.matern(basis, smoothness=2000.0)
    np.testing.assert_allclose(
        smooth[:9], spectra.squared_exponential(basis)[:9], rtol=0.05
    )


@pytest.mark.parametrize(
    "spectrum",
    [
        spectra.squared_exponential,
        lambda basis: spectra.matern(basis, smoothness=300.0),
    ],
)
def test_eigenvalues_stay_positive_however_fast_they_fall(spectrum):
    basis = spaces.Fourier(4001)
    mu = spectrum(basis)
    assert (mu > 0).all()
    assert spaces.GaussianPrior(basis, mu).num_modes == 4001


def test_more_modes_leave_the_first_eigenvalues_alone():
    few, many = spaces.Cosine(8), spaces.Cosine(64)
    np.testing.assert_array_equal(spectra.matern(few), spectra.matern(many)[:8])


def test_power_is_that_of_the_theorems():
    np.testing.assert_allclose(
        spectra.power(4, decay=3.0, scale=2.0), 2 / np.array([1, 8, 27, 64])
    )


def test_on_a_graph_the_squared_exponential_is_the_heat_kernel():
    from scipy.linalg import expm

    adjacency = np.random.default_rng(0).uniform(size=(6, 6))
    adjacency = adjacency + adjacency.T
    np.fill_diagonal(adjacency, 0)
    basis = spaces.GraphLaplacian(adjacency, normalized=False)
    laplacian = np.diag(adjacency.sum(axis=0)) - adjacency
    mu = spectra.squared_exponential(basis, length_scale=0.7, variance=3.0)
    nodes = np.arange(6)
    with jax.enable_x64():
        values = np.asarray(spaces.GaussianPrior(basis, mu).covariance(nodes))
    np.testing.assert_allclose(values, 3 * expm(-(0.7**2) / 2 * laplacian), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: spectra.matern(spaces.Cosine(3), smoothness=0.0), "smoothness"),
        (lambda: spectra.matern(spaces.Cosine(3), length_scale=-1.0), "length_scale"),
        (
            lambda: spectra.squared_exponential(
                spaces.Cosine(3), variance=float("nan")
            ),
            "variance",
        ),
        (lambda: spectra.power(3, decay=1.0), "decay 1"),
        (lambda: spectra.power(0), "num_modes"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with refuses(ValueError, name):
        call()


@pytest.mark.parametrize(
    "basis",
    [spaces.Cosine(40), spaces.TensorProduct([spaces.Cosine(5), spaces.Fourier(5)])],
)
@pytest.mark.slow
def test_traced_parameters_have_the_eigenvalues_of_numbers(basis):
    """In float32, and their slopes in the logarithms."""
    parameters = np.array([1.3, 0.3, 2.0])
    both = [
        (lambda p: spectra.matern(basis, *p), parameters),
        (lambda p: spectra.squared_exponential(basis, *p), parameters[1:]),
    ]
    for spectrum, numbers in both:
        exact = spectrum(numbers)
        assert type(exact) is np.ndarray
        assert exact.dtype == np.float64
        traced = jax.jit(spectrum)(jnp.asarray(numbers, jnp.float32))
        np.testing.assert_allclose(traced, exact, rtol=1e-3)
        logs = lambda u, spectrum=spectrum: jnp.log(spectrum(jnp.exp(u)))[:4]
        slopes = jax.jacfwd(logs)(jnp.log(jnp.asarray(numbers, jnp.float32)))
        for i, shift in enumerate(1e-4 * np.eye(len(numbers))):
            up, down = (
                np.log(spectrum(numbers * np.exp(sign * shift)))[:4] for sign in (1, -1)
            )
            np.testing.assert_allclose(
                slopes[:, i], (up - down) / 2e-4, rtol=1e-2, atol=1e-3
            )
