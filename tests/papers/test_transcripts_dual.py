"""The transcripts of dual averaging and of fictitious play against what is known without them."""

import numpy as np
import pytest

from tests.papers import tiny, transcripts
from tests.papers.tiny import RIDGE, TEMPERATURE
from tests.papers.transcripts_dual import explicit, exponential, fictitious_play, pda

STEP_SIZE = 0.2
ROWS = list(range(8))


def network(loss="squared"):
    return (
        tiny.neuron,
        tiny.neuron_gradient,
        tiny.derivative(loss),
        tiny.INPUTS,
        tiny.TARGETS[loss],
    )


def cloud_and_noises(shape, num_particles=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num_particles, 2)), rng.normal(
        size=(*shape, num_particles, 2)
    )


def gibbs_drift(cloud, dual, precision):
    slopes = 3 * (1 - np.tanh(cloud[:, :1] * tiny.INPUTS + cloud[:, 1:]) ** 2)  # (N, n)
    data = np.stack([slopes * tiny.INPUTS @ dual, slopes @ dual], axis=1) / 8
    return data + precision * cloud


def outputs_of(cloud):
    return 3 * np.tanh(cloud[:, :1] * tiny.INPUTS + cloud[:, 1:]).mean(axis=0)


def test_first_round_of_tempered_dual_averaging_is_a_third_of_mean_field_langevins_drift():
    """2 / ((1 + 1)(1 + 2)) = 1/3, of the data and of the ridge; without tempering, of the data alone."""
    cloud, _ = cloud_and_noises(())
    still = np.zeros((1, 1, 5, 2))
    full = (
        cloud
        - transcripts.mfld(*network(), cloud, STEP_SIZE, RIDGE, TEMPERATURE, still[0])[
            1
        ]
    )
    for tempered, expected in (
        (True, full / 3),
        (False, (full + 2 * STEP_SIZE * 2 * RIDGE * cloud) / 3),
    ):
        clouds, _ = pda(
            *network(),
            cloud,
            STEP_SIZE,
            RIDGE,
            TEMPERATURE,
            [ROWS],
            still,
            tempered=tempered,
        )
        np.testing.assert_allclose(clouds[0] - clouds[1], expected, rtol=0, atol=1e-14)


def test_noise_of_dual_averaging_is_that_of_mean_field_langevin():
    cloud, noises = cloud_and_noises((1, 1))
    still, _ = pda(*network(), cloud, STEP_SIZE, RIDGE, TEMPERATURE, [ROWS], 0 * noises)
    moved, _ = pda(*network(), cloud, STEP_SIZE, RIDGE, TEMPERATURE, [ROWS], noises)
    np.testing.assert_allclose(
        moved[1] - still[1],
        np.sqrt(2 * TEMPERATURE * STEP_SIZE) * noises[0, 0],
        atol=1e-14,
    )


@pytest.mark.parametrize("move", [explicit, exponential])
@pytest.mark.parametrize("tempered", [False, True])
def test_rounds_of_dual_averaging_follow_their_averaged_dual(move, tempered):
    """Batches of two with repeats, several inner steps: rebuilt from A alone, and A from the clouds alone."""
    rounds, steps = 4, 3
    cloud, noises = cloud_and_noises((rounds, steps))
    batches = np.array([[0, 3], [5, 5], [3, 7], [1, 0]])
    clouds, sums = pda(
        *network(),
        cloud,
        STEP_SIZE,
        RIDGE,
        TEMPERATURE,
        batches,
        noises,
        move,
        tempered,
    )
    expected = np.zeros(8)
    for t in range(1, rounds + 1):
        slopes = outputs_of(clouds[t - 1]) - tiny.TARGETS["squared"]
        for i in batches[t - 1]:
            expected[i] += t * slopes[i] * 8 / 2
        np.testing.assert_allclose(sums[t - 1], expected, rtol=0, atol=1e-12)
        dual = 2 * expected / ((t + 1) * (t + 2))
        precision = 2 * RIDGE * (t / (t + 2) if tempered else 1)
        cloud = clouds[t - 1]
        for xi in noises[t - 1]:
            cloud = move(
                cloud,
                gibbs_drift(cloud, dual, 0.0),
                precision,
                STEP_SIZE,
                TEMPERATURE,
                xi,
            )
        np.testing.assert_allclose(clouds[t], cloud, rtol=0, atol=1e-12)


