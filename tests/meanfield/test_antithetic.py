"""Pairs of neurons with reflected noise: the same law as without, and far less noise of finitely many neurons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import MeanFieldRisk, losses, neurons
from langevax.meanfield import MFLD
from langevax.problems.mean_field import in_pairs
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

TEMPERATURE, PRECISION = 0.3, 0.6
NEURONS = [
    neurons.Tanh(3.0),
    neurons.TanhTanh(3.0),
    neurons.TanhTanh(3.0, 2),
    neurons.Linear(),
    neurons.Parity(3.0),
]


class Lopsided(neurons.Tanh):
    """A neuron that tells of no reflection, as one of a user's own."""

    def reflection(self, num_features):
        return None


def risk_of(neuron, zero=False):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(20, 2)).astype(np.float32)
    targets = (inputs @ [2.0, -1.5] + 0.3 * rng.normal(size=20)).astype(np.float32)
    targets = np.stack([targets] * 2, 1) if neuron.output_shape else targets
    return MeanFieldRisk(
        neuron,
        losses.squared,
        inputs,
        0 * targets if zero else targets,
        precision=PRECISION,
    )


def run(
    risk, num_particles, seed, num_steps=200, antithetic=True, temperature=TEMPERATURE
):
    mfld = MFLD(0.1, temperature, antithetic=antithetic)
    start = risk.prior(temperature, num_particles, antithetic)
    return langevax.simulate(
        mfld, risk, start, key=jax.random.key(seed), num_steps=num_steps
    ).position


@pytest.mark.parametrize(
    "neuron", NEURONS, ids=lambda n: f"{type(n).__name__}{n.output_shape}"
)
def test_a_reflection_changes_the_sign_of_every_output(neuron):
    size, rng = neuron.particle_size(2), np.random.default_rng(1)
    particle, x = (jnp.asarray(rng.normal(size=k), jnp.float32) for k in (size, 2))
    reflected = jnp.asarray(neuron.reflection(2), jnp.float32) * particle
    np.testing.assert_allclose(neuron(reflected, x), -neuron(particle, x), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "neuron", NEURONS, ids=lambda n: f"{type(n).__name__}{n.output_shape}"
)
def test_where_the_targets_are_0_outputs_stay_0(neuron):
    risk = risk_of(neuron, zero=True)
    np.testing.assert_allclose(risk.outputs(run(risk, 10, 0)), 0, atol=2e-5)
    assert np.abs(risk.outputs(run(risk, 10, 0, antithetic=False))).max() > 0.05


def test_a_step_is_that_of_langevin_with_reflected_noise():
    risk = risk_of(neurons.TanhTanh(3.0))
    mfld = MFLD(0.1, TEMPERATURE, antithetic=True)
    start, key = risk.prior(TEMPERATURE, 5)(jax.random.key(1)), jax.random.key(2)
    stepped = mfld.step(risk, mfld.init(risk, start, key)[0], key, jnp.int32(0))[
        0
    ].position
    decay = np.exp(-0.1 * PRECISION)
    scale = np.sqrt(TEMPERATURE * (1 - decay**2) / PRECISION)
    noise = (
        np.asarray(stepped)
        - decay * start
        + (1 - decay) / PRECISION * gradient_without_ridge(risk, start)
    ) / scale
    np.testing.assert_allclose(
        noise[1::2], np.array([-1.0, 1, 1, 1]) * noise[:4:2], atol=1e-5
    )
    assert np.all(np.abs(noise[0] - noise[2]) > 1e-3)


def gradient_without_ridge(risk, cloud):
    """Of each neuron: (1/n) sum_i loss'(z_i) grad h, by NumPy."""
    inputs, targets, cloud = (
        np.asarray(risk.inputs),
        np.asarray(risk.targets),
        np.asarray(cloud),
    )
    outer, inner = (
        np.tanh(cloud[:, :1]),
        np.tanh(cloud[:, 1:3] @ inputs.T + cloud[:, 3:]),
    )  # (N, 1), (N, n)
    dual = 3 * (outer * inner).mean(0) - targets
    slopes = outer * (1 - inner**2) * dual
    by_outer = ((1 - outer**2) * inner * dual).mean(1, keepdims=True)
    return 3 * np.concatenate(
        [by_outer, slopes @ inputs / len(inputs), slopes.mean(1, keepdims=True)], 1
    )


@pytest.mark.slow
def test_the_mean_of_linear_neurons_is_ridge_regression_without_noise():
    risk = risk_of(neurons.Linear())
    inputs, targets = np.asarray(risk.inputs, float), np.asarray(risk.targets, float)
    ridge = np.linalg.solve(
        inputs.T @ inputs / 20 + PRECISION * np.eye(2), inputs.T @ targets / 20
    )
    paired, alone = (
        run(risk, 4000, 0, antithetic=antithetic) for antithetic in (True, False)
    )
    np.testing.assert_allclose(paired.mean(0), ridge, atol=1e-4)
    assert np.abs(alone.mean(0) - ridge).max() > 1e-3
    # every other neuron is independent: their covariance is that of the optimal law
    np.testing.assert_allclose(
        np.cov(paired[::2].T), TEMPERATURE / PRECISION * np.eye(2), atol=0.05
    )


@pytest.mark.slow
def test_outputs_of_different_keys_agree_better():
    risk = risk_of(neurons.TanhTanh(3.0))
    spread = [
        np.std(
            [
                risk.outputs(run(risk, 100, seed, 50, antithetic, 3.0))
                for seed in range(20)
            ],
            axis=0,
        ).mean()
        for antithetic in (True, False)
    ]
    assert spread[0] < 0.5 * spread[1]


def test_pairs_on_the_host_are_those_on_the_device():
    prior = risk_of(neurons.Tanh()).prior(TEMPERATURE, 7, antithetic=True)
    cloud = np.asarray(prior(jax.random.key(0)))
    np.testing.assert_allclose(prior.draw_on_host(jax.random.key(0)), cloud, rtol=1e-6)
    assert cloud.shape == (7, 3)
    np.testing.assert_array_equal(cloud[1:6:2], -cloud[:6:2])
    np.testing.assert_array_equal(in_pairs(cloud[:2], (1.0, 1.0, 1.0), 4)[1], cloud[0])


def test_neurons_without_a_reflection_are_refused():
    risk = risk_of(Lopsided())
    with refuses(ValueError):
        risk.prior(TEMPERATURE, 4, antithetic=True)
    mfld, start = MFLD(0.1, TEMPERATURE, antithetic=True), risk.prior(TEMPERATURE, 4)
    with refuses(ValueError, "antithetic=False"):
        langevax.simulate(mfld, risk, start, key=jax.random.key(0), num_steps=1)
    other = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2), jnp.ones((3, 2)))
    with refuses(TypeError, "MeanFieldRisk"):
        langevax.simulate(mfld, other, jnp.zeros(2), key=jax.random.key(0), num_steps=1)
    with refuses(TypeError, "antithetic"):
        MFLD(0.1, TEMPERATURE, antithetic="yes")
