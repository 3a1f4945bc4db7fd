"""The certificate against closed forms and quadrature: the sampler, D, the gap, the band, when not to believe it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from grid_laws import GridRisk
from langevax import MeanFieldRisk, losses, neurons
from langevax.meanfield import certify
from langevax.meanfield.certificate import DualEstimate
from langevax.meanfield.resampling import effective_size, systematic
from langevax.meanfield.smc import ESS_FRACTION, _largest_step, sample_gibbs
from langevax.theory.mean_field import linear_log_partition
from tests.errorbars import assert_mean

RIDGE, TEMPERATURE, SIZE = 0.05, 0.1, 2000
GRID = np.linspace(-7, 7, 1401)


class Odd(neurons.Neuron):
    """tanh(w x), one-dimensional particles, so that quadrature knows everything."""

    def __call__(self, particle, x):
        return 3 * jnp.tanh(jnp.dot(particle, x))

    def slope_bounds(self, second_moments):
        return 9 * second_moments

    def particle_size(self, num_features):
        return num_features

    @property
    def output_shape(self):
        return ()

    @property
    def bound(self):
        return 3.0


INPUTS = np.linspace(-2, 2, 6)
TARGETS = {"squared": np.tanh(2 * INPUTS) + 0.2, "logistic": np.array([-1.0, -1.0, 1.0, -1.0, 1.0, 1.0])}


def risk_of(loss):
    inputs, targets = np.float32(INPUTS[:, None]), np.float32(TARGETS[loss])
    return MeanFieldRisk(Odd(), getattr(losses, loss), inputs, targets, precision=2 * RIDGE)


def grid_risk(loss):
    functions = {
        "squared": (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y, lambda g, y: g**2 / 2 + g * y),
        "logistic": (
            lambda z, y: np.logaddexp(0, -y * z),
            lambda z, y: -y / (1 + np.exp(y * z)),
            lambda g, y: -y * g * np.log(-y * g) + (1 + y * g) * np.log1p(y * g),
        ),
    }
    values = 3 * np.tanh(INPUTS[:, None] * GRID)
    return GridRisk(GRID, values, TARGETS[loss], RIDGE, TEMPERATURE, *functions[loss])


def exact(loss, dual):
    """(D in the form with KL to the prior, gap, outputs of p_g) by quadrature."""
    grid = grid_risk(loss)
    prior_constant = TEMPERATURE * 0.5 * np.log(np.pi * TEMPERATURE / RIDGE)
    return grid.dual_objective(dual) + prior_constant, grid.fenchel_young(dual), grid.outputs(grid.gibbs(dual))


def test_the_sampler_has_the_closed_form_of_linear_neurons():
    """log Z = |X^T g / n|^2 / (4 T ridge), z = X m with m = -X^T g / (2 ridge n); 8 runs, 4.5 standard errors."""
    rng = np.random.default_rng(0)
    inputs, dual = rng.normal(size=(20, 3)), rng.normal(size=20)
    risk = MeanFieldRisk(neurons.Linear(), losses.squared, np.float32(inputs), np.zeros(20, np.float32), 2 * RIDGE)
    runs = [sample_gibbs(risk, np.float32(dual), TEMPERATURE, SIZE, key=jax.random.key(k)) for k in range(8)]
    log_partition = linear_log_partition(dual, inputs, RIDGE, TEMPERATURE)
    prior = linear_log_partition(0 * dual, inputs, RIDGE, TEMPERATURE)
    logs = np.array([float(run.log_partition) for run in runs])
    error = logs.std(ddof=1) / np.sqrt(8)
    assert abs(logs.mean() - (log_partition - prior)) < 4.5 * error
    assert log_partition - prior > 20 * error  # so that a factor 2 is seen
    outputs = np.stack([run.outputs for run in runs])
    expected = -inputs @ (inputs.T @ dual / 20) / (2 * RIDGE)
    z = (outputs.mean(0) - expected) / (outputs.std(0, ddof=1) / np.sqrt(8))
    assert np.abs(z).max() < 6  # 20 outputs, 7 degrees of freedom


def test_resampling_is_systematic():
    """Each particle comes floor or ceil of M times its weight."""
    weights = np.random.default_rng(1).normal(size=200)
    share = 200 * np.exp(weights) / np.exp(weights).sum()
    times = np.bincount(systematic(jax.random.key(0), jnp.float32(weights)), minlength=200)
    assert np.all((times >= np.floor(share - 1e-3)) & (times <= np.ceil(share + 1e-3)))


def test_a_temperature_keeps_the_effective_size():
    v = jnp.asarray(np.random.default_rng(2).normal(size=500) * 30, jnp.float32)
    step = _largest_step(v, jnp.float32(1.0))
    assert float(effective_size(step * v)) / 500 == pytest.approx(ESS_FRACTION, abs=1e-3)
    assert float(_largest_step(v * 1e-3, jnp.float32(0.25))) == 0.25


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_bound_and_gap_are_those_of_quadrature(loss):
    """At a dual that is far from optimal: D within 4.5 standard errors, the gap too, with its small upward bias."""
    dual = 0.5 * grid_risk(loss).optimal_dual()
    bound, gap, _ = exact(loss, dual)
    certificate = certify(risk_of(loss), dual, TEMPERATURE, key=jax.random.key(3), num_replicates=8, polish=0)
    assert abs(certificate.lower_bound - bound) < 4.5 * certificate.lower_bound_error < 0.02 * gap
    assert -4.5 * certificate.standard_error < certificate.gap - gap < 4.5 * certificate.standard_error + 9 / SIZE
    assert certificate.standard_error < 0.1 * gap  # so that a factor 2 is seen
    assert certificate.surviving_ancestors > 0.05
    assert certificate.upper_bound == pytest.approx(certificate.lower_bound + certificate.gap)
    assert len(repr(certificate)) < 300
    assert certificate.verdict in repr(certificate)
    optimum = exact(loss, grid_risk(loss).optimal_dual())[0]
    assert certificate.lower_bound - 4.5 * certificate.lower_bound_error < optimum < certificate.upper_bound
    if loss == "squared":
        assert abs(certificate.unbiased_gap - gap) < 4.5 * certificate.standard_error
    else:
        assert certificate.unbiased_gap is None


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_polished_dual_is_nearer_the_optimum(loss):
    """One climb from half the optimum leaves less than a tenth of what D lacked."""
    best = grid_risk(loss).optimal_dual()
    optimum, before = exact(loss, best)[0], exact(loss, 0.5 * best)[0]
    certificate = certify(risk_of(loss), 0.5 * best, TEMPERATURE, key=jax.random.key(4), polish=1)
    assert certificate.polish_steps == 1
    after = exact(loss, certificate.dual.astype(float))[0]
    assert optimum - after < 0.1 * (optimum - before)


@pytest.mark.slow
def test_the_runs_that_choose_a_dual_do_not_certify_it():
    """D of a polished dual against quadrature at that very dual: 60 certificates of few particles, no bias either way.

    Were the choosing runs reported, D would be 2.5e-3 too high, which is ten standard errors.
    """
    best = grid_risk("squared").optimal_dual()
    options = {"polish": 3, "num_replicates": 2, "num_particles": 200}
    excess = []
    for seed in range(60):
        certificate = certify(risk_of("squared"), best, TEMPERATURE, key=jax.random.key(seed), **options)
        excess.append([certificate.lower_bound - exact("squared", certificate.dual.astype(float))[0]])
    assert_mean(excess, 0.0)
    assert 8 * np.std(excess) / np.sqrt(60) < 2.5e-3


def test_a_dual_leaves_the_border_of_its_domain():
    """Shares of exactly 0 and 1, where the conjugate's derivatives are infinite, become shares between; D rises."""
    dual = np.float32(-0.3 * TARGETS["logistic"])
    dual[0], dual[1] = 0.0, -TARGETS["logistic"][1]
    before = certify(risk_of("logistic"), dual, TEMPERATURE, key=jax.random.key(7), polish=0)
    after = certify(risk_of("logistic"), dual, TEMPERATURE, key=jax.random.key(7), polish=1)
    assert after.polish_steps == 1
    assert np.all((after.dual * -TARGETS["logistic"] > 0) & (after.dual * -TARGETS["logistic"] < 1))
    assert after.lower_bound - before.lower_bound > 4.5 * (after.lower_bound_error + before.lower_bound_error)


