"""Descents meet a well that walks from the prior miss, and measure its mass."""

from contextlib import closing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import MeanFieldRisk, losses, neurons
from langevax.meanfield import wells
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.walks import plan_along, walk
from tests.meanfield.known_optima import needle


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_needle_that_walks_miss_is_met(loss):
    """log Z of quadrature, which is nearly all in the needle, where the walks' is far below."""
    problem = needle(loss)
    dual = -0.1 * np.asarray(problem.risk.targets)
    expected, tilt = problem.log_partition(dual), problem.tilt(dual)
    with closing(problem.clouds()) as clouds:
        plan = plan_along(clouds, [tilt], 500)
        missed = walk(clouds, plan, 4, 250).log_partition.max()
        met = wells.search(clouds, tilt, [clouds.prior(100)])
    assert missed < expected - 3
    assert abs(met.log_partition - expected) < 0.1
    nearest = np.abs(met.positions[:, 0] - 4).argmin()
    assert abs(met.positions[nearest, 0] - 4) < 0.1
    assert (
        abs(met.log_masses[nearest] - expected) < 0.02
    )  # of the normal around the bottom
    assert met.num_descents == wells.NUM_DESCENTS + 100


def test_the_mass_of_a_gaussian_well_is_exact():
    """Linear neurons: one well, at the closed form's mean, of the prior's covariance."""
    rng = np.random.default_rng(0)
    inputs, dual = (
        np.float32(rng.normal(size=(20, 3))),
        np.float32(3 * rng.normal(size=20)),
    )
    risk = MeanFieldRisk(
        neurons.Linear(), losses.squared, inputs, np.zeros(20, np.float32), 0.1
    )
    law = GibbsLaw.of(risk, 0.1)
    mean = -inputs.T @ dual / 20 / 0.1
    with closing(Clouds(law, 20, jax.random.key(0))) as clouds:
        met = wells.search(clouds, law.tilt(jnp.asarray(dual), 0.1), [])
    assert len(met.positions) == 1
    np.testing.assert_allclose(met.positions[0], mean, atol=1e-3)
    np.testing.assert_allclose(met.covariances[0], np.eye(3), atol=1e-3)
    assert met.log_masses[0] == pytest.approx(mean @ mean / 2, rel=1e-3)
    assert abs(met.log_partition - mean @ mean / 2) < 0.1


def test_bottoms_are_reached_from_where_whole_newton_steps_lead_upwards():
    """As from the ends of a hundred steps of descent in the law of a cold network with many columns."""
    rng = np.random.default_rng(0)
    inputs, dual = (
        np.float32(2 * rng.normal(size=(60, 24))),
        np.float32(rng.normal(size=60)),
    )
    risk = MeanFieldRisk(
        neurons.Tanh(), losses.squared, inputs, np.zeros(60, np.float32), 0.1
    )
    law = GibbsLaw.of(risk, 1e-4)
    tilt = law.tilt(jnp.asarray(dual), 1e-3)
    with closing(Clouds(law, 60, jax.random.key(0))) as clouds:
        ends, _, before = clouds.descended(tilt, clouds.prior(6), 5)
        bottoms = list(wells._bottoms(clouds, tilt, ends))
        positions = np.array([position for position, _, _ in bottoms], np.float32)
        _, energies, slopes = clouds.descended(tilt, positions, 0)
    assert np.linalg.norm(before, axis=1).min() > 10
    assert len(bottoms) == 6
    assert np.linalg.norm(slopes, axis=1).max() < 0.05
    for (_, log_mass, covariance), energy in zip(bottoms, energies, strict=True):
        assert log_mass == pytest.approx(
            np.linalg.slogdet(covariance)[1] / 2 - energy, abs=1e-2
        )
