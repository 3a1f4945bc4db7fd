"""The transcript of N-ULA against integrals, closed forms and an integrated equation."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import solve_discrete_lyapunov

from langevax.theory.mean_field import linear_optimum
from tests.papers import tiny
from tests.papers.transcripts_underdamped import n_ula, noise_covariance

FRICTION, TEMPERATURE, RIDGE = 0.7, 0.3, 0.25
LINEAR = (lambda particle, x: particle @ x, lambda particle, x: x, lambda z, y: z - y)


@pytest.mark.parametrize("step_size", [0.1, 0.8, 3.0])
def test_noise_covariance_is_the_integral_of_the_flows_response(step_size):
    """A kick of dW at time s before the end has (1 - e^{-friction s}) / friction in x, e^{-friction s} in v."""
    in_x = lambda s: (1 - np.exp(-FRICTION * s)) / FRICTION
    in_v = lambda s: np.exp(-FRICTION * s)
    covariance = noise_covariance(step_size, FRICTION, TEMPERATURE)
    for (a, b), entry in np.ndenumerate(np.array([[in_x, in_x], [in_v, in_v]], object)):
        other = (in_x, in_v)[b]
        integral = quad(
            lambda s: 2 * FRICTION * TEMPERATURE * entry(s) * other(s),  # noqa: B023
            0,
            step_size,
        )[0]
        assert covariance[a, b] == pytest.approx(integral, rel=1e-9)


def test_noises_have_that_covariance():
    """From rest without force, the noise is the whole step."""
    still = (
        lambda particle, x: 0.0,
        lambda particle, x: 0 * particle,
        lambda z, y: 0.0,
    )
    zero = np.zeros((2, 1))
    maps = []
    for first, second in ((1.0, 0.0), (0.0, 1.0)):
        noise = np.stack([np.full((2, 1), first), np.full((2, 1), second)])[None]
        x, v = n_ula(
            *still,
            np.zeros((1, 1)),
            np.zeros(1),
            zero,
            zero,
            0.8,
            FRICTION,
            0.0,
            TEMPERATURE,
            noise,
        )
        maps.append([x[1, 0, 0], v[1, 0, 0]])
    matrix = np.array(maps).T
    np.testing.assert_allclose(
        matrix @ matrix.T,
        noise_covariance(0.8, FRICTION, TEMPERATURE),
        rtol=0,
        atol=1e-14,
    )


def test_step_without_noise_is_the_flow_under_the_forces_of_its_start():
    """Against fine midpoint steps of x' = v, v' = -friction v - force, the force of the tanh cloud frozen."""
    rng = np.random.default_rng(0)
    x, v, step_size = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), 0.6
    targets = tiny.TARGETS["squared"]
    arguments = (
        tiny.neuron,
        tiny.neuron_gradient,
        tiny.derivative("squared"),
        tiny.INPUTS,
        targets,
    )
    noise = np.zeros((1, 2, 4, 2))
    positions, velocities = n_ula(
        *arguments, x, v, step_size, FRICTION, RIDGE, TEMPERATURE, noise
    )

    activations = np.tanh(x[:, :1] * tiny.INPUTS + x[:, 1:])
    dual = 3 * activations.mean(axis=0) - targets
    slopes = 3 * (1 - activations**2) * dual / 8
    force = np.stack([slopes @ tiny.INPUTS, slopes.sum(axis=1)], axis=1) + 2 * RIDGE * x
    h = step_size / 4000
    for _ in range(4000):
        middle = v + h / 2 * (-FRICTION * v - force)
        x, v = x + h * middle, v + h * (-FRICTION * middle - force)
    np.testing.assert_allclose(positions[1], x, rtol=0, atol=1e-7)
    np.testing.assert_allclose(velocities[1], v, rtol=0, atol=1e-7)


def test_without_noise_it_rests_at_the_linear_optimum():
    rng = np.random.default_rng(1)
    inputs, targets = rng.normal(size=(6, 2)), rng.normal(size=6)
    cloud = np.tile(linear_optimum(inputs, targets, RIDGE, TEMPERATURE).mean, (3, 1))
    noises = np.zeros((2, 2, 3, 2))
    x, v = n_ula(
        *LINEAR,
        inputs,
        targets,
        cloud,
        0 * cloud,
        0.5,
        FRICTION,
        RIDGE,
        TEMPERATURE,
        noises,
    )
    np.testing.assert_allclose(x, np.tile(cloud, (3, 1, 1)), atol=1e-14)
    np.testing.assert_allclose(v, 0, atol=1e-14)


def stationary(step_size, friction):
    """Covariance of (x, v) at the end, for the force 2 ridge x: the step's matrix is read off by linearity."""
    still = (
        lambda particle, x: 0.0,
        lambda particle, x: 0 * particle,
        lambda z, y: 0.0,
        np.zeros((1, 1)),
        np.zeros(1),
    )
    columns = []
    for x, v in ((1.0, 0.0), (0.0, 1.0)):
        start, noise = (np.full((1, 1), x), np.full((1, 1), v)), np.zeros((1, 2, 1, 1))
        xs, vs = n_ula(*still, *start, step_size, friction, RIDGE, TEMPERATURE, noise)
        columns.append([xs[1, 0, 0], vs[1, 0, 0]])
    return solve_discrete_lyapunov(
        np.array(columns).T, noise_covariance(step_size, friction, TEMPERATURE)
    )


def test_stationary_law_is_the_gibbs_law_up_to_the_first_order_of_the_step():
    """q* x N(0, temperature), off by a part proportional to the step."""
    exact = np.diag([TEMPERATURE / (2 * RIDGE), TEMPERATURE])
    errors = [np.abs(stationary(h, FRICTION) - exact).max() for h in (0.04, 0.02, 0.01)]
    assert errors[0] < 0.03 * TEMPERATURE
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.05)
