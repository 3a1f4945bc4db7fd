"""D and the gap of one dual vector against closed forms and quadrature, by walks from the prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from grid_laws import GridRisk
from langevax import MeanFieldRisk, losses, neurons
from langevax.meanfield import duality_gap
from tests.errorbars import assert_mean
from tests.meanfield.known_optima import LOSSES, Odd
from tests.sentences import refuses
from tests.theory.grids import fenchel_young

pytestmark = pytest.mark.mostly_compiling

RIDGE, TEMPERATURE, SIZE = 0.05, 0.1, 2000
GRID = np.linspace(-7, 7, 1401)
INPUTS = np.linspace(-2, 2, 6)
TARGETS = {
    "squared": np.tanh(2 * INPUTS) + 0.2,
    "logistic": np.array([-1.0, -1.0, 1.0, -1.0, 1.0, 1.0]),
}


def risk_of(loss):
    inputs, targets = np.float32(INPUTS[:, None]), np.float32(TARGETS[loss])
    return MeanFieldRisk(
        Odd(), getattr(losses, loss), inputs, targets, precision=2 * RIDGE
    )


def grid_risk(loss):
    values = 3 * np.tanh(INPUTS[:, None] * GRID)
    return GridRisk(GRID, values, TARGETS[loss], RIDGE, TEMPERATURE, *LOSSES[loss])


def exact(loss, dual):
    """(D in the form with KL to the prior, gap, outputs of p_g) by quadrature."""
    grid = grid_risk(loss)
    prior_constant = TEMPERATURE * 0.5 * np.log(np.pi * TEMPERATURE / RIDGE)
    return (
        grid.dual_objective(dual) + prior_constant,
        fenchel_young(grid, dual),
        grid.outputs(grid.gibbs(dual)),
    )


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_bound_and_gap_are_those_of_quadrature(loss):
    """At a dual that is far from optimal: D within 4.5 standard errors, the gap too, with its small upward bias."""
    dual = 0.5 * grid_risk(loss).optimal_dual()
    bound, gap, _ = exact(loss, dual)
    estimate = duality_gap(
        risk_of(loss), dual, TEMPERATURE, key=jax.random.key(3), num_replicates=8
    )
    assert abs(estimate.bound - bound) < 4.5 * estimate.bound_error < 0.02 * gap
    assert (
        -4.5 * estimate.gap_error
        < estimate.gap - gap
        < 4.5 * estimate.gap_error + 9 / SIZE
    )
    assert estimate.gap_error < 0.1 * gap  # so that a factor 2 is seen
    assert estimate.num_laws >= 1
    optimum = exact(loss, grid_risk(loss).optimal_dual())[0]
    assert (
        estimate.bound - 4.5 * estimate.bound_error
        < optimum
        < estimate.bound + estimate.gap
    )


@pytest.mark.slow
def test_the_bound_has_no_bias():
    """D of 60 estimates of few particles against quadrature, no bias of 2.5e-3 either way."""
    best, options = (
        grid_risk("squared").optimal_dual(),
        {"num_replicates": 2, "num_particles": 200},
    )
    keys = [jax.random.key(seed) for seed in range(60)]
    bounds = [
        duality_gap(risk_of("squared"), best, TEMPERATURE, key=key, **options).bound
        for key in keys
    ]
    excess = np.array(bounds)[:, None] - exact("squared", best)[0]
    assert_mean(excess, 0.0)
    assert 8 * np.std(excess) / np.sqrt(60) < 2.5e-3


def test_a_dual_outside_of_its_domain_is_projected():
    """Shares below 0 and above 1, where D is minus infinity, become those nearest."""
    dual = np.float32(-0.3 * TARGETS["logistic"])
    dual[0], dual[1] = -0.2 * -TARGETS["logistic"][0], -1.5 * TARGETS["logistic"][1]
    estimate = duality_gap(
        risk_of("logistic"), dual, TEMPERATURE, key=jax.random.key(7), num_particles=200
    )
    shares = np.asarray(estimate.dual) * -TARGETS["logistic"]
    np.testing.assert_allclose(shares, [0, 1, 0.3, 0.3, 0.3, 0.3], atol=1e-5)
    assert np.isfinite(estimate.bound)
    assert np.isfinite(estimate.gap)


@pytest.mark.slow
def test_runs_together_are_surer_than_each_alone():
    """At the optimum the gap is the noise of z alone: of 16 runs a fourth of that of 4, within a factor 2."""
    gaps = {
        runs: np.mean([estimate.gap for estimate in _estimates(1.0, runs)])
        for runs in (4, 16)
    }
    assert 2 < gaps[4] / gaps[16] < 8


@pytest.mark.slow
def test_the_error_of_a_gap_is_that_of_another_estimate():
    """Jackknife of 8 runs against the spread of 12 estimates, which is known to a fifth: within a factor 2."""
    estimates = _estimates(0.5, 8)
    assert (
        0.5
        < np.mean([e.gap_error for e in estimates]) / np.std([e.gap for e in estimates])
        < 2
    )


def test_the_error_of_a_gap_is_the_jackknife_of_its_runs():
    """(R - 1) / R times the squares of what leaving out a run changes, in NumPy for R = 4."""
    dual = np.float32(0.5 * grid_risk("squared").optimal_dual())
    estimate = duality_gap(
        risk_of("squared"),
        dual,
        TEMPERATURE,
        key=jax.random.key(0),
        num_replicates=4,
        num_particles=200,
    )
    outputs = estimate.outputs
    gap = lambda outputs: (
        np.mean((outputs.mean(0) - TARGETS["squared"] - dual) ** 2) / 2
    )
    without = np.array([gap(np.delete(outputs, run, 0)) for run in range(4)])
    assert estimate.gap == pytest.approx(gap(outputs), rel=1e-4)
    assert estimate.gap_error == pytest.approx(
        np.sqrt(3 / 4 * np.sum((without - without.mean()) ** 2)), rel=1e-3
    )


def _estimates(share, runs):
    dual, options = (
        share * grid_risk("squared").optimal_dual(),
        {"num_particles": 200, "num_replicates": runs},
    )
    keys = [jax.random.key(100 + seed) for seed in range(12)]
    return [
        duality_gap(risk_of("squared"), dual, TEMPERATURE, key=key, **options)
        for key in keys
    ]


def test_fresh_walks_give_the_gap_where_a_chain_is_stuck():
    """At g = -y/2 a chain that is stuck says 1e-7; fresh runs from the prior give the gap of quadrature."""
    dual = -TARGETS["logistic"] / 2
    _, gap, _ = exact("logistic", dual)
    estimate = duality_gap(
        risk_of("logistic"), dual, TEMPERATURE, key=jax.random.key(5)
    )
    assert gap > 0.02
    assert estimate.gap == pytest.approx(gap, rel=0.1)


@pytest.mark.slow
def test_training_closes_the_gap():
    """MFLD from the prior: the gap of the averaged dual is below the start's."""
    risk, key = risk_of("squared"), jax.random.key(6)
    mfld = langevax.meanfield.MFLD(0.05, TEMPERATURE)
    start = risk.prior(TEMPERATURE, 400)
    half = langevax.simulate(mfld, risk, start, key=key, num_steps=500)
    end = langevax.simulate(mfld, risk, half, key=key, num_steps=500, average=risk_dual)
    before = duality_gap(risk, risk.dual(start(key)), TEMPERATURE, key=key)
    after = duality_gap(risk, end.average.mean, TEMPERATURE, key=key)
    assert after.gap < 0.1 * before.gap


