"""Best ridges and steps against fine grids of risks."""

import numpy as np
import pytest

from langevax.theory.feature_learning import (
    errors_one_step,
    optimal_ridge,
    optimal_step_size,
)


@pytest.mark.slow
def test_no_ridge_near_the_best_is_better():
    """Among them is the peak of samples as many as neurons, which the best ridge takes away."""
    ratios = np.array([0.5, 2.0, 8.0])[:, None]
    best = optimal_ridge(ratios, 2.0, 1.0, "erf", "tanh", 0.3)
    assert best.at.shape == (3, 1)
    near = errors_one_step(
        ratios,
        2.0,
        best.at * np.array([0.99, 0.999, 1.001, 1.01]),
        1.0,
        "erf",
        "tanh",
        0.3,
    ).risk
    far = errors_one_step(
        ratios, 2.0, np.geomspace(1e-6, 1e3, 500), 1.0, "erf", "tanh", 0.3
    ).risk
    assert np.all(near > best.risk)
    assert np.all(far >= best.risk)
    assert np.all(np.diff(best.risk, axis=0) < 0)


@pytest.mark.slow
def test_no_step_and_ridge_near_the_best_of_the_long_steps_is_better():
    setting = {"num_neurons": 1000, "readout": "constant"}
    ridge = optimal_ridge(8.0, 2.0, 60.0, "erf", "erf", 0.1, **setting)
    step = optimal_step_size(8.0, 2.0, 0.01, "erf", "erf", 0.1, **setting)
    factors = np.array([0.97, 1.0, 1.03])
    by_ridge = errors_one_step(
        8.0, 2.0, ridge.at * factors, 60.0, "erf", "erf", 0.1, **setting
    ).risk
    by_step = errors_one_step(
        8.0, 2.0, 0.01, step.at * factors, "erf", "erf", 0.1, **setting
    ).risk
    for best, risks in ((ridge, by_ridge), (step, by_step)):
        assert risks[1] == pytest.approx(best.risk, rel=1e-9)
        assert min(risks[0], risks[2]) > best.risk


def test_a_range_that_ends_too_early_gives_its_end():
    best = optimal_ridge(
        np.array([0.5, 2.0, 8.0]), 2.0, 1.0, "erf", "erf", 0.1, bounds=(1e-8, 1e-3)
    )
    np.testing.assert_allclose(best.at, 1e-3, rtol=1e-6)
