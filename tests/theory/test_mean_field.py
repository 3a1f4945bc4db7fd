"""The solvable mean-field problems against duality, quadrature, direct iteration and simulated clouds."""

import numpy as np
import pytest
from scipy.special import expit, xlogy

from langevax.theory.gaussian import kl_gaussian
from langevax.theory.mean_field import (
    GridRisk,
    entropy_on_grid,
    finite_particle_gap,
    kl_on_grid,
    linear_cloud_variance,
    linear_flow,
    linear_log_partition,
    linear_optimum,
    proximal_gibbs_on_grid,
    quadrature_weights,
)
from tests.papers import transcripts

RIDGE, TEMPERATURE = 0.2, 0.3


@pytest.fixture
def regression():
    """Seven rows in four dimensions of which they span three, so that one eigenvalue of S is 0."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 3)) @ rng.normal(size=(3, 4)), rng.normal(size=7)


def objective(inputs, targets, mean, covariance):
    """P of a Gaussian law, with E log q."""
    d = len(mean)
    risk = np.mean((inputs @ mean - targets) ** 2) / 2 + RIDGE * (mean @ mean + np.trace(covariance))
    return risk - TEMPERATURE * (d * np.log(2 * np.pi * np.e) + np.linalg.slogdet(covariance)[1]) / 2


def test_linear_objective_is_that_of_its_own_law(regression):
    optimum = linear_optimum(*regression, RIDGE, TEMPERATURE)
    covariance = optimum.variance * np.eye(4)
    assert optimum.objective == pytest.approx(objective(*regression, optimum.mean, covariance), rel=1e-13)
    prior = np.zeros(4), TEMPERATURE / (2 * RIDGE) * np.eye(4)
    risk = np.mean((optimum.outputs - regression[1]) ** 2) / 2
    kl_form = risk + TEMPERATURE * kl_gaussian(optimum.mean, covariance, *prior)
    assert optimum.kl_objective == pytest.approx(kl_form, rel=1e-13)


def test_no_gaussian_law_is_better_than_the_linear_optimum(regression):
    optimum = linear_optimum(*regression, RIDGE, TEMPERATURE)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1):
        for _ in range(50):
            root = np.sqrt(optimum.variance) * (np.eye(4) + size * rng.normal(size=(4, 4)))
            mean = optimum.mean + size * rng.normal(size=4)
            assert objective(*regression, mean, root @ root.T) > optimum.objective


def test_linear_strong_duality(regression):
    """D(g) at g = outputs - targets is P at the optimum, and less elsewhere."""
    inputs, targets = regression
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)

    def dual_objective(g):
        return -np.mean(g**2 / 2 + g * targets) - TEMPERATURE * linear_log_partition(g, inputs, RIDGE, TEMPERATURE)

    best = dual_objective(optimum.dual)
    assert best == pytest.approx(optimum.objective, rel=1e-13)
    for nudge in np.random.default_rng(2).normal(size=(20, 7)):
        assert dual_objective(optimum.dual + 1e-2 * nudge) < best


def test_linear_log_partition_is_the_integral():
    inputs, dual = np.array([[0.7], [-1.1], [0.4]]), np.array([0.5, -2.0, 1.0])
    grid = np.linspace(-15, 15, 1501)
    potential = dual @ (inputs * grid) / 3 + RIDGE * grid**2
    density, log_partition = proximal_gibbs_on_grid(potential, grid, TEMPERATURE)
    assert linear_log_partition(dual, inputs, RIDGE, TEMPERATURE) == pytest.approx(log_partition, rel=1e-12)
    assert quadrature_weights(grid) @ density == pytest.approx(1, rel=1e-13)


def test_linear_flow_is_the_integrated_equation(regression):
    """Against midpoint steps of theta' = -drift, whose law stays Gaussian; the gap against the objective."""
    inputs, targets = regression
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 5))
    start, times = (rng.normal(size=4), root @ root.T / 5), np.array([0.0, 0.5, 2.0])
    flow = linear_flow(inputs, targets, RIDGE, TEMPERATURE, *start, times)
    second, pull = inputs.T @ inputs / 7 + 2 * RIDGE * np.eye(4), inputs.T @ targets / 7
    (mean, covariance), steps = start, 2000
    for k in range(4 * steps + 1):
        for row in np.flatnonzero(times * 2 * steps == k):
            np.testing.assert_allclose(flow.mean[row], mean, atol=1e-6)
            np.testing.assert_allclose(flow.covariance[row], covariance, atol=1e-6)
        h = 0.5 / steps
        middle = mean + h / 2 * (pull - second @ mean)
        mean = mean + h * (pull - second @ middle)
        middle = covariance + h / 2 * (2 * TEMPERATURE * np.eye(4) - 4 * RIDGE * covariance)
        covariance = covariance + h * (2 * TEMPERATURE * np.eye(4) - 4 * RIDGE * middle)
    best = linear_optimum(inputs, targets, RIDGE, TEMPERATURE).objective
    direct = [objective(inputs, targets, m, c) - best for m, c in zip(flow.mean, flow.covariance, strict=True)]
    np.testing.assert_allclose(flow.gap, direct, rtol=1e-11)