@pytest.mark.slow
def test_runs_together_are_surer_than_each_alone():
    """At the optimum the gap is the noise of z alone: of 16 runs a fourth of that of 4, within a factor 2."""
    gaps = {runs: np.mean([certificate.gap for certificate in _certificates(1.0, runs)]) for runs in (4, 16)}
    assert 2 < gaps[4] / gaps[16] < 8


@pytest.mark.slow
def test_the_error_of_a_gap_is_that_of_another_certificate():
    """Jackknife of 8 runs against the spread of 12 certificates, which is known to a fifth: within a factor 2."""
    certificates = _certificates(0.5, 8)
    assert 0.5 < np.mean([c.standard_error for c in certificates]) / np.std([c.gap for c in certificates]) < 2


def test_the_error_of_a_gap_is_the_jackknife_of_its_runs():
    """(R - 1) / R times the squares of what leaving out a run changes, in NumPy for R = 4."""
    dual = np.float32(0.5 * grid_risk("squared").optimal_dual())
    estimate = DualEstimate(risk_of("squared"), jnp.asarray(dual), TEMPERATURE, 4, 200, key=jax.random.key(0))
    outputs = np.stack([sample.outputs for sample in estimate.samples]).astype(np.float64)
    gap = lambda outputs: np.mean((outputs.mean(0) - TARGETS["squared"] - dual) ** 2) / 2  # noqa: E731
    without = np.array([gap(np.delete(outputs, run, 0)) for run in range(4)])
    assert estimate.gap == pytest.approx(gap(outputs), rel=1e-4)
    assert estimate.gap_error == pytest.approx(np.sqrt(3 / 4 * np.sum((without - without.mean()) ** 2)), rel=1e-3)


