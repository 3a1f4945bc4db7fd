"""Weights that are functions: a precision for each mode, pCNL moves, and answers that do not know how many modes.

The problem of `tiny` with its first coordinate measured in another unit is one with two precisions, whose exact answers
are those of the same grid.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import MALA, MeanFieldRisk, integrators, losses, neurons
from langevax.meanfield import MFLD, PDA, PSDCA, duality_gap
from langevax.meanfield.mfld import coordinate_steps
from langevax.meanfield.moves import (
    LONGEST_PCNL_STEP,
    adapted_step_size,
    pcnl_moves,
    prior_shares,
)
from langevax.samplers import PCNLState
from tests.errorbars import LIMIT, assert_mean
from tests.papers import tiny
from tests.theory.grids import fenchel_young

T, RIDGE = tiny.TEMPERATURE, tiny.RIDGE
N = len(tiny.INPUTS)
UNIT = 5.0  # of the first coordinate: its precision is 25 times smaller


def risk_of():
    inputs, targets = (
        np.float32(tiny.INPUTS[:, None] / UNIT),
        np.float32(tiny.TARGETS["squared"]),
    )
    precision = jnp.asarray([2 * RIDGE / UNIT**2, 2 * RIDGE], jnp.float32)
    return MeanFieldRisk(
        neurons.Tanh(3.0), losses.squared, inputs, targets, precision=precision
    )


def in_units_of_the_grid(particles):
    return np.asarray(particles, np.float64) / [UNIT, 1.0]


def optimal_dual():
    return tiny.exact("squared").optimal_dual()


@eqx.filter_jit
def cloud_of(risk, dual, start, key, moves, step_size):
    """A cloud after so many pCNL moves, and the mean acceptance of these."""
    problem = risk.of_one_particle(dual)
    state = PCNLState(start, *jax.vmap(problem.value_and_gradient)(start))
    return pcnl_moves(problem, state, jnp.float32(T), step_size, key, moves)


def from_the_prior(dual, moves, step_size=0.8):
    """20,000 particles."""
    risk, key = risk_of(), jax.random.key(1)
    numbers = jnp.int32(moves), jnp.float32(step_size)
    return cloud_of(
        risk, jnp.asarray(dual, jnp.float32), risk.prior(T, 20_000)(key), key, *numbers
    )


@pytest.fixture(scope="module")
def law():
    """Sixty moves from the prior at the optimal dual, and their acceptance."""
    return from_the_prior(optimal_dual(), 60)


# Laws.


def test_a_prior_has_a_variance_for_each_coordinate():
    """T / precision, of 40,000 draws: a factor two, or one precision for both, is far away."""
    draws = np.asarray(risk_of().prior(T, 40_000)(jax.random.key(0)), np.float64)
    expected = T / (2 * RIDGE) * np.array([UNIT**2, 1.0])
    assert_mean(draws**2, expected, wrong=expected[::-1])


@pytest.mark.slow
def test_moves_lead_to_the_gibbs_law_and_leave_it(law):
    """Five moments of 20,000 particles after 60 moves against quadrature; the law at half the dual is distinguished."""
    dual = np.asarray(optimal_dual())
    state, acceptance = law
    grid = tiny.exact("squared")

    def moments(points):
        w, b = points.T
        return np.stack([w, b, w * b, w**2, np.tanh(w + b)], axis=1)

    laws = [grid.gibbs(share * dual) for share in (1.0, 0.5)]
    right, wrong = ((law * grid.weights) @ moments(grid.points) for law in laws)
    assert_mean(moments(in_units_of_the_grid(state.position)), right, wrong=wrong)
    assert 0.4 < float(acceptance) < 0.95
    problem = risk_of().of_one_particle(jnp.asarray(dual, jnp.float32))
    value, gradient = jax.vmap(problem.value_and_gradient)(state.position)
    np.testing.assert_allclose(
        state.value, value, atol=1e-5
    )  # what is carried along is that of the position
    np.testing.assert_allclose(state.gradient, gradient, atol=1e-5)


@pytest.mark.slow
def test_a_share_is_that_of_the_prior_in_the_mean_curvature(law):
    """min(1, precision / E U_jj) by second derivatives on the same cloud, which is that of the law: within 5 %."""
    risk, dual = risk_of(), jnp.asarray(optimal_dual(), jnp.float32)
    state, _ = law
    problem = risk.of_one_particle(dual)
    bent = jax.vmap(lambda x: jnp.diag(jax.hessian(problem.value)(x)))(
        state.position
    ).mean(0)
    expected = np.minimum(
        1, np.asarray(risk.precision) / (np.asarray(risk.precision) + np.asarray(bent))
    )
    shares = np.asarray(prior_shares(problem, state, jnp.float32(T)))
    assert expected.min() < 0.5
    np.testing.assert_allclose(shares, expected, rtol=0.05)


def test_without_data_every_proposal_is_accepted():
    """At dual 0 the law is the prior, which pCNL keeps at any step: the longest too, that forgets where it began."""
    state, acceptance = from_the_prior(np.zeros(N), 3, step_size=LONGEST_PCNL_STEP)
    assert float(acceptance) == pytest.approx(1, abs=1e-5)
    assert_mean(
        np.asarray(state.position) ** 2, T / np.asarray(risk_of().precision, np.float64)
    )


# Methods.


def true_gap(dual):
    """D* - D(dual), by quadrature."""
    exact = tiny.exact("squared")
    return exact.dual_objective(exact.optimal_dual()) - exact.dual_objective(
        np.asarray(dual, np.float64)
    )


def run(algorithm, num_steps, num_particles, **options):
    risk = risk_of()
    return langevax.simulate(
        algorithm,
        risk,
        risk.prior(T, num_particles),
        key=jax.random.key(0),
        num_steps=num_steps,
        **options,
    )


def dual_of(_problem, state):
    return state.dual


def later(result):
    """Mean dual over the last half of the records."""
    duals = np.asarray(result.positions)
    return duals[len(duals) // 2 :].mean(0)


@pytest.mark.slow
def test_ascent_with_refreshes_by_pcnl_reaches_the_exact_optimum():
    """As with MALA: M = 4000, 1600 steps, D* - D below 1e-4 from 0.09."""
    result = run(
        PSDCA(T, proposal="pcnl"), 200 * N, 4000, record=dual_of, record_every=N
    )
    assert true_gap(np.zeros(N)) > 0.09
    assert true_gap(later(result)) < 1e-4
    assert 0 < float(result.state.step_size) <= LONGEST_PCNL_STEP


@pytest.mark.slow
@pytest.mark.parametrize(
    "integrator", [integrators.Exponential(), integrators.SemiImplicit()]
)
def test_averaging_takes_a_precision_for_each_coordinate(integrator):
    """PDA in its KL form, one step for both: below 2e-4, the bias of the semi-implicit step included."""
    pda = PDA(jnp.asarray([0.1 * UNIT**2, 0.1], jnp.float32), T, integrator=integrator)
    assert true_gap(run(pda, 400, 2000).state.dual) < 2e-4


@pytest.mark.slow
def test_a_duality_gap_is_that_of_quadrature():
    """At half the optimal dual: D, and the gap with its small upward bias."""
    dual, grid = 0.5 * np.asarray(optimal_dual()), tiny.exact("squared")
    bound = grid.dual_objective(dual) + T * grid.log_partition(np.zeros(N))
    estimate = duality_gap(
        risk_of(),
        dual,
        T,
        key=jax.random.key(3),
        num_replicates=8,
        num_particles=1000,
    )
    assert abs(estimate.bound - bound) < LIMIT * estimate.bound_error
    gap = fenchel_young(grid, dual)
    assert (
        -LIMIT * estimate.gap_error
        < estimate.gap - gap
        < LIMIT * estimate.gap_error + 9 / 1000
    )
    assert estimate.gap_error < 0.1 * gap


# Modes.

DECAY = 2.0


def curves(num_modes):
    """24 curves of energy k^-4, weights of variance k^-2, and a dual of size one."""
    rng, k = np.random.default_rng(0), np.arange(1.0, num_modes + 1)
    x = rng.normal(size=(24, 512))[:, :num_modes] * k**-DECAY
    y = np.sin(2 * x[:, 0]) + 0.3 * np.sign(x[:, 1])
    precision = T * np.append(k**DECAY, 1.0)
    return MeanFieldRisk(
        neurons.Tanh(2.0),
        losses.squared,
        np.float32(x),
        np.float32(y),
        precision=np.float32(precision),
    )


@eqx.filter_jit
@eqx.filter_jit
def acceptances(risk, dual):
    """Of pCNL and of MALA, both at one step, at the law of the dual."""
    problem, temperature, keys = (
        risk.of_one_particle(dual),
        jnp.float32(T),
        jax.random.split(jax.random.key(4), 4),
    )
    start = risk.prior(T, 500)(keys[0])
    state = PCNLState(start, *jax.vmap(problem.value_and_gradient)(start))
    state, _ = pcnl_moves(problem, state, temperature, jnp.float32(0.8), keys[1], 40)
    _, flat = pcnl_moves(problem, state, temperature, jnp.float32(0.5), keys[2], 4)
    mala = MALA(0.02 / T, T)

    def one(x, key):
        there, _ = mala.init(problem, x, key)
        return mala.step(problem, there, key, jnp.int32(0))[1]["acceptance"]

    return flat, jnp.mean(jax.vmap(one)(state.position, jax.random.split(keys[3], 500)))


@pytest.mark.long
def test_acceptance_does_not_depend_on_the_number_of_modes():
    """Within 0.05 from 8 to 512 modes, where MALA's falls from above a half to nothing."""
    risks = {num_modes: curves(num_modes) for num_modes in (8, 512)}
    rates = {
        num_modes: [float(a) for a in acceptances(r, -r.targets / 2)]
        for num_modes, r in risks.items()
    }
    flat = [pcnl for pcnl, _ in rates.values()]
    assert np.ptp(flat) < 0.05
    assert min(flat) > 0.4
    assert max(flat) < 0.97
    assert rates[8][1] > 0.5
    assert rates[512][1] < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "integrator", [integrators.Exponential(), integrators.SemiImplicit()]
)
def test_schemes_for_functions_take_one_step_for_all_modes(integrator):
    """256 modes at 2,600 times Euler's longest step: the prior's variances at dual 0, semi-implicit ones colder by
    1 + h p / 2."""
    risk = MeanFieldRisk(
        neurons.Tanh(1.0),
        losses.linear,
        jnp.ones((2, 256)),
        jnp.zeros(2),
        precision=np.float32(0.03 * np.append(np.arange(1.0, 257) ** 2, 1.0)),
    )
    step = 80.0
    end = langevax.simulate(
        MFLD(step, 0.03, integrator=integrator),
        risk,
        risk.prior(0.03, 4000),
        key=jax.random.key(0),
        num_steps=15,
    )
    hp = step * np.asarray(risk.precision, np.float64)
    colder = (
        1 + hp / 2 if isinstance(integrator, integrators.SemiImplicit) else np.ones(257)
    )
    ratio = (
        np.asarray(end.position, np.float64) ** 2
        * np.asarray(risk.precision)
        / 0.03
        * colder
    )
    left = (
        (1 + hp) ** -30 * (colder - 1)
        if isinstance(integrator, integrators.SemiImplicit)
        else 0
    )
    assert_mean(ratio, 1 + left, wrong=2.0)


def test_steps_by_coordinate_know_each_precision():
    risk = curves(8)
    bends = 4 * np.append(
        np.mean(np.asarray(risk.inputs, np.float64) ** 2, axis=0), 1.0
    )
    np.testing.assert_allclose(
        coordinate_steps(risk, 1.5),
        1.5 / (bends + np.asarray(risk.precision)),
        rtol=1e-5,
    )


def test_a_step_does_not_grow_beyond_forgetting():
    assert float(adapted_step_size(jnp.float32(1.9), 0.99, "pcnl")) == LONGEST_PCNL_STEP
    assert float(adapted_step_size(jnp.float32(1.0), 0.2, "pcnl")) == pytest.approx(
        0.75
    )
    assert float(adapted_step_size(jnp.float32(1.9), 0.99, "mala")) == pytest.approx(
        1.9 * 1.3
    )