def test_exponential_move_keeps_the_prior_and_the_explicit_one_widens_it():
    """Variance map a^2 V + noise; data gradients enter as the exact flow of a constant force."""
    zero, one, precision = np.zeros(1), np.ones(1), 2 * RIDGE
    prior = TEMPERATURE / precision
    for move, variance in (
        (exponential, prior),
        (explicit, prior / (1 - STEP_SIZE * RIDGE)),
    ):
        decay = move(one, zero, precision, STEP_SIZE, TEMPERATURE, zero)
        spread = move(zero, zero, precision, STEP_SIZE, TEMPERATURE, one)
        assert decay**2 * variance + spread**2 == pytest.approx(variance, rel=1e-12)
    parts = [one]
    for _ in range(10_000):
        parts.append(
            explicit(
                parts[-1], 0.7 * one, precision, STEP_SIZE / 10_000, TEMPERATURE, zero
            )
        )
    assert exponential(
        one, 0.7 * one, precision, STEP_SIZE, TEMPERATURE, zero
    ) == pytest.approx(parts[-1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("tempered", [False, True])
def test_dual_averaging_climbs_to_the_optimum_of_the_dual(tempered):
    """Full batch, 80 particles, one inner step a round; the noise of so few leaves about 3 % of the first distance."""
    solved, rounds = tiny.exact("squared"), 30
    noises = np.random.default_rng(1).normal(size=(rounds, 1, 80, 2))
    start = tiny.prior_points(80)
    _, sums = pda(
        *network(),
        start,
        STEP_SIZE,
        RIDGE,
        TEMPERATURE,
        [ROWS] * rounds,
        noises,
        exponential,
        tempered,
    )
    best = solved.dual_objective(solved.optimal_dual())
    gaps = [
        best - solved.dual_objective(2 * sums[t - 1] / (t * (t + 1)))
        for t in (1, 10, rounds)
    ]
    assert 0 < gaps[2] < 0.08 * gaps[0]
    assert gaps[1] > 0.1 * gaps[0]


def test_fictitious_play_with_rate_one_forgets_and_with_rate_zero_freezes():
    cloud, noises = cloud_and_noises((3, 2))
    clouds, outputs = fictitious_play(
        *network(), cloud, 1.0, STEP_SIZE, RIDGE, TEMPERATURE, noises
    )
    for k in range(4):
        np.testing.assert_allclose(
            outputs[k], outputs_of(clouds[k]), rtol=0, atol=1e-14
        )
    start_outputs = np.linspace(-1, 1, 8)
    arguments = (STEP_SIZE, RIDGE, TEMPERATURE, noises)
    _, outputs = fictitious_play(
        *network(), cloud, 0.0, *arguments, start_outputs=start_outputs
    )
    np.testing.assert_array_equal(outputs, np.tile(start_outputs, (4, 1)))


def test_fictitious_play_with_rate_one_and_one_inner_step_is_mean_field_langevin():
    cloud, noises = cloud_and_noises((4, 1))
    clouds, _ = fictitious_play(
        *network(), cloud, 1.0, STEP_SIZE, RIDGE, TEMPERATURE, noises
    )
    expected = transcripts.mfld(
        *network(), cloud, STEP_SIZE, RIDGE, TEMPERATURE, noises[:, 0]
    )
    np.testing.assert_allclose(clouds, expected, rtol=0, atol=1e-14)


def test_fictitious_play_climbs_to_the_optimum_of_the_dual():
    solved, rounds = tiny.exact("squared"), 30
    noises = np.random.default_rng(2).normal(size=(rounds, 2, 80, 2))
    arguments = (
        tiny.prior_points(80),
        0.1,
        STEP_SIZE,
        RIDGE,
        TEMPERATURE,
        noises,
        exponential,
    )
    _, outputs = fictitious_play(*network(), *arguments)
    best = solved.dual_objective(solved.optimal_dual())
    gaps = [
        best - solved.dual_objective(solved.derivative(outputs[k], solved.targets))
        for k in (0, 10, rounds)
    ]
    assert 0 < gaps[2] < 0.08 * gaps[0]
    assert gaps[1] > 0.1 * gaps[0]
