"""PDA, P-SDCA and fictitious play against their transcripts, with the same random numbers, in float64.

The documented keys: step s has key fold_in(key, s). PDA splits it for the batch and the inner steps, fictitious play
gives it to the inner steps; inner step k has fold_in(that, k), split as `Langevin` does. P-SDCA splits it for the
refresh (again for resampling and moves) and the row; move k has fold_in(that, k), split over the particles.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import MeanFieldRisk, integrators, losses, meanfield, neurons, trees
from langevax.gradients import batches
from langevax.meanfield.moves import FIRST_RELATIVE_STEP, adapted_step_size
from tests.papers import tiny, transcripts_dual, transcripts_sdca

pytestmark = pytest.mark.mostly_compiling

STEP_SIZE, TEMPERATURE, RIDGE = 0.3, tiny.TEMPERATURE, tiny.RIDGE
N = len(tiny.INPUTS)
KEY = 5
MOVES = {"explicit": integrators.Explicit(), "exponential": integrators.Exponential()}


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64():
        yield


def risk_of(loss):
    inputs, targets = jnp.asarray(tiny.INPUTS)[:, None], jnp.asarray(tiny.TARGETS[loss])
    kind = (
        losses.SmoothedHinge(0.5) if loss == "smoothed hinge" else getattr(losses, loss)
    )
    return MeanFieldRisk(neurons.Tanh(3.0), kind, inputs, targets, precision=2 * RIDGE)


def start_of(num_particles):
    return tiny.prior_draws(np.random.default_rng(2), num_particles)


def path(algorithm, risk, start, num_steps):
    """States after each step, the start's cloud before them, and the result."""
    result = langevax.simulate(
        algorithm,
        risk,
        jnp.asarray(start),
        key=jax.random.key(KEY),
        num_steps=num_steps,
        record_every=1,
        record=lambda problem, state: state,
    )
    return jax.tree.map(np.asarray, result.positions), result


def step_keys(num_steps):
    return [jax.random.fold_in(jax.random.key(KEY), s) for s in range(num_steps)]


def inner_noises(key, number, cloud):
    """(number, N, d)."""
    keys = [jax.random.split(jax.random.fold_in(key, k))[1] for k in range(number)]
    return np.stack(
        [np.asarray(trees.normal_like(jnp.asarray(cloud), key=k)) for k in keys]
    )


def assert_same(actual, expected):
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-11)
    assert np.ptp(actual) > 0.1  # it moved


@pytest.mark.parametrize("move", ["explicit", "exponential"])
@pytest.mark.parametrize(
    ("loss", "batch_size", "tempered", "growth"),
    [
        ("squared", None, False, 0.0),
        ("squared", None, True, 0.0),
        ("logistic", 1, True, 1.0),
        ("squared", 3, False, 0.5),
    ],
)
def test_particle_dual_averaging(loss, batch_size, tempered, growth, move):
    """Full batch and online, with the ridge as it is and tempered, constant and growing inner loops."""
    rounds, start, risk = 7, start_of(5), risk_of(loss)
    pda = meanfield.PDA(
        STEP_SIZE,
        TEMPERATURE,
        num_inner_steps=2,
        growth=growth,
        batch_size=batch_size,
        tempered=tempered,
        integrator=MOVES[move],
    )
    states, result = path(pda, risk, start, rounds)
    numbers = [int(np.ceil(2 * t**growth - 1e-9)) for t in range(1, rounds + 1)]
    keys = [jax.random.split(key) for key in step_keys(rounds)]
    rows = [np.arange(N)] * rounds
    if batch_size is not None:
        rows = [np.asarray(batches.draw(key[0], risk, batch_size)) for key in keys]
    clouds, sums = transcripts_dual.pda(
        tiny.neuron,
        tiny.neuron_gradient,
        tiny.derivative(loss),
        tiny.INPUTS,
        tiny.TARGETS[loss],
        start,
        STEP_SIZE,
        RIDGE,
        TEMPERATURE,
        rows,
        [inner_noises(key[1], k, start) for key, k in zip(keys, numbers, strict=True)],
        getattr(transcripts_dual, move),
        tempered,
    )
    assert_same(states.position, clouds[1:])
    # the library keeps the mean dual of each row and the weights it was seen with; their product is the paper's sum
    weight = 1.0 if batch_size is None else N / batch_size
    assert_same(states.dual * states.weights * weight, sums)
    rows_per_round = N if batch_size is None else batch_size
    assert result.evaluations == rounds * rows_per_round + sum(numbers) * N
    assert result.counts["inner_steps"] == sum(numbers)


