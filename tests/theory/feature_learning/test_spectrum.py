"""The outlier of a trained first layer against sampled spikes."""

import numpy as np
import pytest
from scipy.special import erf

from langevax.theory.feature_learning import (
    bulk_density,
    hermite_coefficients,
    spectrum_one_step,
)
from tests.sentences import refuses

D, N, RATIO, NOISE, DRAWS = 300, 450, 3.0, 0.5, 24


@pytest.fixture(scope="module")
def sampled():
    """Largest singular values, squared cosines of their vectors with the teacher, and all other singular values."""
    rng, linear = np.random.default_rng(0), hermite_coefficients("tanh").linear
    outliers, cosines, bulks = [], [], []
    for _ in range(DRAWS):
        x = rng.normal(size=(int(RATIO * D), D))
        y = erf(x[:, 0]) + NOISE * rng.normal(size=len(x))
        w = rng.normal(size=(D, N)) / D**0.5
        a = rng.normal(size=N)
        spiked = w + 4.0 * linear * np.outer(x.T @ y / len(x), a / np.linalg.norm(a))
        left, values, _ = np.linalg.svd(spiked, full_matrices=False)
        outliers.append(values[0])
        cosines.append(left[0, 0] ** 2)
        bulks.append(values[1:])
    return np.array(outliers), np.array(cosines), np.concatenate(bulks)


@pytest.mark.slow
def test_outlier_and_alignment_are_those_of_samples(sampled):
    theory = spectrum_one_step(N / D, 4.0, "tanh", "erf", NOISE, RATIO)
    for draws, expected, slack in (
        (sampled[0], theory.outlier, 0.015),
        (sampled[1], theory.alignment, 0.015),
    ):
        error = draws.std(ddof=1) / DRAWS**0.5
        assert abs(draws.mean() - expected) < 3 * error + slack
        assert error < slack


def test_the_bulk_is_where_its_edges_and_density_say(sampled):
    theory = spectrum_one_step(N / D, 4.0, "tanh", "erf", NOISE, RATIO)
    assert abs(sampled[2].max() - theory.upper_edge) < 0.03
    assert abs(sampled[2].min() - theory.lower_edge) < 0.03
    grid = np.linspace(theory.lower_edge, theory.upper_edge, 2001)
    mean = np.trapezoid(grid * bulk_density(grid, N / D), grid)
    assert sampled[2].mean() == pytest.approx(mean, abs=0.01)
    narrow = np.linspace(0, 3, 3001)
    assert np.trapezoid(bulk_density(narrow, 0.5), narrow) == pytest.approx(1, abs=1e-3)


def test_a_step_too_small_leaves_nothing_outside():
    theory = spectrum_one_step(2.0, 1.0, "erf", "erf", 0.1, 8.0)
    assert np.isnan(theory.outlier)
    assert theory.alignment == 0
    with refuses(ValueError, "gradient_samples_per_dim"):
        spectrum_one_step(2.0, 1.0, "erf", "erf", 0.1, 0.0)
