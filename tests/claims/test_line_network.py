"""The exact law of MFLD's steps and its fluctuations, against closed forms, duality and the flow."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from entropy_sandwich import linearised_rate, outputs_and_risk, quantities
from grid_laws import fokker_planck_flow
from line_network import EXACT, LineNetwork, chain_laws
from tests.sentences import refuses
from tests.theory.grids import LOSSES

pytestmark = pytest.mark.slow

NETWORK = LineNetwork(
    slopes=(2.0, -1.0, 1.5),
    shifts=(-1.0, 0.5, 0.2),
    targets=(1.0, -1.0, 1.0),
    scale=1.5,
    ridge=0.2,
    temperature=0.2,
    loss="logistic",
    start_mean=-1.0,
    start_deviation=0.4,
)
POINTS = np.linspace(-4.5, 4.5, 121)


def resting_covariance(network, risk, density):
    """C (I + W C / temperature)^{-1}, C = Cov_{q*}(h), W = diag(loss'') / n: of interacting particles, times N."""
    independent, n = risk.covariance(density), len(network.targets)
    curvature = (
        EXACT[network.loss].second_derivative(risk.outputs(density), risk.targets) / n
    )
    return independent @ np.linalg.inv(
        np.eye(n) + curvature[:, None] * independent / network.temperature
    )


@pytest.mark.parametrize("loss", EXACT)
def test_losses_are_those_of_the_tests_and_curvature_is_the_second_derivative(loss):
    z, y = np.linspace(-3, 3, 13), np.resize([1.0, -1.0], 13)
    for ours, theirs in zip(EXACT[loss][:2], LOSSES[loss][:2], strict=True):
        np.testing.assert_allclose(ours(z, y), theirs(z, y), rtol=1e-12)
    g = EXACT[loss].derivative(z, y)
    np.testing.assert_allclose(
        EXACT[loss].conjugate(g, y), LOSSES[loss][2](g, y), rtol=1e-10, atol=1e-12
    )
    quotient = (
        EXACT[loss].derivative(z + 1e-5, y) - EXACT[loss].derivative(z - 1e-5, y)
    ) / 2e-5
    np.testing.assert_allclose(EXACT[loss].second_derivative(z, y), quotient, rtol=1e-7)


def test_particles_and_grid_see_the_same_problem():
    """A cloud of two points and the same two points as a measure."""
    cloud = np.array([[-0.5], [1.25]])
    risk = NETWORK.risk()
    state = type("State", (), {"position": jax.numpy.asarray(cloud, "float32")})
    seen = outputs_and_risk(risk, state)
    grid = NETWORK.grid_risk(np.array([-0.5, 1.25]))
    mass = np.full((1, 2), 0.5) / grid.measure
    np.testing.assert_allclose(seen, quantities(grid, mass)[0], rtol=1e-6)


@pytest.mark.parametrize("loss", EXACT)
def test_the_law_of_the_steps_tends_to_the_flow_at_first_order(loss):
    network = replace(NETWORK, loss=loss)
    risk = network.grid_risk(np.linspace(-4.5, 4.5, 601))
    coarse, fine = (
        fokker_planck_flow(risk, network.start_density(risk), 1 / n, n).density[-1]
        for n in (200, 400)
    )
    exact, off = 2 * risk.outputs(fine) - risk.outputs(coarse), []
    for step_size in (0.1, 0.05):
        laws = chain_laws(
            network, POINTS, step_size, round(1 / step_size), fluctuations=False
        )
        np.testing.assert_allclose(
            laws.density @ network.grid_risk(POINTS).measure, 1, atol=1e-6
        )
        off.append(laws.outputs[-1] - exact)
    assert (
        np.abs(2 * off[1] - off[0]).max() < 0.1 * np.abs(off[0]).max()
    )  # of first order: nothing is left in the limit


@pytest.mark.parametrize("loss", EXACT)
def test_fluctuations_start_independent_and_come_to_rest_at_the_covariance_of_interacting_particles(
    loss,
):
    network = replace(NETWORK, loss=loss)
    risk = network.grid_risk(POINTS)
    start, optimum = network.start_density(risk), risk.gibbs(risk.optimal_dual())
    off = []
    for step_size in (0.1, 0.05):
        fluctuation = chain_laws(
            network, POINTS, step_size, round(16 / step_size), fluctuations=True
        ).fluctuation
        np.testing.assert_allclose(
            fluctuation[0], np.diag(risk.covariance(start)), rtol=1e-12
        )
        off.append(
            fluctuation[-1] / np.diag(resting_covariance(network, risk, optimum)) - 1
        )
    assert np.abs(off[0]).max() < 0.2
    assert (
        np.abs(2 * off[1] - off[0]).max() < 0.1 * np.abs(off[0]).max()
    )  # of first order: nothing is left in the limit


def test_fluctuations_without_interaction_are_those_of_independent_particles():
    """A tiny scale: the outputs do not pull, and N Var z_i is Var h_i under the law at every step."""
    network = replace(NETWORK, scale=1e-3)
    laws = chain_laws(network, POINTS, 0.1, 10, fluctuations=True)
    risk = network.grid_risk(POINTS)
    for density, fluctuation in zip(laws.density, laws.fluctuation, strict=True):
        np.testing.assert_allclose(
            fluctuation, np.diag(risk.covariance(density)), rtol=1e-4
        )


def test_linearised_rate_of_an_almost_flat_network_is_that_of_ornstein_and_uhlenbeck():
    """The law alone relaxes: its mean at 2 ridge, the objective at twice that."""
    network = replace(NETWORK, scale=1e-4)
    assert linearised_rate(
        network, network.grid_risk(np.linspace(-4, 4, 401))
    ) == pytest.approx(0.8, rel=1e-3)


def test_a_grid_that_is_too_coarse_is_refused():
    with refuses(ValueError):
        chain_laws(NETWORK, np.linspace(-4.5, 4.5, 31), 0.05, 1, fluctuations=False)