def risk_dual(risk, state):
    return risk.dual(state.position)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"dual": np.zeros(3)}, "dual (6,)"),
        ({"dual": np.full(6, np.nan)}, "dual[0] nan"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"num_replicates": 1}, "num_replicates 2"),
        (
            {"num_particles": 10**13},
            "num_particles 2147483647 10000000000000",
        ),
    ],
)
def test_bad_input_is_named(change, facts):
    arguments = {
        "dual": np.zeros(6),
        "temperature": TEMPERATURE,
        "key": jax.random.key(0),
    } | change
    with refuses(ValueError, facts):
        duality_gap(
            risk_of("squared"),
            arguments.pop("dual"),
            arguments.pop("temperature"),
            **arguments,
        )


def test_unbounded_neurons_are_refused():
    risk = MeanFieldRisk(
        neurons.Linear(),
        losses.squared,
        np.ones((2, 1), np.float32),
        np.zeros(2, np.float32),
        1.0,
    )
    with refuses(ValueError):
        duality_gap(risk, np.zeros(2), 0.1, key=jax.random.key(0))


traces = []


class Counted(neurons.Tanh):
    """A neuron that leaves a mark whenever it is traced."""

    def activation(self, particle, x):
        traces.append(x)
        return super().activation(particle, x)


@pytest.mark.slow
def test_another_temperature_or_ridge_runs_the_same_program():
    def traced(temperature, precision):
        before = len(traces)
        X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        risk = langevax.MeanFieldRisk(
            Counted(), langevax.losses.squared, X, y, precision=precision
        )
        duality_gap(
            risk, -0.4 * y, temperature, key=jax.random.key(0), num_particles=50
        )
        return len(traces) - before

    assert traced(0.1, 0.1) > 0
    assert traced(0.2, 0.1) == 0
    assert traced(0.1, 0.3) == 0
