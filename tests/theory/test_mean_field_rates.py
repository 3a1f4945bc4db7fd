"""Constants and rates of mean-field methods against exact laws: they hold, and are met where nothing is lost."""

import math

import numpy as np
import pytest

from grid_laws import (
    GridRisk,
    fictitious_play_rounds,
    fokker_planck_flow,
    poincare_on_grid,
)
from langevax.theory import mean_field as rates
from tests.gaussian_laws import linear_flow
from tests.sentences import refuses
from tests.theory.grids import CONVEXITY, LOSSES, random_density, tanh_risk

RIDGE, TEMPERATURE = 0.2, 0.3


def test_rate_of_the_flow_is_met_where_no_row_sees_the_particles():
    """With covariance at its optimum, the gap is exp(-2 alpha temperature t) times the start's, alpha of the prior."""
    times = np.linspace(0, 3, 7)
    start = np.ones(1), TEMPERATURE / (2 * RIDGE) * np.eye(1)
    flow = linear_flow(np.zeros((1, 1)), np.zeros(1), RIDGE, TEMPERATURE, *start, times)
    alpha = rates.potential_lsi(RIDGE, TEMPERATURE, oscillation=0.0)
    np.testing.assert_allclose(
        rates.flow_gap_bound(flow.gap[0], alpha, TEMPERATURE, times),
        flow.gap,
        rtol=1e-12,
    )


def test_divergence_bound_of_the_flow_is_e_times_the_truth_at_rate_one():
    """KL(q || p_q) = gap / temperature there, and the bound is e^r / r times it, r = 2 alpha temperature = 4 ridge."""
    for ridge in (0.1, 0.25, 1.0):
        start = np.ones(1), TEMPERATURE / (2 * ridge) * np.eye(1)
        flow = linear_flow(
            np.zeros((1, 1)),
            np.zeros(1),
            ridge,
            TEMPERATURE,
            *start,
            np.array([0.0, 2.5]),
        )
        alpha = rates.potential_lsi(ridge, TEMPERATURE, oscillation=0.0)
        bound = rates.flow_divergence_bound(flow.gap[0], alpha, TEMPERATURE, time=2.5)
        expected = math.exp(4 * ridge) / (4 * ridge) * flow.gap[1] / TEMPERATURE
        assert bound == pytest.approx(expected, rel=1e-12)
    with refuses(ValueError, "time"):
        rates.flow_divergence_bound(1.0, 1.0, 1.0, time=0.5)


def logistic_risk():
    grid = np.linspace(-6, 6, 601)
    values = np.tanh(
        np.array([[1.5], [0.4], [-1.0], [2.5]]) * grid
        + np.array([[0.3], [-0.5], [1.0], [0.0]])
    )
    return GridRisk(
        grid,
        values,
        np.array([1.0, -1.0, 1.0, 1.0]),
        RIDGE,
        TEMPERATURE,
        *LOSSES["logistic"],
    )


def test_log_sobolev_constants_are_below_poincares_and_ordered():
    """network <= of the bound on the oscillation <= of the oscillation <= Poincare, for duals in the domain."""
    risk, rng = logistic_risk(), np.random.default_rng(0)
    for _ in range(10):
        dual = -risk.targets * rng.uniform(size=4)
        data = dual @ risk.values / 4
        bounds = (
            rates.network_lsi(RIDGE, TEMPERATURE, slope_bound=1.0, neuron_bound=1.0),
            rates.potential_lsi(
                RIDGE, TEMPERATURE, np.mean(np.abs(dual) * np.ptp(risk.values, axis=1))
            ),
            rates.potential_lsi(RIDGE, TEMPERATURE, np.ptp(data)),
            poincare_on_grid(risk.potential(dual), risk.points, TEMPERATURE),
        )
        assert np.all(np.diff(bounds) > 0)


def test_network_constant_is_the_square_of_the_exponent_that_would_do():
    prior = rates.potential_lsi(RIDGE, TEMPERATURE, 0.0)
    printed = (
        rates.network_lsi(RIDGE, TEMPERATURE, slope_bound=1.0, neuron_bound=0.5) / prior
    )
    assert printed == pytest.approx(
        (rates.potential_lsi(RIDGE, TEMPERATURE, 1.0) / prior) ** 2
    )
    assert prior == 2 * RIDGE / TEMPERATURE