def test_flow_gap_falls_at_least_at_the_rate_of_the_theorem(regression):
    """gap(t) <= exp(-4 ridge t) gap(0), with equality along a direction that the inputs do not see."""
    times = np.linspace(0, 6, 25)
    rng = np.random.default_rng(4)
    for scale in (0.1, 1.0, 5.0):
        flow = linear_flow(*regression, RIDGE, TEMPERATURE, scale * rng.normal(size=4), scale * np.eye(4), times)
        assert np.all(flow.gap <= np.exp(-4 * RIDGE * times) * flow.gap[0] * (1 + 1e-12))
    optimum = linear_optimum(*regression, RIDGE, TEMPERATURE)
    unseen = np.linalg.svd(regression[0])[2][-1]
    start = optimum.mean + unseen, optimum.variance * np.eye(4)
    flow = linear_flow(*regression, RIDGE, TEMPERATURE, *start, times)
    np.testing.assert_allclose(flow.gap, np.exp(-4 * RIDGE * times) * flow.gap[0], rtol=1e-9)


def test_flow_from_a_point_has_an_infinite_gap_at_time_zero_only(regression):
    flow = linear_flow(*regression, RIDGE, TEMPERATURE, np.zeros(4), np.zeros((4, 4)), np.array([0.0, 1.0]))
    assert np.isinf(flow.gap[0])
    assert np.isfinite(flow.gap[1])


@pytest.mark.parametrize("integrator", ["explicit", "exponential"])
def test_cloud_variance_is_where_the_covariance_of_all_particles_settles(regression, integrator):
    """Iterates the covariance of the stacked particles, (N d, N d), under the interacting linear step."""
    inputs, num_particles, step_size = regression[0], 3, 0.2
    cloud = linear_cloud_variance(inputs, RIDGE, TEMPERATURE, num_particles, step_size, integrator)
    p = 2 * RIDGE
    a, b, c = {
        "explicit": (1 - step_size * p, step_size, np.sqrt(2 * step_size)),
        "exponential": (
            np.exp(-step_size * p),
            (1 - np.exp(-step_size * p)) / p,
            np.sqrt((1 - np.exp(-2 * step_size * p)) / p),
        ),
    }[integrator]
    average = np.full((num_particles, num_particles), 1 / num_particles)  # the gradient sees only the mean
    step = a * np.eye(4 * num_particles) - b * np.kron(average, inputs.T @ inputs / len(inputs))
    covariance = np.zeros_like(step)
    for _ in range(600):
        covariance = step @ covariance @ step.T + c**2 * TEMPERATURE * np.eye(len(step))
    mean_of = np.kron(np.full((1, num_particles), 1 / num_particles), np.eye(4))
    np.testing.assert_allclose(cloud.of_mean, mean_of @ covariance @ mean_of.T, atol=1e-13)
    about = np.kron(np.eye(num_particles) - average, np.eye(4))
    np.testing.assert_allclose(np.diag(about @ covariance @ about), cloud.within, rtol=1e-12)


def test_cloud_variance_refuses_a_step_that_does_not_settle(regression):
    with pytest.raises(ValueError, match="step_size"):
        linear_cloud_variance(regression[0], RIDGE, TEMPERATURE, 3, step_size=10.0)


