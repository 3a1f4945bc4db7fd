"""Neurons are paired whatever their order and scale, and never across signs where that can be helped."""

import numpy as np
import pytest

from langevax.teacher_student import match_neurons
from tests.sentences import refuses


def random_network(seed, num_neurons, dim):
    rng = np.random.default_rng(seed)
    return rng.normal(size=num_neurons), rng.normal(size=(num_neurons, dim))


def test_a_permuted_and_rescaled_teacher_is_matched_exactly():
    outer, inner = random_network(0, 6, 4)
    order, scale = np.random.default_rng(1).permutation(6), np.linspace(0.2, 3, 6)
    student = (outer * scale)[order], (inner / scale[:, None])[order]
    matching = match_neurons(student, (outer, inner))
    np.testing.assert_array_equal(order[matching.student], np.arange(6))
    np.testing.assert_allclose(matching.distances, 0, atol=1e-7)
    np.testing.assert_allclose(matching.angles, 0, atol=1e-7)
    np.testing.assert_allclose(matching.sizes, 1)
    assert matching.same_sign.all()
    assert len(matching.spare) == 0


def test_pairs_have_the_least_sum_of_squares_of_all_permutations():
    from itertools import permutations

    student, teacher = random_network(2, 4, 3), random_network(3, 4, 3)
    u, v = (np.abs(outer)[:, None] * inner for outer, inner in (student, teacher))
    same = np.sign(teacher[0])[:, None] == np.sign(student[0])
    assert not same.all()

    def total(order):
        return sum(
            np.sum((v[k] - u[j]) ** 2) if same[k, j] else v[k] @ v[k] + u[j] @ u[j]
            for k, j in enumerate(order)
        )

    best = min(total(order) for order in permutations(range(4)))
    matching = match_neurons(student, teacher)
    squares = matching.distances**2 * np.sum(v**2, axis=1)
    assert squares.sum() == pytest.approx(best)
    assert total(matching.student) == pytest.approx(best)


def test_a_neuron_of_the_other_sign_does_not_match():
    student = np.array([-1.0, 1.0]), np.array([[1.0, 0.0], [0.0, 1.0]])
    teacher = np.array([1.0, 1.0]), np.array([[1.0, 0.0], [0.0, 1.0]])
    matching = match_neurons(student, teacher)
    np.testing.assert_array_equal(matching.same_sign, [False, True])
    np.testing.assert_allclose(matching.distances, [np.sqrt(2), 0])
    np.testing.assert_array_equal(matching.student, [0, 1])


def test_wider_and_narrower_students():
    teacher = np.ones(2), np.eye(2)
    wider = match_neurons(
        (np.ones(3), np.array([[0.1, 0.1], [0.0, 1.0], [1.0, 0.0]])), teacher
    )
    np.testing.assert_array_equal(wider.student, [2, 1])
    np.testing.assert_array_equal(wider.spare, [0])
    narrower = match_neurons((np.ones(1), np.array([[0.1, 0.9]])), teacher)
    np.testing.assert_array_equal((narrower.teacher, narrower.student), ([1], [0]))
    dead = match_neurons((np.zeros(2), np.eye(2)), teacher)
    np.testing.assert_allclose(dead.distances, 1)
    np.testing.assert_allclose(dead.angles, np.pi / 2)


def test_several_networks_at_once_are_refused():
    with refuses(ValueError, "student"):
        match_neurons((np.ones((3, 2)), np.ones((3, 2, 2))), (np.ones(2), np.eye(2)))
    with refuses(ValueError, "student 3 2"):
        match_neurons((np.ones(1), np.ones((1, 3))), (np.ones(2), np.eye(2)))
