"""Eigenbases of kernels: the kernel they sum up to, the integral operator they solve, what they refuse."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from langevax import spaces
from tests.sentences import refuses

RNG = np.random.default_rng(3)
POINTS, NEW = RNG.normal(size=(40, 2)), RNG.normal(size=(7, 2))
KERNELS = {
    "matern": Matern(length_scale=0.8, nu=1.5),
    "rbf": RBF(0.7),
    "anisotropic": ConstantKernel(2.0) * Matern(length_scale=[1.0, 0.5], nu=0.5),
    "function": lambda X, Z: np.exp(-np.abs(X[:, None] - Z).sum(axis=-1)),
    "jax": lambda X, Z: jnp.exp(-jnp.abs(X[:, None] - Z).sum(axis=-1)),
}


@pytest.mark.parametrize(
    "weights", [None, RNG.uniform(0.5, 3, 40)], ids=["equal", "weighted"]
)
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_all_modes_sum_up_to_the_kernel(kernel, weights):
    basis = spaces.KernelEigenbasis(kernel, POINTS, weights=weights)
    with jax.enable_x64():
        prior = spaces.GaussianPrior(basis, basis.eigenvalues)
        np.testing.assert_allclose(
            prior.covariance(POINTS), kernel(POINTS, POINTS), atol=1e-6
        )
        np.testing.assert_allclose(
            prior.covariance(POINTS, NEW), kernel(POINTS, NEW), atol=1e-6
        )


def test_functions_elsewhere_are_the_projection_of_the_kernel():
    """sum_k mu_k f_k(x) f_k(x') = K(x, X) K^+ K(X, x') at new points (Nystrom), with all modes."""
    kernel = KERNELS["matern"]
    basis = spaces.KernelEigenbasis(kernel, POINTS)
    across = kernel(NEW, POINTS)
    with jax.enable_x64():
        covariance = spaces.GaussianPrior(basis, basis.eigenvalues).covariance(NEW)
    np.testing.assert_allclose(
        covariance, across @ np.linalg.solve(kernel(POINTS), across.T), atol=1e-8
    )


def test_eigenvalues_are_those_of_kernel_pca():
    """scikit-learn centres the kernel, so it gets a centred one; its eigenvalues are n times ours."""
    X = POINTS - POINTS.mean(axis=0)
    basis = spaces.KernelEigenbasis(lambda a, b: a @ b.T, X)
    assert basis.num_modes == 2  # a linear kernel on the plane has no third
    theirs = KernelPCA(2, kernel="linear").fit(X)
    np.testing.assert_allclose(basis.eigenvalues, theirs.eigenvalues_ / 40, rtol=1e-10)
    scores = basis.matrix * np.sqrt(basis.eigenvalues)
    np.testing.assert_allclose(np.abs(scores), np.abs(theirs.transform(X)), atol=1e-10)


def test_eigenvalues_of_brownian_motion():
    """mu_k = 1 / (pi (k + 1/2))^2, f_k = sqrt(2) sin(pi (k + 1/2) t); points of shape (n,)."""
    t = (np.arange(150) + 0.5) / 150
    basis = spaces.KernelEigenbasis(lambda X, Z: np.minimum(X, Z.T), t, num_modes=5)
    frequencies = np.pi * (np.arange(5) + 0.5)
    np.testing.assert_allclose(basis.eigenvalues, 1 / frequencies**2, rtol=1e-3)
    t = np.array([0.123, 0.77])
    expected = np.sqrt(2) * np.sin(frequencies * t[:, None])
    np.testing.assert_allclose(np.abs(basis.evaluate(t)), np.abs(expected), atol=2e-3)


def test_few_modes_are_the_first_of_all():
    few, every = (
        spaces.KernelEigenbasis(KERNELS["matern"], POINTS, n) for n in (6, None)
    )
    np.testing.assert_allclose(few.eigenvalues, every.eigenvalues[:6], rtol=1e-10)
    np.testing.assert_allclose(few.matrix, every.matrix[:, :6], atol=1e-8)
    assert few.eigenvalues.dtype == np.float64
    assert (np.diff(few.eigenvalues) <= 0).all()
    np.testing.assert_array_equal(
        every.with_modes(6).eigenvalues, every.eigenvalues[:6]
    )


def test_weights_count_points_many_times():
    counts = np.random.default_rng(5).integers(1, 4, 40)
    weighted = spaces.KernelEigenbasis(KERNELS["matern"], POINTS, 5, weights=counts)
    repeated = spaces.KernelEigenbasis(
        KERNELS["matern"], np.repeat(POINTS, counts, axis=0), 5
    )
    np.testing.assert_allclose(weighted.eigenvalues, repeated.eigenvalues, rtol=1e-8)
    np.testing.assert_allclose(
        weighted.evaluate(NEW), repeated.evaluate(NEW), atol=1e-5
    )


def test_modes_below_rounding_are_dropped():
    smooth = RBF(3.0)
    basis = spaces.KernelEigenbasis(smooth, POINTS)
    assert 10 < basis.num_modes < 40
    assert np.isfinite(basis.evaluate(NEW)).all()
    with jax.enable_x64():
        np.testing.assert_allclose(basis.evaluate(POINTS), basis.matrix, atol=0.05)
    with refuses(ValueError, f"num_modes 40 {basis.num_modes}"):
        spaces.KernelEigenbasis(smooth, POINTS, 40)


def test_a_kernel_in_float32_drops_more():
    def rounded(X, Z):
        return RBF(0.7)(X, Z).astype(np.float32)

    few, many = (
        spaces.KernelEigenbasis(rounded, POINTS),
        spaces.KernelEigenbasis(RBF(0.7), POINTS),
    )
    assert few.num_modes < many.num_modes
    assert few.eigenvalues.min() > 1e-5 * few.eigenvalues[0]


def test_equal_bases_share_a_program():
    traces = []

    @eqx.filter_jit
    def synthesize(prior, x):
        traces.append(prior)
        return prior.basis.synthesize(x)

    def prior(kernel):
        basis = spaces.KernelEigenbasis(kernel, POINTS, 4)
        return spaces.GaussianPrior(basis, basis.eigenvalues)

    for length in (0.5, 0.5, 0.7):
        synthesize(prior(Matern(length_scale=length, nu=1.5)), jnp.ones(4))
    assert len(traces) == 2


def test_inside_a_program_it_is_not_evaluated():
    basis = spaces.KernelEigenbasis(KERNELS["matern"], POINTS, 4)
    with refuses(ValueError):
        jax.jit(lambda points: basis.evaluate(points))(jnp.asarray(NEW, jnp.float32))
    with refuses(ValueError):
        eqx.filter_jit(lambda basis: basis.evaluate(NEW))(basis)


@pytest.mark.parametrize(
    ("kernel", "facts"),
    [
        (lambda X, Z: X[:, :1] + 0 * Z[:, 1], ""),
        (lambda X, Z: np.full((len(X), len(Z)), np.nan), "kernel nan"),
        (lambda X, Z: np.ones(len(X)), "(40, 40)"),
        (lambda X, Z: -RBF()(X, Z), ""),
        (lambda X, Z: np.tanh(X @ Z.T - 5), ""),
        (lambda X, Z: np.zeros((len(X), len(Z))), ""),
    ],
)
def test_matrices_that_are_not_covariances_are_refused(kernel, facts):
    with refuses(ValueError, facts):
        spaces.KernelEigenbasis(kernel, POINTS)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"points": np.ones((2, 2, 2))}, "points"),
        ({"points": np.ones((0, 2))}, "points"),
        ({"points": np.array([[0.0, np.nan]])}, "points nan"),
        ({"weights": np.ones(3)}, "weights (40,)"),
        ({"weights": np.eye(40)[0]}, "weights 0 1"),
        ({"num_modes": 0}, "num_modes 1"),
        ({"kernel": "rbf"}, "kernel"),
    ],
)
def test_bad_arguments_are_named(arguments, facts):
    with refuses((ValueError, TypeError), facts):
        spaces.KernelEigenbasis(**{"kernel": RBF(), "points": POINTS, **arguments})


def test_points_of_another_number_of_variables_are_refused():
    basis = spaces.KernelEigenbasis(RBF(), POINTS, 3)
    with refuses(ValueError, "points 2"):
        basis.evaluate(np.ones((4, 3)))