def test_cloud_variance_is_that_of_the_papers_algorithm():
    """The MFLD transcript with three particles: time averages within four batch-means standard errors."""
    inputs, targets, step_size, steps = np.array([[1.2], [-0.5]]), np.array([0.3, 1.0]), 0.5, 16_000
    linear = (lambda particle, x: particle @ x, lambda particle, x: x, lambda z, y: z - y)
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)
    noises = np.random.default_rng(5).normal(size=(steps, 3, 1))
    start = np.tile(optimum.mean, (3, 1))
    chain = transcripts.mfld(*linear, inputs, targets, start, step_size, RIDGE, TEMPERATURE, noises)[1:, :, 0]
    cloud = linear_cloud_variance(inputs, RIDGE, TEMPERATURE, 3, step_size)
    of_mean = (chain.mean(axis=1) - optimum.mean) ** 2
    for series, expected in ((of_mean, cloud.of_mean[0, 0]), (chain.var(axis=1), cloud.within)):
        blocks = series[-80 * 199 :].reshape(80, -1).mean(axis=1)
        standard_error = blocks.std(ddof=1) / np.sqrt(80)
        assert abs(blocks.mean() - expected) < 4 * standard_error < 0.2 * expected


def test_finite_particle_gap_is_the_free_energy_of_all_particles(regression):
    """-temperature log of the Gaussian integral over (N d) coordinates of exp(-N F / temperature), per particle."""
    inputs, targets = regression
    num_particles = 3
    average = np.full((num_particles, num_particles), 1 / num_particles)
    hessian = np.kron(average, inputs.T @ inputs / 7) + 2 * RIDGE * np.eye(4 * num_particles)
    pull = np.tile(inputs.T @ targets / 7, num_particles)
    minimum = num_particles * np.mean(targets**2) / 2 - pull @ np.linalg.solve(hessian, pull) / 2
    log_integral = 2 * num_particles * np.log(2 * np.pi * TEMPERATURE) - np.linalg.slogdet(hessian)[1] / 2
    per_particle = (minimum - TEMPERATURE * log_integral) / num_particles
    best = linear_optimum(inputs, targets, RIDGE, TEMPERATURE).objective
    gap = finite_particle_gap(inputs, RIDGE, TEMPERATURE, num_particles)
    assert per_particle - best == pytest.approx(gap, rel=1e-11)


def test_finite_particle_gap_is_below_the_bound_by_the_neurons_variance(regression):
    """(1 / 2 n N) sum Var_{q*}(h_i), reached as the temperature's law becomes narrow against the data."""
    inputs = regression[0]
    for ridge in (0.01, 0.2, 500.0):
        variances = TEMPERATURE / (2 * ridge) * np.sum(inputs**2, axis=1)
        ratio = finite_particle_gap(inputs, ridge, TEMPERATURE, 64) / (np.mean(variances) / (2 * 64))
        assert ratio < 1
    assert ratio > 0.99


LOSSES = {  # value, derivative, conjugate
    "squared": (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y, lambda g, y: g**2 / 2 + g * y),
    "logistic": (
        lambda z, y: np.logaddexp(0, -y * z),
        lambda z, y: -y * expit(-y * z),
        lambda g, y: xlogy(-y * g, -y * g) + xlogy(1 + y * g, 1 + y * g),
    ),
    "smoothed hinge": (
        lambda z, y: np.where(y * z > 0.5, np.maximum(1 - y * z, 0) ** 2, 0.75 - y * z),
        lambda z, y: -y * np.clip((1 - y * z) / 0.5, 0, 1),
        lambda g, y: y * g + 0.5 * g**2 / 2,
    ),
}


@pytest.fixture(params=LOSSES)
def risk(request):
    """Five tanh neurons with a bias on a coarse, uneven grid."""
    rng = np.random.default_rng(6)
    grid = np.linspace(-2, 2, 101) ** 3
    grid = grid + np.linspace(0, 0.5, 101)
    values = np.tanh(rng.normal(size=(5, 1)) * grid + rng.normal(size=(5, 1)))
    loss, derivative, conjugate = LOSSES[request.param]
    targets = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    return GridRisk(grid, values, targets, RIDGE, 0.1, loss, derivative, conjugate)