@pytest.mark.parametrize("move", ["explicit", "exponential"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_fictitious_play(loss, move):
    rounds, start, risk = 6, start_of(5), risk_of(loss)
    play = meanfield.FictitiousPlay(
        STEP_SIZE, TEMPERATURE, rate=0.3, num_inner_steps=3, integrator=MOVES[move]
    )
    states, result = path(play, risk, start, rounds)
    clouds, outputs = transcripts_dual.fictitious_play(
        tiny.neuron,
        tiny.neuron_gradient,
        tiny.derivative(loss),
        tiny.INPUTS,
        tiny.TARGETS[loss],
        start,
        0.3,
        STEP_SIZE,
        RIDGE,
        TEMPERATURE,
        [inner_noises(key, 3, start) for key in step_keys(rounds)],
        getattr(transcripts_dual, move),
    )
    assert_same(states.position, clouds[1:])
    assert_same(states.outputs, outputs[1:])
    derivative = np.vectorize(tiny.derivative(loss))
    assert_same(states.dual[-1], derivative(outputs[-1], tiny.TARGETS[loss]))
    assert result.evaluations == N + rounds * 4 * N


def pace(gradients):
    """The scale of each coordinate: sqrt(T / E (dU)^2)."""
    return np.sqrt(TEMPERATURE / np.mean(gradients**2, axis=0))


def of_mean_one(log_weights):
    """The library's are up to a constant."""
    return log_weights - np.log(np.mean(np.exp(log_weights), axis=1))[:, None]


def spread(weights, values):
    return 2 * weights @ (values - weights @ values) ** 2


@pytest.mark.parametrize("curvature", ["bound", "variance"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "smoothed hinge"])
def test_stochastic_dual_coordinate_ascent(loss, curvature):
    """Rows, weights, duals, log Z, refreshes by period and by uneven weights, and the moves."""
    num_particles, num_moves, period, steps = 12, 3, 9, 25
    start, risk = start_of(num_particles), risk_of(loss)
    states, result = path(
        meanfield.PSDCA(
            TEMPERATURE, num_inner_steps=num_moves, period=period, curvature=curvature
        ),
        risk,
        start,
        steps,
    )
    keys = [jax.random.split(key) for key in step_keys(steps)]
    refresh_keys = [jax.random.split(key[0]) for key in keys]

    def of_moves(t, draw):
        particle_keys = [
            jax.random.split(jax.random.fold_in(refresh_keys[t][1], k), num_particles)
            for k in range(num_moves)
        ]
        return np.array(
            [[draw(jax.random.split(key)) for key in move] for move in particle_keys]
        )

    expected = transcripts_sdca.psdca(
        tiny.neuron,
        tiny.neuron_gradient,
        getattr(transcripts_sdca, loss.replace(" ", "_")),
        tiny.INPUTS,
        tiny.TARGETS[loss],
        start,
        tiny.BOUND,
        RIDGE,
        TEMPERATURE,
        [int(jax.random.randint(key[1], (), 0, N, jnp.int32)) for key in keys],
        period,
        lambda t: states.step_size[t - 1],
        lambda t: float(jax.random.uniform(refresh_keys[t][0], (), jnp.float64)),
        lambda t: of_moves(
            t, lambda key: np.asarray(jax.random.normal(key[0], (2,), jnp.float64))
        ),
        lambda t: of_moves(
            t, lambda key: float(jax.random.uniform(key[1], dtype=jnp.float64))
        ),
        pace=pace,
        **({} if curvature == "bound" else {"curvature": spread, "trust": 1.0}),
    )
    assert_same(states.dual, expected.dual[1:])
    assert_same(states.position, expected.particles[1:])
    assert_same(of_mean_one(states.log_weights), of_mean_one(expected.log_weights[1:]))
    of_prior = np.log(
        np.pi * TEMPERATURE / RIDGE
    )  # the library's log Z is against the prior
    assert_same(
        states.log_partition + states.since_refresh,
        expected.log_partition[1:] - of_prior,
    )
    assert 2 <= expected.refreshed.sum() == result.counts["refreshes"]
    # where a refresh is due is known from a look at the row, which the new cloud is then asked about as well
    assert result.evaluations == steps + result.counts["refreshes"] * (
        (num_moves + 1) * N + 1
    )
    assert 0 < np.nanmean(expected.accepted) < 1


@pytest.mark.slow
def test_uneven_weights_refresh_before_the_period():
    start, risk = start_of(12), risk_of("squared")
    _, result = path(
        meanfield.PSDCA(
            TEMPERATURE, num_inner_steps=1, period=1000, curvature="variance"
        ),
        risk,
        start,
        25,
    )
    assert result.counts["refreshes"] >= 1


@pytest.mark.slow
def test_the_step_of_the_moves_follows_the_acceptance():
    states, _ = path(
        meanfield.PSDCA(TEMPERATURE, num_inner_steps=2, period=2),
        risk_of("squared"),
        start_of(50),
        20,
    )
    previous = FIRST_RELATIVE_STEP
    for t in range(20):
        refreshed = t > 0 and t % 2 == 0
        expected = (
            float(
                adapted_step_size(jnp.asarray(previous), states.acceptance[t], "mala")
            )
            if refreshed
            else previous
        )
        assert states.step_size[t] == pytest.approx(expected, rel=1e-12)
        previous = states.step_size[t]
    assert len(np.unique(states.step_size)) > 2
