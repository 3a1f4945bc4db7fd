"""Principal components of curves: against scikit-learn on even grids, and what uneven ones change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from langevax import spaces
from tests.sentences import refuses

RNG = np.random.default_rng(11)
COLORED = np.linspace(2, 0.3, 12) * RNG.normal(size=(60, 12)) + np.arange(12)


@pytest.mark.parametrize(
    "curves", [COLORED, COLORED[:8]], ids=["many curves", "few curves"]
)
def test_on_an_even_grid_it_is_the_pca_of_scikit_learn(curves):
    """Functions are sqrt(G) times their unit vectors, variances 1 / G of theirs; by either matrix of inner products."""
    basis, theirs = spaces.PrincipalComponents(curves), PCA().fit(curves)
    rank = min(len(curves) - 1, 12)
    assert basis.num_modes == rank
    np.testing.assert_allclose(basis.mean, curves.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(
        basis.eigenvalues, theirs.explained_variance_[:rank] / 12, rtol=1e-9
    )
    np.testing.assert_allclose(
        np.abs(basis.matrix),
        np.sqrt(12) * np.abs(theirs.components_[:rank].T),
        atol=1e-8,
    )


@pytest.mark.parametrize("num_curves", [8, 60])
def test_scores_are_uncorrelated_with_the_eigenvalues_as_variances(num_curves):
    curves, grid = COLORED[:num_curves], np.sort(RNG.uniform(size=12))
    basis = spaces.PrincipalComponents(curves, grid, num_modes=5)
    with jax.enable_x64():
        scores = np.asarray(basis.analyze(jnp.asarray(curves - basis.mean)))
    np.testing.assert_allclose(np.cov(scores.T), np.diag(basis.eigenvalues), atol=1e-10)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-12)


def test_all_components_give_the_curves_back():
    basis = spaces.PrincipalComponents(COLORED)
    scores = basis.analyze(jnp.asarray(COLORED - basis.mean, jnp.float32))
    np.testing.assert_allclose(
        basis.mean + basis.synthesize(scores), COLORED, atol=1e-4
    )


def test_the_first_component_of_shifted_curves_is_their_direction():
    """Curves a sin(pi t) on a crowded grid: variance of a, times the mean square 1/2 of the sine over [0, 1]."""
    grid = np.linspace(0, 1, 150) ** 2
    heights = RNG.normal(size=(40, 1))
    basis = spaces.PrincipalComponents(heights * np.sin(np.pi * grid), grid)
    assert basis.num_modes == 1
    np.testing.assert_allclose(basis.eigenvalues, heights.var(ddof=1) / 2, rtol=1e-3)
    component = basis.evaluate(np.array([0.1, 0.5]))[:, 0]
    np.testing.assert_allclose(
        component, np.sqrt(2) * np.sin(np.pi * np.array([0.1, 0.5])), atol=1e-3
    )


def test_between_points_it_is_linear_and_beyond_them_constant():
    basis = spaces.PrincipalComponents(COLORED, np.arange(12.0), num_modes=3)
    component = basis.evaluate(np.array([-5.0, 2.25, 40.0]))
    expected = [
        basis.matrix[0],
        0.75 * basis.matrix[2] + 0.25 * basis.matrix[3],
        basis.matrix[-1],
    ]
    np.testing.assert_allclose(component, expected, atol=1e-6)


def test_weights_of_the_grid_replace_the_trapezoidal_rule():
    grid, weights = np.sort(RNG.uniform(size=12)), np.full(12, 2.0)
    weighted = spaces.PrincipalComponents(COLORED, grid, weights=weights)
    np.testing.assert_allclose(
        weighted.eigenvalues, spaces.PrincipalComponents(COLORED).eigenvalues
    )
    np.testing.assert_array_equal(weighted.grid, grid)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"curves": np.ones(5)}, "curves"),
        ({"curves": np.ones((1, 5))}, "curves"),
        ({"curves": np.ones((3, 12))}, "curves"),
        ({"curves": np.where(np.eye(12), np.nan, 1.0)}, "curves[0 0 nan"),
        ({"grid": np.arange(11.0)}, "grid (12,)"),
        ({"grid": np.ones(12)}, "grid"),
        ({"num_modes": 13}, "num_modes 13"),
        ({"num_modes": 0}, "num_modes"),
        ({"weights": np.ones(3)}, "weights"),
    ],
)
def test_bad_arguments_are_named(arguments, facts):
    with refuses(ValueError, facts):
        spaces.PrincipalComponents(**{"curves": COLORED, **arguments})
