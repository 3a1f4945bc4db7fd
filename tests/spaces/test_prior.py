"""Gaussian priors: their draws, norms and kernels, and eigenvalues as small as float32 goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import integrators, spaces
from tests.errorbars import assert_mean
from tests.sentences import refuses
from tests.spaces.cases import CASES

BASIS = spaces.Cosine(8)
MU = spaces.spectra.power(8)
PRIOR = spaces.GaussianPrior(BASIS, MU)
INTEGRATORS = [
    integrators.Explicit(),
    integrators.SemiImplicit(),
    integrators.Exponential(),
    integrators.CrankNicolson(),
]


def test_draws_have_the_variance_of_each_mode():
    draws = np.asarray(PRIOR.sample((20_000,), key=jax.random.key(0)), np.float64)
    assert draws.shape == (20_000, 8)
    assert_mean(draws**2, MU, wrong=np.sqrt(MU))
    assert_mean(draws, np.zeros(8))
    assert_mean(draws[:, :-1] * draws[:, 1:], np.zeros(7))


def test_one_draw_is_one_vector():
    assert PRIOR.sample(key=jax.random.key(1)).shape == (8,)


def test_the_norm_is_that_of_cameron_and_martin():
    x = np.random.default_rng(0).normal(size=(3, 8))
    np.testing.assert_allclose(
        PRIOR.norm(jnp.asarray(x, jnp.float32)),
        np.sqrt((x**2 / MU).sum(axis=1)),
        rtol=1e-5,
    )


def test_the_norm_of_a_section_of_the_kernel_is_its_height():
    """|K(., t)|_HK^2 = K(t, t)."""
    points = np.array([0.2, 0.9])
    sections = PRIOR.eigenvalues * BASIS.evaluate(points)
    np.testing.assert_allclose(
        PRIOR.norm(sections) ** 2, PRIOR.variance(points), rtol=1e-5
    )


def test_features_span_the_kernel():
    points, others = np.array([0.1, 0.5, 0.7]), np.array([0.3, 0.4])
    kernel = (np.asarray(BASIS.evaluate(points)) * MU) @ np.asarray(
        BASIS.evaluate(others)
    ).T
    np.testing.assert_allclose(
        PRIOR.features(points, 1.0) @ PRIOR.features(others, 1.0).T, kernel, atol=1e-5
    )
    np.testing.assert_allclose(PRIOR.covariance(points, others), kernel, atol=1e-5)
    np.testing.assert_allclose(
        PRIOR.features(points), BASIS.evaluate(points), atol=1e-6
    )
    np.testing.assert_allclose(
        PRIOR.features(points, 2.0), np.asarray(BASIS.evaluate(points)) * MU, atol=1e-5
    )


def test_the_variance_is_the_diagonal_of_the_covariance():
    points = np.array([0.1, 0.5, 0.7])
    np.testing.assert_allclose(
        PRIOR.variance(points), np.diag(PRIOR.covariance(points)), rtol=1e-5
    )


def test_precision_is_the_ridge_over_the_eigenvalues():
    np.testing.assert_allclose(PRIOR.precision(0.1), 0.1 / MU, rtol=1e-6)


def test_fewer_modes_keep_their_eigenvalues():
    cut = PRIOR.with_modes(3)
    assert (cut.num_modes, cut.basis.num_modes) == (3, 3)
    np.testing.assert_array_equal(cut.eigenvalues, PRIOR.eigenvalues[:3])
    with refuses(ValueError, "8"):
        PRIOR.with_modes(9)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_eigenvalues_that_are_not_variances_are_refused_by_number(bad):
    mu = MU.copy()
    mu[5] = bad
    with refuses(ValueError, f"5 {bad} with_modes"):
        spaces.GaussianPrior(BASIS, mu)


def test_another_number_of_eigenvalues_is_refused():
    with refuses(ValueError, "eigenvalues (8,)"):
        spaces.GaussianPrior(BASIS, MU[:-1])


@pytest.mark.parametrize("name", CASES)
def test_every_basis_carries_a_prior(name):
    basis, _, points = CASES[name]
    prior = spaces.GaussianPrior(basis, spaces.spectra.power(basis.num_modes))
    assert prior.covariance(points).shape == (13, 13)
    assert prior.with_modes(3).sample((2,), key=jax.random.key(0)).shape == (2, 3)


TINY = spaces.GaussianPrior(
    BASIS, np.array([1.0, 1e-3, 1e-12, 1e-30, 1e-38, 1e-100, 1e-300, 5e-324])
)


@pytest.mark.parametrize(
    "integrator", INTEGRATORS, ids=lambda integrator: type(integrator).__name__
)
@pytest.mark.parametrize("step_size", [1e-6, 0.1, 10.0])
def test_gains_are_finite_where_eigenvalues_vanish(integrator, step_size):
    precision = TINY.precision()
    assert precision.dtype == jnp.float32
    for gain in integrator.gains(jnp.float32(step_size), precision):
        assert np.isfinite(gain).all()


def test_draws_norms_and_kernels_are_finite_where_eigenvalues_vanish():
    x = TINY.sample((100,), key=jax.random.key(0))
    for numbers in (
        x,
        TINY.norm(x),
        TINY.covariance(np.array([0.3])),
        TINY.features(np.array([0.3]), 1.0),
    ):
        assert np.isfinite(numbers).all()


@pytest.mark.parametrize(
    "integrator", INTEGRATORS[1:], ids=lambda integrator: type(integrator).__name__
)
def test_a_langevin_run_is_finite_where_eigenvalues_vanish(integrator):
    points = np.linspace(0.05, 0.95, 6)
    data = (BASIS.evaluate(points), jnp.sin(6 * jnp.asarray(points, jnp.float32)))
    problem = langevax.FiniteSum(
        lambda x, row: (row[0] @ x - row[1]) ** 2 / 2,
        data,
        precision=TINY.precision(0.01),
    )
    algorithm = langevax.Langevin(
        step_size=0.1, temperature=0.01, integrator=integrator
    )
    position = langevax.simulate(
        algorithm, problem, jnp.zeros(8), key=jax.random.key(2), num_steps=50
    ).position
    assert np.isfinite(position).all()
    assert np.abs(position[:2]).min() > 1e-6  # what the prior leaves free did move
    assert np.abs(position[3:]).max() < 1e-12
