"""Mean-field methods on the score of a mixture of normals, against the law on a grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import losses
from langevax.meanfield.adaptive_steps import LossCurvatureSteps
from langevax.meanfield.mfld import coordinate_steps
from langevax.problems.neurons import Neuron
from tests.predictive_law.grids import solve
from tests.sentences import refuses, tells

ROWS = np.linspace(-2, 3, 20, dtype=np.float32)
TEMPERATURE, VARIANCE = 1 / 20, 4.0
GRID = np.linspace(-9, 9, 721)
EXACT = solve(-((ROWS - GRID[:, None]) ** 2) / 2, -(GRID**2) / (2 * VARIANCE), 0.0)


class Density(Neuron):
    """The normal density of a row, without its constant."""

    def __call__(self, particle, x):
        return jnp.exp(-((x[0] - particle[0]) ** 2) / 2)

    def particle_size(self, num_features):
        return 1

    def slope_bounds(self, second_moments):
        return jnp.full(1, np.exp(-1), second_moments.dtype)

    @property
    def output_shape(self):
        return ()

    @property
    def bound(self):
        return 1.0


RISK = langevax.MeanFieldRisk(
    Density(),
    losses.log_score,
    ROWS[:, None],
    np.zeros(20, np.float32),
    precision=TEMPERATURE / VARIANCE,
)


def test_psdca_starts_at_a_feasible_dual_of_the_prior_and_ends_at_that_of_the_grid():
    ascent = langevax.meanfield.PSDCA(TEMPERATURE, curvature="variance")
    cloud = RISK.prior(TEMPERATURE, 4000)(jax.random.key(1))
    start, _ = ascent.init(RISK, cloud, jax.random.key(0))
    assert np.all(jax.vmap(losses.log_score.in_domain)(start.dual, RISK.targets))
    potential = np.asarray(jax.vmap(RISK.of_one_particle(start.dual).value)(cloud[:9]))
    assert np.all(np.abs(potential) / TEMPERATURE < 1e-30)
    result = langevax.simulate(
        ascent, RISK, cloud, key=jax.random.key(0), num_steps=400
    )
    np.testing.assert_allclose(result.state.dual, -np.exp(EXACT.log_dual), rtol=0.12)
    log_partition = float(result.state.log_partition + result.state.since_refresh)
    conjugate = float(
        np.mean(jax.vmap(losses.log_score.conjugate)(result.state.dual, RISK.targets))
    )
    assert -conjugate - TEMPERATURE * log_partition == pytest.approx(
        EXACT.value / 20, abs=0.01
    )


def test_pda_has_a_feasible_dual_of_rows_that_no_batch_had():
    pda = langevax.meanfield.PDA(0.1, TEMPERATURE, batch_size=1, num_inner_steps=1)
    start = RISK.prior(TEMPERATURE, 50)
    state = langevax.simulate(
        pda, RISK, start, key=jax.random.key(0), num_steps=2
    ).state
    seen = np.asarray(state.weights) > 0
    assert 1 <= seen.sum() <= 2
    assert np.all(jax.vmap(losses.log_score.in_domain)(state.dual, RISK.targets))
    assert np.all(np.asarray(state.dual)[seen] < -0.5)


def test_steps_relative_to_a_bound_are_refused_and_those_at_the_outputs_reach_the_law():
    with refuses(ValueError, "LogScore MFLD step_size"):
        coordinate_steps(RISK, 1.0)
    mfld = LossCurvatureSteps(
        langevax.meanfield.MFLD(1.0, TEMPERATURE), 0.5, num_rows=4
    )
    result = langevax.simulate(
        mfld,
        RISK,
        RISK.prior(TEMPERATURE, 2000),
        key=jax.random.key(0),
        num_steps=2000,
        record_every=50,
    )
    outputs = np.mean(jax.vmap(RISK.outputs)(result.positions[10:]), axis=0)
    np.testing.assert_allclose(np.log(outputs), -EXACT.log_dual, atol=0.05)


@pytest.mark.slow
def test_the_certificate_holds_the_value_of_the_grid():
    certificate = langevax.meanfield.certify(
        RISK, TEMPERATURE, key=jax.random.key(2), effort=3e7
    )
    assert certificate.lower_bound <= EXACT.value / 20 <= certificate.upper_bound
    assert certificate.trustworthy
    assert certificate.width < 0.02


def risk_of(rows, scale=1.0):
    class Scaled(Density):
        def __call__(self, particle, x):
            return scale * super().__call__(particle, x)

        @property
        def bound(self):
            return scale

    rows = np.asarray(rows, np.float32)
    zeros = np.zeros(len(rows), np.float32)
    return langevax.MeanFieldRisk(
        Scaled(),
        losses.log_score,
        rows[:, None],
        zeros,
        precision=1 / (len(rows) * VARIANCE),
    )


@pytest.mark.slow
def test_a_certificate_without_a_lower_end_is_refused():
    certificate = langevax.meanfield.certify(
        risk_of(ROWS, 1e-5), TEMPERATURE, key=jax.random.key(0), effort=5e6
    )
    assert certificate.lower_bound == -np.inf
    assert not certificate.trustworthy
    assert certificate.unknown_share == 1
    assert certificate.verdict.startswith("Not certified: at most 1")
    tells(certificate.verdict)


@pytest.mark.slow
def test_a_row_that_no_neuron_explains_is_refused_in_a_sentence():
    with refuses(ValueError):
        langevax.meanfield.certify(
            risk_of([*ROWS, 60]), 1 / 21, key=jax.random.key(0), effort=5e6
        )
