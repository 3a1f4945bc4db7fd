"""The closed forms of linear neurons against duality, quadrature, direct iteration and simulated clouds."""

import numpy as np
import pytest

from grid_laws import quadrature_weights
from langevax.theory.mean_field import (
    finite_particle_gap_bound,
    linear_log_partition,
    linear_optimum,
)
from propagation_of_chaos import finite_particle_gap, linear_cloud_variance
from tests.gaussian_laws import kl_gaussian_diagonal, linear_flow
from tests.papers import transcripts
from tests.sentences import refuses
from tests.theory.grids import proximal_gibbs_on_grid

RIDGE, TEMPERATURE = 0.2, 0.3


@pytest.fixture
def regression():
    """Seven rows in four dimensions of which they span three, so that one eigenvalue of S is 0."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 3)) @ rng.normal(size=(3, 4)), rng.normal(size=7)


def objective(inputs, targets, mean, covariance):
    """P of a Gaussian law, with E log q."""
    d = len(mean)
    risk = np.mean((inputs @ mean - targets) ** 2) / 2 + RIDGE * (
        mean @ mean + np.trace(covariance)
    )
    return (
        risk
        - TEMPERATURE
        * (d * np.log(2 * np.pi * np.e) + np.linalg.slogdet(covariance)[1])
        / 2
    )


def test_linear_objective_is_that_of_its_own_law(regression):
    optimum = linear_optimum(*regression, RIDGE, TEMPERATURE)
    covariance = optimum.variance * np.eye(4)
    assert optimum.objective == pytest.approx(
        objective(*regression, optimum.mean, covariance), rel=1e-13
    )
    prior = np.zeros(4), TEMPERATURE / (2 * RIDGE)
    risk = np.mean((optimum.outputs - regression[1]) ** 2) / 2
    kl_form = risk + TEMPERATURE * kl_gaussian_diagonal(
        optimum.mean, optimum.variance, *prior
    )
    assert optimum.kl_objective == pytest.approx(kl_form, rel=1e-13)


def test_no_gaussian_law_is_better_than_the_linear_optimum(regression):
    optimum = linear_optimum(*regression, RIDGE, TEMPERATURE)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1):
        for _ in range(50):
            root = np.sqrt(optimum.variance) * (
                np.eye(4) + size * rng.normal(size=(4, 4))
            )
            mean = optimum.mean + size * rng.normal(size=4)
            assert objective(*regression, mean, root @ root.T) > optimum.objective


def test_linear_strong_duality(regression):
    """D(g) at g = outputs - targets is P at the optimum, and less elsewhere."""
    inputs, targets = regression
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)

    def dual_objective(g):
        return -np.mean(g**2 / 2 + g * targets) - TEMPERATURE * linear_log_partition(
            g, inputs, RIDGE, TEMPERATURE
        )

    best = dual_objective(optimum.dual)
    assert best == pytest.approx(optimum.objective, rel=1e-13)
    for nudge in np.random.default_rng(2).normal(size=(20, 7)):
        assert dual_objective(optimum.dual + 1e-2 * nudge) < best


def test_linear_log_partition_is_the_integral():
    inputs, dual = np.array([[0.7], [-1.1], [0.4]]), np.array([0.5, -2.0, 1.0])
    grid = np.linspace(-15, 15, 1501)
    potential = dual @ (inputs * grid) / 3 + RIDGE * grid**2
    density, log_partition = proximal_gibbs_on_grid(potential, grid, TEMPERATURE)
    assert linear_log_partition(dual, inputs, RIDGE, TEMPERATURE) == pytest.approx(
        log_partition, rel=1e-12
    )
    assert quadrature_weights(grid) @ density == pytest.approx(1, rel=1e-13)


def test_linear_flow_is_the_integrated_equation(regression):
    """Against midpoint steps of theta' = -drift, whose law stays Gaussian; the gap against the objective."""
    inputs, targets = regression
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 5))
    start, times = (rng.normal(size=4), root @ root.T / 5), np.array([0.0, 0.5, 2.0])
    flow = linear_flow(inputs, targets, RIDGE, TEMPERATURE, *start, times)
    second, drift = (
        inputs.T @ inputs / 7 + 2 * RIDGE * np.eye(4),
        inputs.T @ targets / 7,
    )
    (mean, covariance), steps = start, 2000
    for k in range(4 * steps + 1):
        for row in np.flatnonzero(times * 2 * steps == k):
            np.testing.assert_allclose(flow.mean[row], mean, atol=1e-6)
            np.testing.assert_allclose(flow.covariance[row], covariance, atol=1e-6)
        h = 0.5 / steps
        middle = mean + h / 2 * (drift - second @ mean)
        mean = mean + h * (drift - second @ middle)
        middle = covariance + h / 2 * (
            2 * TEMPERATURE * np.eye(4) - 4 * RIDGE * covariance
        )
        covariance = covariance + h * (2 * TEMPERATURE * np.eye(4) - 4 * RIDGE * middle)
    best = linear_optimum(inputs, targets, RIDGE, TEMPERATURE).objective
    direct = [
        objective(inputs, targets, m, c) - best
        for m, c in zip(flow.mean, flow.covariance, strict=True)
    ]
    np.testing.assert_allclose(flow.gap, direct, rtol=1e-11)


