"""Steps of each coordinate: the formula, and what they are for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import MeanFieldRisk, losses, neurons, simulate
from langevax.meanfield import MFLD
from langevax.meanfield.mfld import coordinate_steps
from langevax.theory.mean_field import linear_optimum

RIDGE, TEMPERATURE = 0.005, 0.01


def table():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 3)) * [1.0, 0.3, 0.05]
    return np.float32(inputs), np.float32(inputs @ [1.0, -2.0, 5.0])


def test_a_step_is_the_inverse_of_curvature_and_precision():
    inputs, targets = table()
    weights = np.linspace(0.5, 1.5, 40)
    risk = MeanFieldRisk(
        neurons.TanhTanh(3.0), losses.logistic, inputs, np.sign(targets), 0.2, weights
    )
    moments = np.average(inputs.astype(float) ** 2, axis=0, weights=weights)
    expected = 1.5 / (0.25 * 9 * np.concatenate([[1.0], moments, [1.0]]) + 0.2)
    np.testing.assert_allclose(coordinate_steps(risk, 1.5), expected, rtol=1e-5)


@pytest.mark.slow
def test_narrow_directions_arrive_as_fast_as_wide_ones():
    """Linear neurons, whose optimum is known: 60 steps at one pace per coordinate get all of it, at one pace for all
    half of the narrow direction is missing."""
    inputs, targets = table()
    _, vectors = np.linalg.eigh(inputs.T @ inputs)
    inputs = np.float32(inputs @ vectors)
    risk = MeanFieldRisk(
        neurons.Linear(), losses.squared, inputs, targets, precision=2 * RIDGE
    )
    steps = coordinate_steps(risk, 1.0)
    optimum = linear_optimum(
        inputs.astype(float), targets.astype(float), RIDGE, TEMPERATURE
    )[0]
    errors = []
    for step_size in (steps, jnp.min(steps)):
        mfld = MFLD(step_size, TEMPERATURE)
        end = simulate(
            mfld,
            risk,
            risk.prior(TEMPERATURE, 4000),
            key=jax.random.key(0),
            num_steps=60,
        )
        errors.append(np.abs(np.asarray(end.position).mean(0) / optimum - 1).max())
    assert errors[0] < 0.1
    assert errors[1] > 0.4
