"""Flows on a grid: conservation, stationarity, dissipation, rates, and the closed form of linear neurons."""

import numpy as np
import pytest

from grid_laws import (
    GridRisk,
    fictitious_play_rounds,
    fisher_on_grid,
    fokker_planck_flow,
    quadrature_weights,
)
from tests.gaussian_laws import linear_flow
from tests.sentences import refuses
from tests.theory.grids import LOSSES, kl_on_grid, plane_risk, random_density, tanh_risk


@pytest.fixture(params=LOSSES)
def risk(request):
    return tanh_risk(request.param, scale=2.0, temperature=0.05)


def start_of(risk, seed=0):
    return random_density(np.random.default_rng(seed), risk)


def optimum_of(risk):
    return risk.dual_objective(risk.optimal_dual())


def test_fokker_planck_keeps_mass_and_sign_for_any_step(risk):
    flow = fokker_planck_flow(risk, start_of(risk), step_size=0.2, num_steps=20)
    np.testing.assert_allclose(flow.density @ risk.measure, 1, rtol=0, atol=1e-12)
    assert np.all(flow.density > 0)


def test_fokker_planck_rests_at_the_optimum_of_the_grid(risk):
    optimum = risk.gibbs(risk.optimal_dual())
    flow = fokker_planck_flow(risk, optimum, step_size=0.1, num_steps=10)
    np.testing.assert_allclose(
        flow.density[-1], optimum, rtol=0, atol=1e-11 * optimum.max()
    )


def test_fokker_planck_falls_at_least_by_the_dissipation_at_the_end_of_each_step(risk):
    """P(q) - P(q') >= step temperature^2 I(q' || p_q'), and P stays above its optimum."""
    for step_size in (0.02, 0.3):
        flow = fokker_planck_flow(risk, start_of(risk), step_size, num_steps=20)
        for k in range(1, 21):
            fisher = fisher_on_grid(
                flow.density[k], risk.gibbs(flow.dual[k]), risk.points
            )
            assert (
                flow.objective[k - 1] - flow.objective[k]
                >= step_size * risk.temperature**2 * fisher - 1e-12
            )
        assert flow.objective[-1] > optimum_of(risk) - 1e-12


def test_dissipation_identity(risk):
    """-dP/dt = temperature^2 I(q || p_q): over small steps P falls by the trapezoid of I."""
    errors = []
    start = fokker_planck_flow(risk, start_of(risk), 0.01, 10).density[-1]
    for step_size in (2e-3, 1e-3):
        flow = fokker_planck_flow(
            risk, start, step_size, num_steps=round(0.02 / step_size)
        )
        rates = [
            risk.temperature**2 * fisher_on_grid(q, risk.gibbs(g), risk.points)
            for q, g in zip(flow.density, flow.dual, strict=True)
        ]
        fall = flow.objective[0] - flow.objective[-1]
        errors.append(abs(quadrature_weights(flow.times) @ rates / fall - 1))
    assert errors[1] < 0.02
    assert (
        errors[0] / errors[1] > 1.7
    )  # of first order at worst: nothing is left in the limit


def test_fokker_planck_of_linear_neurons_is_the_closed_form():
    """Mean and gap of the Gaussian law; the error is that of the step, and halves with it."""
    inputs, targets = np.array([[1.2], [-0.5], [0.8]]), np.array([1.0, 0.3, -0.4])
    grid = np.linspace(-8, 8, 1601)
    risk = GridRisk(grid, inputs * grid, targets, 0.2, 0.3, *LOSSES["squared"])
    start = np.exp(-((grid - 1.5) ** 2) / (2 * 0.4))
    start = start / (risk.measure @ start)
    best = optimum_of(risk)
    errors = []
    for step_size in (0.02, 0.01):
        flow = fokker_planck_flow(
            risk, start, step_size, num_steps=round(1 / step_size)
        )
        exact = linear_flow(
            inputs, targets, 0.2, 0.3, np.array([1.5]), np.array([[0.4]]), flow.times
        )
        errors.append(
            [
                np.abs(flow.density @ (risk.measure * grid) - exact.mean[:, 0]).max(),
                np.abs(flow.objective - best - exact.gap).max() / exact.gap[0],
            ]
        )
    assert np.all(np.array(errors[1]) < 0.01)
    np.testing.assert_allclose(np.divide(*errors), 2, rtol=0.1)


def test_fisher_information_is_that_of_gaussians():
    """E |grad log q / p|^2, whose gradient is linear: (a x + b)^2 under q."""
    grid = np.linspace(-10, 10, 4001)
    normal = lambda mean, variance: (
        np.exp(-((grid - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    )
    slope = 1 / 2.0 - 1 / 0.8
    expected = slope**2 * 0.8 + ((0.3 + 1.0) / 2.0) ** 2
    assert fisher_on_grid(normal(0.3, 0.8), normal(-1.0, 2.0), grid) == pytest.approx(
        expected, rel=1e-4
    )
    assert fisher_on_grid(normal(0.3, 0.8), normal(0.3, 0.8), grid) == 0


def test_fokker_planck_is_for_one_dimension_and_says_when_a_step_is_too_long():
    risk = plane_risk("squared")
    with refuses(ValueError):
        fokker_planck_flow(risk, risk.prior(), 0.1, 1)
    steep = tanh_risk("squared", scale=30.0)
    with refuses(ValueError, "step_size"):
        fokker_planck_flow(steep, steep.prior(), 10.0, 5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("make", [tanh_risk, plane_risk])
def test_rounds_of_fictitious_play_fall_to_the_optimum(make, loss):
    """By at most rate temperature (KL(q || p_q) + KL(p_q || q)) a round, the slope of the convex P at its start."""
    risk = make(loss, scale=3.0, temperature=0.05)
    flow = fictitious_play_rounds(risk, start_of(risk), rate=0.01, num_steps=300)
    laws = [(q, risk.gibbs(g)) for q, g in zip(flow.density, flow.dual, strict=True)]
    slopes = np.array(
        [risk.temperature * (risk.kl(q, p) + risk.kl(p, q)) for q, p in laws]
    )
    fall, gap = -np.diff(flow.objective), flow.objective - optimum_of(risk)
    assert np.all(fall <= 0.01 * slopes[:-1] + 1e-12)
    assert fall.sum() == pytest.approx(0.01 * slopes[:-1].sum(), rel=0.1)
    assert gap[-1] < 0.1 * gap[0]
    duality = flow.objective - flow.dual_objective
    np.testing.assert_allclose(
        duality,
        [risk.temperature * risk.kl(*pair) for pair in laws],
        rtol=0,
        atol=1e-12,
    )


def test_rounds_of_fictitious_play_on_an_almost_flat_risk_have_exactly_their_rate():
    """For a constant Gibbs law the gap is temperature KL((1 - s) p + s q_0 || p), s = (1 - rate)^k."""
    risk = tanh_risk("squared", scale=1e-7)
    start, prior = start_of(risk), risk.prior()
    flow = fictitious_play_rounds(risk, start, rate=0.1, num_steps=30)
    for k, (density, objective) in enumerate(
        zip(flow.density, flow.objective, strict=True)
    ):
        mixture = (1 - 0.9**k) * prior + 0.9**k * start
        np.testing.assert_allclose(density, mixture, rtol=0, atol=1e-5)
        gap = objective - optimum_of(risk)
        assert gap == pytest.approx(
            risk.temperature * kl_on_grid(mixture, prior, risk.points), abs=1e-5
        )