def random_density(rng, grid):
    bumps = np.exp(-((grid - rng.normal(scale=2, size=(3, 1))) ** 2) / rng.uniform(0.5, 3, size=(3, 1)))
    density = rng.dirichlet(np.ones(3)) @ bumps + 1e-6
    return density / (quadrature_weights(grid) @ density)


def test_grid_strong_duality(risk):
    dual = risk.optimal_dual()
    best = risk.dual_objective(dual)
    assert abs(risk.primal_objective(risk.gibbs(dual)) - best) < 1e-12
    np.testing.assert_allclose(risk.dual_of(risk.gibbs(dual)), dual, rtol=0, atol=1e-12)
    rng = np.random.default_rng(7)
    for _ in range(20):
        other = random_density(rng, risk.grid)
        assert risk.primal_objective(other) > best > risk.dual_objective(risk.dual_of(other))


def test_grid_gap_of_any_law_at_its_own_dual_is_its_divergence_from_its_gibbs_law(risk):
    """P(q) - D(g_q) = temperature KL(q || p_q)."""
    rng = np.random.default_rng(8)
    for _ in range(20):
        density = random_density(rng, risk.grid)
        dual = risk.dual_of(density)
        gap = risk.primal_objective(density) - risk.dual_objective(dual)
        kl = kl_on_grid(density, risk.gibbs(dual), risk.grid)
        assert abs(gap - risk.temperature * kl) < 1e-12


def test_grid_sandwich(risk):
    """temperature KL(q || q*) <= P(q) - P(q*) <= temperature KL(q || p_q)."""
    rng = np.random.default_rng(9)
    optimum = risk.gibbs(risk.optimal_dual())
    for _ in range(20):
        density = random_density(rng, risk.grid)
        gap = risk.primal_objective(density) - risk.primal_objective(optimum)
        lower = risk.temperature * kl_on_grid(density, optimum, risk.grid)
        upper = risk.temperature * kl_on_grid(density, risk.gibbs(risk.dual_of(density)), risk.grid)
        assert lower - 1e-12 <= gap <= upper + 1e-12
        assert lower > 1e-3  # the laws differ: nothing above is empty


def test_grid_certificate_needs_no_partition_function(risk):
    """P(p_g) - D(g) is the Fenchel-Young gap, for any feasible g."""
    rng = np.random.default_rng(10)
    for _ in range(20):
        dual = -risk.targets * rng.uniform(0.05, 0.95, size=5)
        gap = risk.primal_objective(risk.gibbs(dual)) - risk.dual_objective(dual)
        assert abs(gap - risk.fenchel_young(dual)) < 1e-12
        assert gap > 0


def test_grid_optimum_of_linear_neurons_is_the_closed_form():
    inputs, targets = np.array([[0.7], [-1.1], [0.4]]), np.array([1.0, -0.5, 2.0])
    grid = np.linspace(-12, 12, 801)
    risk = GridRisk(grid, inputs * grid, targets, RIDGE, TEMPERATURE, *LOSSES["squared"])
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)
    dual = risk.optimal_dual()
    np.testing.assert_allclose(dual, optimum.dual, rtol=0, atol=1e-12)
    assert risk.dual_objective(dual) == pytest.approx(optimum.objective, rel=1e-12)
    moment = quadrature_weights(grid) @ (risk.gibbs(dual) * (grid - optimum.mean) ** 2)
    assert moment == pytest.approx(optimum.variance, rel=1e-12)


def test_entropy_and_kl_on_a_grid_are_those_of_gaussians():
    grid = np.linspace(-12, 12, 801)
    p, log_partition = proximal_gibbs_on_grid((grid - 0.3) ** 2 / 1.6, grid, 1.0)  # variance 0.8
    q, _ = proximal_gibbs_on_grid((grid + 1) ** 2, grid, 4.0)  # variance 2
    assert log_partition == pytest.approx(np.log(2 * np.pi * 0.8) / 2, rel=1e-12)
    assert entropy_on_grid(p, grid) == pytest.approx(np.log(2 * np.pi * np.e * 0.8) / 2, rel=1e-12)
    expected = kl_gaussian(np.array([0.3]), np.array([[0.8]]), np.array([-1.0]), np.array([[2.0]]))
    assert kl_on_grid(p, q, grid) == pytest.approx(expected, rel=1e-12)
