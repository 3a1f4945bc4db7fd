"""The transcripts against what is known without them, before anything is held against the transcripts."""

import numpy as np
import pytest

from langevax.theory.mean_field import linear_optimum
from tests.papers import transcripts

N, D, STEPS = 6, 3, 12


@pytest.fixture
def components():
    """Random quadratics f_i = 1/2 <x, A_i x> + <c_i, x>; a gradient oracle and the mean gradient."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(N, D, D))
    matrices, slopes = roots @ roots.transpose(0, 2, 1) / D, rng.normal(size=(N, D))

    def component_gradient(x, indices):
        return matrices[indices].mean(axis=0) @ x + slopes[indices].mean(axis=0)

    return component_gradient, lambda x: matrices.mean(axis=0) @ x + slopes.mean(axis=0)


@pytest.fixture
def draws():
    rng = np.random.default_rng(1)
    return [rng.choice(N, 2, replace=False) for _ in range(STEPS)], rng.normal(
        size=(STEPS, D)
    )


def noisy_gradient_descent(gradient, start, step_size, gamma, noises):
    iterates = [start]
    for xi in noises:
        x = iterates[-1]
        iterates.append(
            x - step_size * gradient(x) + (2 * step_size / gamma) ** 0.5 * xi
        )
    return np.array(iterates)


@pytest.mark.parametrize("method", [transcripts.svrg_ld, transcripts.sarah_ld])
def test_period_one_is_gradient_descent_with_noise(method, components, draws):
    oracle, gradient = components
    batches, noises = draws
    expected = noisy_gradient_descent(gradient, np.ones(D), 0.1, 4.0, noises)
    actual = method(oracle, N, np.ones(D), 0.1, 4.0, 1, batches, noises)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", [transcripts.svrg_ld, transcripts.sarah_ld])
def test_full_batches_are_gradient_descent_with_noise(method, components, draws):
    oracle, gradient = components
    expected = noisy_gradient_descent(gradient, np.ones(D), 0.1, 4.0, draws[1])
    actual = method(
        oracle, N, np.ones(D), 0.1, 4.0, 5, [np.arange(N)] * STEPS, draws[1]
    )
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)


def test_svrg_and_sarah_part_at_the_second_step_after_a_refresh(components, draws):
    svrg = transcripts.svrg_ld(components[0], N, np.ones(D), 0.1, 4.0, 4, *draws)
    sarah = transcripts.sarah_ld(components[0], N, np.ones(D), 0.1, 4.0, 4, *draws)
    np.testing.assert_allclose(
        svrg[:3], sarah[:3], rtol=0, atol=1e-14
    )  # first inner step: x_prev is the snapshot
    assert np.abs(svrg[3] - sarah[3]).max() > 1e-3


@pytest.mark.parametrize("method", [transcripts.svrg_ld, transcripts.sarah_ld])
def test_scaling_the_sum_is_scaling_step_and_temperature(method, components, draws):
    oracle, _ = components
    one = method(oracle, N, np.ones(D), 0.1, 4.0, 4, *draws)
    other = method(
        lambda x, indices: 5 * oracle(x, indices),
        N,
        np.ones(D),
        0.1 / 5,
        4.0 / 5,
        4,
        *draws,
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


def test_mala_accepts_by_detailed_balance():
    """The log ratio is log pi(y) q(y, x) - log pi(x) q(x, y): uniforms on both sides of it decide."""
    step_size, temperature, x, xi = (
        0.3,
        0.7,
        np.array([0.4, -1.0]),
        np.array([1.1, 1.3]),
    )
    potential, gradient = lambda x: np.sum(x**4) / 4, lambda x: x**3
    y = x - step_size * gradient(x) + np.sqrt(2 * step_size * temperature) * xi

    def log_density(a, b):  # of moving from a to b, without its constant
        return -np.sum((b - a + step_size * gradient(a)) ** 2) / (
            2 * 2 * step_size * temperature
        )

    log_ratio = (
        -potential(y) / temperature
        + log_density(y, x)
        + potential(x) / temperature
        - log_density(x, y)
    )
    assert -3 < log_ratio < 0
    for shift, accepted in ((-1e-9, True), (1e-9, False)):
        uniforms = [np.exp(log_ratio + shift)]
        iterates, flags = transcripts.mala(
            potential, gradient, x, step_size, temperature, [xi], uniforms
        )
        assert flags.tolist() == [accepted]
        np.testing.assert_allclose(
            iterates[1], y if accepted else x, rtol=0, atol=1e-15
        )


def test_mala_keeps_a_gaussian_that_the_unadjusted_step_inflates():
    rng = np.random.default_rng(2)
    step_size, temperature, steps = 0.8, 0.5, 20_000
    chain, accepted = transcripts.mala(
        lambda x: np.sum(x**2) / 2,
        lambda x: x,
        np.zeros(1),
        step_size,
        temperature,
        rng.normal(size=(steps, 1)),
        rng.uniform(size=steps),
    )
    squares = chain[100:].ravel()[:19_800] ** 2
    batch_means = squares.reshape(99, 200).mean(axis=1)
    standard_error = batch_means.std(ddof=1) / np.sqrt(99)
    assert abs(batch_means.mean() - temperature) < 4 * standard_error
    assert (
        4 * standard_error < 0.2 * temperature
    )  # the unadjusted step has variance temperature / 0.6
    assert 0.5 < accepted.mean() < 0.99


def tanh_neuron(particle, x):
    return np.tanh(particle @ x)


def tanh_gradient(particle, x):
    return (1 - np.tanh(particle @ x) ** 2) * x


def squared_derivative(z, y):
    return z - y


@pytest.fixture
def network():
    rng = np.random.default_rng(3)
    return (
        tanh_neuron,
        tanh_gradient,
        squared_derivative,
        rng.normal(size=(N, 2)),
        rng.normal(size=N),
    )


def test_mfld_drift_is_num_particles_times_the_gradient_of_the_networks_risk(network):
    """Against central differences of the regularised risk of the averaged network, times N."""
    inputs, targets = network[3:]
    cloud, step_size, ridge = np.random.default_rng(4).normal(size=(5, 2)), 0.5, 0.3

    def risk(cloud):
        outputs = np.tanh(cloud @ inputs.T).mean(axis=0)
        return np.mean((outputs - targets) ** 2) / 2 + ridge * np.sum(cloud**2) / len(
            cloud
        )

    moved = transcripts.mfld(
        *network, cloud, step_size, ridge, 0.1, np.zeros((1, 5, 2))
    )[1]
    for r, k in np.ndindex(5, 2):
        nudge = np.zeros((5, 2))
        nudge[r, k] = 1e-5
        slope = (risk(cloud + nudge) - risk(cloud - nudge)) / 2e-5
        assert (cloud - moved)[r, k] / step_size == pytest.approx(5 * slope, abs=1e-9)


def test_mfld_noise_is_the_same_for_every_particle_and_not_divided_by_their_number(
    network,
):
    cloud, noise = np.zeros((5, 2)), np.ones((1, 5, 2))
    still = transcripts.mfld(*network, cloud, 0.5, 0.3, 0.1, 0 * noise)[1]
    np.testing.assert_allclose(
        transcripts.mfld(*network, cloud, 0.5, 0.3, 0.1, noise)[1] - still,
        0.1**0.5,
        atol=1e-15,
    )


def test_mfld_without_noise_rests_at_the_linear_optimum():
    rng = np.random.default_rng(5)
    inputs, targets = rng.normal(size=(N, 2)), rng.normal(size=N)
    optimum = linear_optimum(inputs, targets, ridge=0.3, temperature=0.1)
    cloud = np.tile(optimum.mean, (4, 1))
    linear = (
        lambda particle, x: particle @ x,
        lambda particle, x: x,
        squared_derivative,
    )
    moved = transcripts.mfld(
        *linear, inputs, targets, cloud, 0.5, 0.3, 0.1, np.zeros((3, 4, 2))
    )
    np.testing.assert_allclose(moved, np.tile(cloud, (4, 1, 1)), atol=1e-14)


@pytest.mark.parametrize(("period", "batch"), [(1, [0]), (3, range(N))])
def test_svrg_mfld_with_period_one_or_full_batches_is_mfld(network, period, batch):
    rng = np.random.default_rng(6)
    cloud, noises = rng.normal(size=(4, 2)), rng.normal(size=(5, 4, 2))
    expected = transcripts.mfld(*network, cloud, 0.5, 0.3, 0.1, noises)
    actual = transcripts.svrg_mfld(
        *network, cloud, 0.5, 0.3, 0.1, period, [list(batch)] * 5, noises
    )
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-14)


def test_svrg_mfld_is_unbiased_and_its_spread_is_that_of_both_anchors(network):
    """Batches of one: their mean is the full step, and each strays by now - then at old measure and old position."""
    inputs, targets = network[3:]
    rng = np.random.default_rng(7)
    cloud, noises = rng.normal(size=(4, 2)), rng.normal(size=(2, 4, 2))
    step_size = 0.5
    full = transcripts.mfld(*network, cloud, step_size, 0.3, 0.1, noises)
    single = [
        transcripts.svrg_mfld(
            *network, cloud, step_size, 0.3, 0.1, 2, [None, [i]], noises
        )[2]
        for i in range(N)
    ]
    np.testing.assert_allclose(np.mean(single, axis=0), full[2], rtol=0, atol=1e-14)

    def component_drifts(cloud):  # (n, N, d)
        activations = np.tanh(cloud @ inputs.T)
        dual = activations.mean(axis=0) - targets
        return (dual * (1 - activations**2)).T[:, :, None] * inputs[:, None, :]

    differences = component_drifts(full[1]) - component_drifts(full[0])
    expected = full[2] - step_size * (differences - differences.mean(axis=0))
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-14)
