"""Conic descent finds the teacher's measure, lowers what it is to lower, and keeps its geometry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.teacher_student import (
    Conic,
    Converge,
    ReLUNetwork,
    orthogonal_teacher,
    spread_neurons,
    teach,
    total_variation,
)
from relu_sphere import excess_risk
from tests.sentences import refuses

TEACHER, PENALTY, NEURONS, N = orthogonal_teacher(3, 4, num_positive=2), 1e-3, 40, 300
START = spread_neurons(NEURONS, 4, key=jax.random.key(1))


@pytest.fixture(scope="module")
def data():
    return teach(TEACHER, N, noise=0.0, key=jax.random.key(0))


@pytest.fixture(scope="module")
def problem(data):
    return Converge().problem(*data)


def share_near_teacher(network, degrees):
    """The share of sum_j |outer_j| |inner_j| within an angle of a neuron of the teacher of the same sign."""
    lengths = np.linalg.norm(network.inner, axis=1)
    cosines = network.inner @ TEACHER.inner.T / lengths[:, None]
    near = cosines >= np.cos(np.radians(degrees))
    same = np.sign(network.outer)[:, None] == np.sign(TEACHER.outer)
    sizes = np.abs(network.outer) * lengths
    return sizes[np.any(near & same, axis=1)].sum() / sizes.sum()


def objective(problem, state):
    return problem.value(state.position) + PENALTY * total_variation(state.position)


def run(problem, start=START, penalty=PENALTY, steps=2000):
    conic = Conic(step_size=1.0, direction_step_size=1.0, penalty=penalty)
    options = {
        "key": jax.random.key(2),
        "num_steps": steps,
        "record": objective,
        "record_every": 10,
    }
    return langevax.simulate(conic, problem, start, **options)


@pytest.fixture(scope="module")
def result(problem):
    return run(problem)


@pytest.mark.slow
def test_the_teachers_neurons_are_identified(result):
    """Forty neurons, and nearly all of the measure ends near the teacher's three."""
    assert share_near_teacher(START, degrees=15) < 0.1
    assert share_near_teacher(result.position, degrees=15) > 0.9
    assert excess_risk(result.position, TEACHER) < 3e-4


def test_the_penalised_risk_falls_at_every_look(result):
    values = result.positions
    assert np.all(np.diff(values) < 1e-7)
    assert values[-1] < PENALTY * float(
        total_variation(TEACHER)
    )  # the teacher itself is no better


def test_a_heavier_penalty_leaves_less_total_variation(problem, result):
    heavy = run(problem, penalty=0.02)
    assert (
        total_variation(heavy.position)
        < total_variation(result.position)
        < total_variation(TEACHER)
    )


def test_dead_neurons_stay_dead_and_signs_stay(problem):
    start = START._replace(inner=START.inner.at[:5].set(0.0))
    end = run(problem, start, steps=50).position
    np.testing.assert_array_equal(end.inner[:5], 0)
    np.testing.assert_array_equal(end.outer, START.outer)


def test_a_step_too_long_kills_a_neuron_and_never_turns_it(data):
    """The teacher is all negative: a positive neuron's mass is cut at 0, not made negative."""
    away = Converge().problem(data[0], -jnp.ones(N))
    end = run(
        away, ReLUNetwork(jnp.ones(NEURONS), START.inner), penalty=50.0, steps=1
    ).position
    np.testing.assert_array_equal(end.inner, 0)


def test_mistakes_are_named(data):
    with refuses(ValueError, "direction_step_size 0"):
        Conic(1.0, 0.0, 0.1)
    with refuses(ValueError, "penalty 0"):
        Conic(1.0, 1.0, -0.1)
    with refuses(ValueError):
        Conic(1.0, 1.0, 0.1).check(Converge(precision=0.2).problem(*data))