def _certificates(share, runs):
    dual, options = share * grid_risk("squared").optimal_dual(), {"num_particles": 200, "polish": 0}
    keys = [jax.random.key(100 + seed) for seed in range(12)]
    return [certify(risk_of("squared"), dual, TEMPERATURE, key=key, num_replicates=runs, **options) for key in keys]


def test_a_false_certificate_is_detected():
    """At g = -y/2 a chain that is stuck says 1e-7; fresh runs from the prior give the gap of quadrature."""
    dual = -TARGETS["logistic"] / 2
    _, gap, _ = exact("logistic", dual)
    certificate = certify(risk_of("logistic"), dual, TEMPERATURE, key=jax.random.key(5), polish=0)
    assert gap > 0.02
    assert certificate.gap == pytest.approx(gap, rel=0.1)


@pytest.mark.slow
def test_one_cloud_estimates_the_rise_of_the_bound():
    """D(g') - D(g) by weighting the particles of p_g, against quadrature: from both ends, ten runs each."""
    near, far = 0.9 * grid_risk("squared").optimal_dual(), 0.8 * grid_risk("squared").optimal_dual()
    expected = exact("squared", near)[0] - exact("squared", far)[0]
    for start, end, sign in ((far, near, 1), (near, far, -1)):
        estimate = DualEstimate(risk_of("squared"), jnp.float32(start), TEMPERATURE, 10, SIZE, key=jax.random.key(8))
        rises = estimate.rise_to(jnp.float32(end))
        assert_mean(rises[:, None], sign * expected, slack=0.02 * expected, wrong=-sign * expected)