def test_flow_of_a_network_falls_faster_than_promised():
    """The oscillation of the path's own data potentials; and the printed constant, which is of no use."""
    risk = logistic_risk()
    flow = fokker_planck_flow(
        risk, random_density(np.random.default_rng(1), risk), 0.02, 150
    )
    gap = flow.objective - risk.dual_objective(risk.optimal_dual())
    oscillation = max(np.ptp(dual @ risk.values / 4) for dual in flow.dual)
    alpha = rates.potential_lsi(RIDGE, TEMPERATURE, oscillation)
    assert np.all(gap <= rates.flow_gap_bound(gap[0], alpha, TEMPERATURE, flow.times))
    rate = np.log(gap[0] / gap[-1]) / flow.times[-1]
    assert rate > 4 * 2 * alpha * TEMPERATURE
    assert (
        rate > 1e4 * 2 * rates.network_lsi(RIDGE, TEMPERATURE, 1.0, 1.0) * TEMPERATURE
    )
    kl = [
        risk.kl(q, risk.gibbs(g)) for q, g in zip(flow.density, flow.dual, strict=True)
    ]
    assert min(kl) <= rates.flow_divergence_bound(
        gap[0], alpha, TEMPERATURE, flow.times[-1]
    )


def test_discrete_steps_stay_below_their_bound():
    """One Gaussian coordinate without data: law, gap and drift error of the explicit chain are closed forms."""
    step_size, mean, variance, best = 0.2, 3.0, 0.1, TEMPERATURE / (2 * RIDGE)
    alpha, p = rates.potential_lsi(RIDGE, TEMPERATURE, 0.0), 2 * RIDGE

    def gap():
        spread = variance / best - 1 - math.log(variance / best)
        return RIDGE * mean**2 + TEMPERATURE / 2 * spread

    start = gap()
    # |grad U(theta_k) - grad U(theta_t)|^2 at the end of the step, with the largest second moment of the path
    drift_error = p**2 * (
        (step_size * p) ** 2 * (mean**2 + 2 * best) + 2 * step_size * TEMPERATURE
    )
    for k in range(1, 200):
        mean, variance = (
            (1 - step_size * p) * mean,
            (1 - step_size * p) ** 2 * variance + 2 * step_size * TEMPERATURE,
        )
        assert gap() <= rates.mfld_gap_bound(
            start, alpha, TEMPERATURE, step_size, k, drift_error
        )
    floor = rates.mfld_gap_bound(
        start, alpha, TEMPERATURE, step_size, 10_000, drift_error
    )
    assert floor == pytest.approx(
        drift_error / (2 * p), rel=1e-12
    )  # alpha temperature is the curvature here


@pytest.mark.parametrize("loss", LOSSES)
def test_rounds_of_fictitious_play_stay_below_their_bound(loss):
    risk = tanh_risk(loss, scale=1.5)
    for rate in (0.05, 0.3):
        flow = fictitious_play_rounds(
            risk, random_density(np.random.default_rng(2), risk), rate, 60
        )
        gap = flow.objective - risk.dual_objective(risk.optimal_dual())
        bounds = [
            rates.fictitious_play_rounds_bound(gap[0], rate, k, 1.5, CONVEXITY[loss])
            for k in range(61)
        ]
        assert np.all(gap <= bounds)
        without_floor = rates.fictitious_play_gap_bound(
            gap[0], np.arange(61) * -math.log1p(-rate)
        )
        np.testing.assert_allclose(
            bounds - without_floor, 2 * rate * 1.5**2 / CONVEXITY[loss], rtol=1e-9
        )


def test_the_bound_of_sdca_falls_by_one_over_its_condition_a_step():
    condition = rates.sdca_condition(50, 2.0, 0.02, 4.0)
    assert condition == 100
    np.testing.assert_allclose(
        rates.sdca_gap_bound(0.7, condition, np.array([0, 1, 2])),
        0.7 * 0.99 ** np.arange(3),
    )


def test_excess_risk_of_independent_particles_is_the_bound_on_the_gap():
    """Two particles of q*, all pairs of grid points: E risk - risk(q*) = (1 / 2 n N) sum Var(h_i), squared loss."""
    risk = tanh_risk("squared")
    law = risk.gibbs(risk.optimal_dual()) * risk.measure
    pairs = (risk.values[:, :, None] + risk.values[:, None, :]) / 2
    mean_risk = (
        law @ np.mean((pairs - risk.targets[:, None, None]) ** 2 / 2, axis=0) @ law
    )
    optimal = np.mean((risk.values @ law - risk.targets) ** 2) / 2
    variances = np.diag(risk.covariance(law / risk.measure))
    bound = rates.finite_particle_gap_bound(variances, convexity=1.0, num_particles=2)
    assert mean_risk - optimal == pytest.approx(bound, rel=1e-10)
    assert rates.finite_particle_gap_bound(variances, 4.0, 6) == pytest.approx(
        bound / 12, rel=1e-12
    )