def test_flow_gap_falls_at_least_at_the_rate_of_the_theorem(regression):
    """gap(t) <= exp(-4 ridge t) gap(0), with equality along a direction that the inputs do not see."""
    times = np.linspace(0, 6, 25)
    rng = np.random.default_rng(4)
    for scale in (0.1, 1.0, 5.0):
        flow = linear_flow(
            *regression,
            RIDGE,
            TEMPERATURE,
            scale * rng.normal(size=4),
            scale * np.eye(4),
            times,
        )
        assert np.all(
            flow.gap <= np.exp(-4 * RIDGE * times) * flow.gap[0] * (1 + 1e-12)
        )
    optimum = linear_optimum(*regression, RIDGE, TEMPERATURE)
    unseen = np.linalg.svd(regression[0])[2][-1]
    start = optimum.mean + unseen, optimum.variance * np.eye(4)
    flow = linear_flow(*regression, RIDGE, TEMPERATURE, *start, times)
    np.testing.assert_allclose(
        flow.gap, np.exp(-4 * RIDGE * times) * flow.gap[0], rtol=1e-9
    )


def test_flow_from_a_point_has_an_infinite_gap_at_time_zero_only(regression):
    flow = linear_flow(
        *regression,
        RIDGE,
        TEMPERATURE,
        np.zeros(4),
        np.zeros((4, 4)),
        np.array([0.0, 1.0]),
    )
    assert np.isinf(flow.gap[0])
    assert np.isfinite(flow.gap[1])


@pytest.mark.parametrize("integrator", ["explicit", "exponential"])
def test_cloud_variance_is_where_the_covariance_of_all_particles_settles(
    regression, integrator
):
    """Iterates the covariance of the stacked particles, (N d, N d), under the interacting linear step."""
    inputs, num_particles, step_size = regression[0], 3, 0.2
    cloud = linear_cloud_variance(
        inputs, RIDGE, TEMPERATURE, num_particles, step_size, integrator
    )
    p = 2 * RIDGE
    a, b, c = {
        "explicit": (1 - step_size * p, step_size, np.sqrt(2 * step_size)),
        "exponential": (
            np.exp(-step_size * p),
            (1 - np.exp(-step_size * p)) / p,
            np.sqrt((1 - np.exp(-2 * step_size * p)) / p),
        ),
    }[integrator]
    average = np.full(
        (num_particles, num_particles), 1 / num_particles
    )  # the gradient sees only the mean
    step = a * np.eye(4 * num_particles) - b * np.kron(
        average, inputs.T @ inputs / len(inputs)
    )
    covariance = np.zeros_like(step)
    for _ in range(600):
        covariance = step @ covariance @ step.T + c**2 * TEMPERATURE * np.eye(len(step))
    mean_of = np.kron(np.full((1, num_particles), 1 / num_particles), np.eye(4))
    np.testing.assert_allclose(
        cloud.of_mean, mean_of @ covariance @ mean_of.T, atol=1e-13
    )
    about = np.kron(np.eye(num_particles) - average, np.eye(4))
    np.testing.assert_allclose(
        np.diag(about @ covariance @ about), cloud.within, rtol=1e-12
    )