def test_a_gap_as_wide_as_that_of_the_prior_is_not_certified():
    """Far from the optimum all ancestors survive, but P(prior) - D is smaller than the gap: the verdict says so."""
    dual = np.float32(-3 * TARGETS["squared"])
    certificate = certify(risk_of("squared"), dual, TEMPERATURE, key=jax.random.key(9), polish=0)
    assert certificate.surviving_ancestors > 0.05
    assert not certificate.trustworthy
    assert "little more than the untrained prior" in certificate.verdict


@pytest.mark.slow
def test_a_gap_that_cannot_be_estimated_is_not_certified():
    """Twenty seeds of a law a hundred times too cold: every one is flagged, in words."""
    rng = np.random.default_rng(3)
    inputs = np.float32(rng.normal(size=(40, 8)))
    targets = np.float32(np.sin(3 * inputs[:, 0]) * inputs[:, 1])
    risk = MeanFieldRisk(neurons.TanhTanh(10.0), losses.squared, inputs, targets, precision=1e-3)
    for seed in range(20):
        certificate = certify(risk, -targets, 1e-3, key=jax.random.key(seed), num_replicates=2, num_particles=300)
        assert not certificate.trustworthy
        assert "Not certified" in certificate.verdict
        assert certificate.polish_steps == 0


def test_training_closes_the_gap():
    """MFLD from the prior: the gap of the averaged dual is below the start's, and bounds the outputs."""
    risk, key = risk_of("squared"), jax.random.key(6)
    mfld = langevax.meanfield.MFLD(0.05, TEMPERATURE)
    start = risk.prior(TEMPERATURE, 400)
    half = langevax.simulate(mfld, risk, start, key=key, num_steps=500)
    end = langevax.simulate(mfld, risk, half, key=key, num_steps=500, average=risk_dual)
    before = certify(risk, risk.dual(start(key)), TEMPERATURE, key=key, polish=0)
    after = certify(risk, end.average.mean, TEMPERATURE, key=key, polish=0)
    assert after.gap < 0.1 * before.gap
    outputs = np.asarray(risk.outputs(end.position))
    certificate = certify(risk, outputs - TARGETS["squared"], TEMPERATURE, key=key, polish=0)
    optimal = exact("squared", grid_risk("squared").optimal_dual())[2]
    assert np.mean((outputs - optimal) ** 2) <= certificate.output_error(outputs, TARGETS["squared"])


def risk_dual(risk, state):
    return risk.dual(state.position)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dual": np.zeros(3)}, r"dual must have shape \(6,\)"),
        ({"dual": np.full(6, np.nan)}, r"dual\[0\] is nan"),
        ({"temperature": 0.0}, "temperature must be finite and > 0"),
        ({"num_replicates": 1}, "num_replicates must be at least 2"),
        (
            {"num_particles": 10**13},
            "num_particles is 1.*, which needs .* GB of memory where .*; pass at most",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"dual": np.zeros(6), "temperature": TEMPERATURE, "key": jax.random.key(0)} | change
    with pytest.raises(ValueError, match=message):
        certify(risk_of("squared"), arguments.pop("dual"), arguments.pop("temperature"), **arguments)


def test_unbounded_neurons_are_refused():
    risk = MeanFieldRisk(neurons.Linear(), losses.squared, np.ones((2, 1), np.float32), np.zeros(2, np.float32), 1.0)
    with pytest.raises(ValueError, match="unbounded"):
        certify(risk, np.zeros(2), 0.1, key=jax.random.key(0))


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
        risk = langevax.MeanFieldRisk(Counted(), langevax.losses.squared, X, y, precision=precision)
        langevax.meanfield.certify(risk, -0.4 * y, temperature, key=jax.random.key(0), num_particles=50, polish=0)
        return len(traces) - before

    assert traced(0.1, 0.1) > 0
    assert traced(0.2, 0.1) == 0
    assert traced(0.1, 0.3) == 0
