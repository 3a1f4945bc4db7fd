"""Bases on the nodes of a mesh: closed forms on an interval, dense decompositions, laws of a user's own modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

import langevax
from langevax import spaces
from tests.sentences import refuses
from tests.spaces.cases import MASS, MODES, STIFFNESS, aligned, elements

RNG = np.random.default_rng(3)


def mesh_of_square(n):
    """(stiffness, mass) of products of linear elements on a square of side 1."""
    k, m = elements(n, 1.0)
    return sp.kron(k, m) + sp.kron(m, k), sp.kron(m, m)


def test_linear_elements_have_the_eigenvalues_of_the_formula():
    basis = spaces.FiniteElements(stiffness=STIFFNESS, mass=MASS, dim=1)
    h, waves = 3 / 20, np.pi * np.arange(21) / 20
    np.testing.assert_allclose(
        basis.frequencies**2,
        6 / h**2 * (1 - np.cos(waves)) / (2 + np.cos(waves)),
        atol=1e-10,
    )
    assert (basis.dim, basis.volume) == (1, pytest.approx(3.0))
    np.testing.assert_allclose(basis.weights.sum(), 1)


@pytest.mark.parametrize(
    "form", [sp.csr_array, sp.coo_matrix, lambda matrix: matrix.toarray()]
)
def test_a_mesh_has_the_dense_decomposition(form):
    stiffness, mass = mesh_of_square(8)
    basis = spaces.FiniteElements(
        stiffness=form(stiffness), mass=form(mass), dim=2, num_modes=12
    )
    values, vectors = scipy.linalg.eigh(stiffness.toarray(), mass.toarray())
    np.testing.assert_allclose(basis.frequencies**2, values[:12], atol=1e-10)
    covariances = [
        (f * np.exp(-basis.frequencies[:11])) @ f.T
        for f in (basis.matrix[:, :11], vectors[:, :11])
    ]
    np.testing.assert_allclose(
        *covariances, atol=1e-10
    )  # whatever the rotation among equal eigenvalues


def test_a_large_mesh_agrees_with_the_dense_decomposition():
    stiffness, mass = mesh_of_square(39)  # 1,600 nodes
    basis = spaces.FiniteElements(stiffness=stiffness, mass=mass, dim=2, num_modes=11)
    again = spaces.FiniteElements(stiffness=stiffness, mass=mass, dim=2, num_modes=11)
    np.testing.assert_array_equal(basis.matrix, again.matrix)
    values = basis.frequencies**2
    np.testing.assert_allclose(
        stiffness @ basis.matrix, mass @ basis.matrix * values, atol=1e-8
    )
    np.testing.assert_allclose(
        basis.matrix.T @ (mass @ basis.matrix), np.eye(11), atol=1e-10
    )
    pairs = np.pi**2 * np.sort([i**2 + j**2 for i in range(5) for j in range(5)])[:11]
    np.testing.assert_allclose(values, pairs, rtol=0.01, atol=1e-8)  # none is left out


@pytest.mark.parametrize("lumped", [False, True])
def test_the_whittle_matern_law_has_the_covariance_of_the_formula(lumped):
    """`(1 + r) exp(-r)`, r = sqrt(3) distance / length scale, in the middle of an interval of 20 length scales."""
    stiffness, mass = elements(400, 4.0)
    mass = np.asarray(mass.sum(axis=0)) if lumped else mass
    basis = spaces.FiniteElements(stiffness=stiffness, mass=mass, dim=1)
    prior = spaces.GaussianPrior(
        basis,
        spaces.spectra.matern(basis, smoothness=1.5, length_scale=0.2, variance=2.0),
    )
    near = np.arange(140, 261)
    r = np.sqrt(3) * np.abs(near - 200) * 0.01 / 0.2
    np.testing.assert_allclose(
        prior.covariance(np.array([200]), near)[0], 2 * (1 + r) * np.exp(-r), atol=0.01
    )


def test_nodes_that_are_left_out_are_zero():
    stiffness, mass = (matrix.tocsr()[1:-1, 1:-1] for matrix in elements(60, 1.0))
    basis = spaces.FiniteElements(stiffness=stiffness, mass=mass, dim=1, num_modes=4)
    sine = spaces.Sine(4, 59)
    np.testing.assert_allclose(basis.frequencies, sine.frequencies, rtol=0.01)
    expected = np.asarray(sine.evaluate(sine.grid))
    np.testing.assert_allclose(aligned(basis.matrix, expected), expected, atol=0.02)


def test_a_matrix_has_the_law_of_its_columns_with_normal_coefficients():
    basis = spaces.MatrixBasis(MODES, MASS)
    nodes, mu = np.arange(21), RNG.uniform(0.5, 2.0, 9)
    prior = spaces.GaussianPrior(basis, basis.eigenvalues)
    np.testing.assert_allclose(prior.covariance(nodes), MODES @ MODES.T, atol=1e-4)
    prior = spaces.GaussianPrior(basis, mu * basis.eigenvalues)
    np.testing.assert_allclose(prior.covariance(nodes), MODES * mu @ MODES.T, atol=1e-4)


@pytest.mark.parametrize("mass", [None, np.arange(1.0, 22.0), MASS.toarray(), MASS])
def test_coefficients_are_those_of_the_inner_product(mass):
    dense = (
        np.eye(21)
        if mass is None
        else np.diag(mass)
        if np.ndim(mass) == 1
        else MASS.toarray()
    )
    modes = scipy.linalg.eigh(scipy.linalg.hilbert(21), dense)[1][:, -6:] * RNG.uniform(
        1, 2, 6
    )
    basis = spaces.MatrixBasis(modes, mass)
    np.testing.assert_allclose(
        basis.eigenvalues, np.diag(modes.T @ dense @ modes) / dense.sum()
    )
    field = RNG.normal(size=21)
    nearest = modes @ np.linalg.solve(modes.T @ dense @ modes, modes.T @ dense @ field)
    np.testing.assert_allclose(
        basis.synthesize(basis.analyze(jnp.asarray(field, jnp.float32))),
        nearest,
        atol=1e-5,
    )


@pytest.mark.slow
def test_an_unknown_on_a_mesh_is_drawn_from_its_posterior():
    """Three values of a field, against the normal posterior."""
    basis = spaces.FiniteElements(stiffness=STIFFNESS, mass=MASS, dim=1, num_modes=9)
    prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=1.0))
    seen, data = np.array([2, 9, 17]), np.array([1.0, -0.5, 0.3])
    target = langevax.inverse_problem(
        lambda field: np.asarray(field)[seen], data, 0.1, prior
    )
    draws = langevax.sample(target, key=jax.random.key(0), num_samples=500)
    mean = basis.synthesize(spaces.regress(prior, seen, data, 0.1))
    assert draws.method == "exact"
    assert target.functions(draws.positions).shape == (4, 500, 21)
    np.testing.assert_allclose(
        target.functions(draws.positions).mean((0, 1)), mean, atol=0.1
    )


SWAPPED = {"stiffness": MASS, "mass": STIFFNESS}


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (
            SWAPPED,
            "mass",
        ),
        (
            {"mass": MASS - 0.9 * sp.diags_array(MASS.diagonal())},
            "mass",
        ),
        (
            {"stiffness": -STIFFNESS},
            "stiffness",
        ),
        (
            {"stiffness": sp.triu(STIFFNESS)},
            "stiffness",
        ),
        ({"stiffness": STIFFNESS * np.inf}, "stiffness"),
        (
            {"stiffness": np.ones((2, 3))},
            "stiffness (2, 3)",
        ),
        ({"mass": np.eye(3)}, "mass (21, 21) (3, 3)"),
        ({"mass": np.ones(3)}, "mass 21 0"),
        ({"mass": -np.ones(21)}, "mass 21 0"),
        ({"num_modes": 22}, "num_modes 22 21"),
        ({"dim": 0}, "dim 1"),
    ],
)
def test_mistakes_in_a_mesh_are_named(options, facts):
    with np.errstate(invalid="ignore"), refuses(ValueError, facts):
        spaces.FiniteElements(
            **({"stiffness": STIFFNESS, "mass": MASS, "dim": 1} | options)
        )


def test_a_large_mesh_needs_a_number_of_modes_and_a_positive_mass():
    stiffness, mass = elements(1600, 1.0)
    with refuses(ValueError, "num_modes 1601"):
        spaces.FiniteElements(stiffness=stiffness, mass=mass, dim=1)
    indefinite = mass - 0.9 * sp.diags_array(mass.diagonal())
    with refuses(ValueError, "mass"):
        spaces.FiniteElements(stiffness=stiffness, mass=indefinite, dim=1, num_modes=5)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (
            (np.ones(3),),
            "matrix (3,)",
        ),
        ((np.ones((2, 3)),), "matrix"),
        ((np.eye(3) * np.nan,), "matrix"),
        (
            (np.eye(3)[:, :2] * [1.0, 0.0],),
            "1 0",
        ),
        (
            (np.eye(4)[:, :3] + 0.1 * np.eye(4, 3, -2),),
            "0 2 0.1",
        ),
        ((np.eye(3), np.ones((3, 2))), "mass (3, 3)"),
    ],
)
def test_mistakes_in_a_matrix_are_named(arguments, facts):
    with refuses(ValueError, facts):
        spaces.MatrixBasis(*arguments)


@pytest.mark.slow
def test_matrices_of_scikit_fem_are_understood():
    skfem = pytest.importorskip("skfem")
    from skfem.models.poisson import laplace, mass

    mesh = skfem.MeshTri().refined(4)  # of the unit square
    whole = skfem.Basis(mesh, skfem.ElementTriP2())
    stiffness, inner = laplace.assemble(whole), mass.assemble(whole)
    basis = spaces.FiniteElements(stiffness=stiffness, mass=inner, dim=2, num_modes=8)
    np.testing.assert_allclose(
        basis.frequencies**2 / np.pi**2, [0, 1, 1, 2, 4, 4, 5, 5], atol=1e-3
    )
    assert basis.volume == pytest.approx(1)
    free = whole.complement_dofs(whole.get_dofs())
    held = [matrix[free][:, free] for matrix in (stiffness, inner)]
    fixed = spaces.FiniteElements(stiffness=held[0], mass=held[1], dim=2, num_modes=3)
    np.testing.assert_allclose(fixed.frequencies**2 / np.pi**2, [2, 5, 5], rtol=1e-3)
    prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.5))
    assert prior.basis.synthesize(prior.sample(key=jax.random.key(0))).shape == (
        whole.N,
    )