def test_cloud_variance_refuses_a_step_that_does_not_settle(regression):
    with refuses(ValueError, "step_size"):
        linear_cloud_variance(regression[0], RIDGE, TEMPERATURE, 3, step_size=10.0)


def test_cloud_variance_is_that_of_the_papers_algorithm():
    """The MFLD transcript with three particles: time averages within four batch-means standard errors."""
    inputs, targets, step_size, steps = (
        np.array([[1.2], [-0.5]]),
        np.array([0.3, 1.0]),
        0.5,
        16_000,
    )
    linear = (
        lambda particle, x: particle @ x,
        lambda particle, x: x,
        lambda z, y: z - y,
    )
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)
    noises = np.random.default_rng(5).normal(size=(steps, 3, 1))
    start = np.tile(optimum.mean, (3, 1))
    chain = transcripts.mfld(
        *linear, inputs, targets, start, step_size, RIDGE, TEMPERATURE, noises
    )[1:, :, 0]
    cloud = linear_cloud_variance(inputs, RIDGE, TEMPERATURE, 3, step_size)
    of_mean = (chain.mean(axis=1) - optimum.mean) ** 2
    for series, expected in (
        (of_mean, cloud.of_mean[0, 0]),
        (chain.var(axis=1), cloud.within),
    ):
        blocks = series[-80 * 199 :].reshape(80, -1).mean(axis=1)
        standard_error = blocks.std(ddof=1) / np.sqrt(80)
        assert abs(blocks.mean() - expected) < 4 * standard_error < 0.2 * expected


def test_finite_particle_gap_is_the_free_energy_of_all_particles(regression):
    """-temperature log of the Gaussian integral over (N d) coordinates of exp(-N F / temperature), per particle."""
    inputs, targets = regression
    num_particles = 3
    average = np.full((num_particles, num_particles), 1 / num_particles)
    hessian = np.kron(average, inputs.T @ inputs / 7) + 2 * RIDGE * np.eye(
        4 * num_particles
    )
    drift = np.tile(inputs.T @ targets / 7, num_particles)
    minimum = (
        num_particles * np.mean(targets**2) / 2
        - drift @ np.linalg.solve(hessian, drift) / 2
    )
    log_integral = (
        2 * num_particles * np.log(2 * np.pi * TEMPERATURE)
        - np.linalg.slogdet(hessian)[1] / 2
    )
    per_particle = (minimum - TEMPERATURE * log_integral) / num_particles
    best = linear_optimum(inputs, targets, RIDGE, TEMPERATURE).objective
    gap = finite_particle_gap(inputs, RIDGE, TEMPERATURE, num_particles)
    assert per_particle - best == pytest.approx(gap, rel=1e-11)


def test_finite_particle_gap_is_below_the_bound_by_the_neurons_variance(regression):
    """(1 / 2 n N) sum Var_{q*}(h_i), reached as the temperature's law becomes narrow against the data."""
    inputs = regression[0]
    for ridge in (0.01, 0.2, 500.0):
        variances = TEMPERATURE / (2 * ridge) * np.sum(inputs**2, axis=1)
        bound = finite_particle_gap_bound(variances, convexity=1.0, num_particles=64)
        ratio = finite_particle_gap(inputs, ridge, TEMPERATURE, 64) / bound
        assert ratio < 1
    assert ratio > 0.99
