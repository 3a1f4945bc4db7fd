"""The transcript on a grid meets published and measured figures to their digits."""

from math import lgamma

import numpy as np

from tests.predictive_law.grids import GALAXIES, cooled, solve


def test_galaxies_at_four_temperatures():
    rows, grid = GALAXIES / 1000, np.linspace(-10, 50, 481)[:, None]
    log_p = -((rows - grid) ** 2) / 2 - np.log(2 * np.pi) / 2
    log_prior = -(((grid[:, 0] - 20) / 10) ** 2) / 2
    laws = cooled(log_p, log_prior, (10, 3, 1, 0.3))
    np.testing.assert_allclose(
        [law.value / 82 for law in laws],
        [2.601518, 2.500500, 2.460359, 2.441852],
        atol=6e-7,
    )
    np.testing.assert_allclose(
        [law.fit for law in laws], [-2.4780, -2.4474, -2.4367, -2.4327], atol=6e-5
    )
    assert max(abs(law.gap) for law in laws) < 1e-9
    np.testing.assert_allclose(solve(log_p, log_prior, 1.0).fit, -11.088, atol=6e-4)


def test_a_weak_entropy_is_the_maximum_likelihood_mixture_of_accidents():
    """Simar, Annals of Statistics 1976: accidents of 9,461 policies, 0 to 7 each."""
    counts, grid = (
        np.array([7840, 1317, 239, 42, 14, 4, 4, 1.0]),
        np.linspace(0, 6, 601),
    )
    accidents = np.arange(8)
    log_p = accidents * np.log(np.maximum(grid, 1e-300))[:, None] - grid[:, None]
    log_p = np.where(accidents == 0, -grid[:, None], log_p) - [
        lgamma(k + 1) for k in accidents
    ]
    law = cooled(
        log_p,
        np.zeros(601),
        np.geomspace(3e4, 1e-3, 71)[1:],
        counts,
        start=3e4,
        ratio=np.inf,
    )[-1]
    np.testing.assert_allclose(law.fit * counts.sum(), -5340.704, atol=1e-3)
    groups = [
        law.weights * ((grid >= low) & (grid < high))
        for low, high in ((0, 0.15), (0.15, 1.5), (1.5, 7))
    ]
    masses = np.array([group.sum() for group in groups])
    np.testing.assert_allclose(masses, [0.415, 0.577, 0.0084], atol=6e-4)
    np.testing.assert_allclose(
        [group @ grid for group in groups] / masses, [0.0014, 0.333, 2.567], atol=6e-4
    )
