"""Both phases, and conic descent, against the transcripts, step by step with the same noise, in float64.

`Langevin` splits the key of a step, fold_in(key, step), into one for the gradient and one for the noise.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import trees
from langevax.teacher_student import Conic, Converge, Explore, ReLUNetwork
from langevax.teacher_student.networks import signed
from langevax.teacher_student.phases import ClippedError
from tests.papers import transcripts_two_phase as paper

STEPS, KEY, BOUND, RIDGE = 12, 5, 1.3, 0.03


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64():
        yield


def setting():
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(7, 3)),
        rng.normal(size=7),
        ReLUNetwork(rng.normal(size=4), rng.normal(size=(4, 3))),
    )


def noises(position):
    def draw(step):
        return trees.normal_like(
            position,
            key=jax.random.split(jax.random.fold_in(jax.random.key(KEY), step))[1],
        )

    return [jax.tree.map(np.asarray, draw(step)) for step in range(STEPS)]


def run(algorithm, problem, start):
    start = jax.tree.map(jnp.asarray, start)
    return langevax.simulate(
        algorithm,
        problem,
        start,
        key=jax.random.key(KEY),
        num_steps=STEPS,
        record_every=1,
    )


@pytest.mark.parametrize("annealing", [1.0, 20.0])
def test_exploration(annealing):
    inputs, targets, start = setting()
    explore = Explore(0.1, 0.02, annealing, 2 * RIDGE, BOUND, num_steps=STEPS)
    positions = run(
        explore.algorithm(), explore.problem(inputs, targets), start
    ).positions
    temperatures = [0.02 * annealing ** (-step / STEPS) for step in range(STEPS)]
    path = paper.explore(
        inputs, targets, *start, 0.1, temperatures, RIDGE, BOUND, noises(start)
    )[1:]
    np.testing.assert_allclose(
        positions.outer, [a for a, _ in path], rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        positions.inner, [w for _, w in path], rtol=1e-9, atol=1e-12
    )


def test_switch():
    _, _, theta = setting()
    signs, inner = paper.switch(*theta, BOUND)
    network = ClippedError(BOUND).network(theta)
    np.testing.assert_allclose(network.outer, signs)
    np.testing.assert_allclose(network.inner, inner, rtol=1e-14)


def test_convergence():
    inputs, targets, start = setting()
    start = signed(start)
    converge = Converge(0.3)
    positions = run(
        converge.algorithm(inputs, 4), converge.problem(inputs, targets), start
    ).positions
    path = paper.converge(inputs, targets, *start, 0.3, STEPS)[1:]
    np.testing.assert_allclose(positions.inner, path, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(positions.outer, np.tile(start.outer, (STEPS, 1)))


def test_conic_descent():
    inputs, targets, start = setting()
    start = signed(start)
    masses = np.linalg.norm(start.inner, axis=1)
    conic = Conic(step_size=0.2, direction_step_size=0.3, penalty=0.05)
    positions = run(conic, Converge().problem(inputs, targets), start).positions
    path = paper.conic(
        inputs,
        targets,
        start.outer,
        masses,
        start.inner / masses[:, None],
        0.2,
        0.3,
        0.05,
        STEPS,
    )[1:]
    np.testing.assert_allclose(
        positions.inner, [r[:, None] * t for r, t in path], rtol=1e-9, atol=1e-12
    )
