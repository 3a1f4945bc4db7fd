"""Exact risks on the sphere against quadrature on the circle and sampled spheres with error bars."""

import numpy as np
import pytest
from scipy.integrate import quad

from relu_sphere import excess_risk, parametric_risk, relu_product
from tests.errorbars import assert_mean
from tests.sentences import refuses


def relu(t):
    return np.maximum(t, 0)


def sphere(rng, size, dim):
    x = rng.normal(size=(size, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def outputs(network, x):
    outer, inner = network
    return relu(x @ inner.T) @ outer


def random_network(rng, num_neurons, dim):
    return rng.normal(size=num_neurons), rng.normal(size=(num_neurons, dim))


def on_circle(function):
    """The mean of function(x) over the unit circle."""
    at = lambda angle: function(np.array([np.cos(angle), np.sin(angle)]))
    return quad(at, 0, 2 * np.pi, limit=500, epsabs=1e-12)[0] / (2 * np.pi)


def test_product_is_the_integral_over_the_circle():
    u, v = np.array([1.3, 0.4]), np.array([-0.2, 0.9])
    for other in (v, u, -u, np.zeros(2)):
        integral = on_circle(lambda x: relu(u @ x) * relu(other @ x))  # noqa: B023
        assert relu_product(u[None], other[None])[0, 0] == pytest.approx(
            integral, abs=1e-10
        )


def test_excess_risk_is_the_integral_over_the_circle():
    rng = np.random.default_rng(0)
    student, teacher = random_network(rng, 3, 2), random_network(rng, 2, 2)
    integral = on_circle(lambda x: (outputs(student, x) - outputs(teacher, x)) ** 2)
    assert excess_risk(student, teacher) == pytest.approx(integral, rel=1e-8)


@pytest.mark.parametrize("dim", [3, 10])
def test_excess_risk_is_the_mean_over_sampled_spheres(dim):
    rng = np.random.default_rng(dim)
    student, teacher = random_network(rng, 4, dim), random_network(rng, 3, dim)
    x = sphere(rng, 40_000, dim)
    exact = excess_risk(student, teacher)
    assert_mean(
        (outputs(student, x) - outputs(teacher, x)) ** 2,
        exact,
        wrong=exact * dim / (dim + 1),
    )


def test_excess_risk_of_many_networks_at_once():
    rng = np.random.default_rng(1)
    teacher = random_network(rng, 2, 3)
    outer, inner = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 4, 3))
    risks = excess_risk((outer, inner), teacher)
    assert risks.shape == (2, 5)
    assert risks[1, 3] == pytest.approx(
        float(excess_risk((outer[1, 3], inner[1, 3]), teacher)), rel=1e-13
    )


def test_excess_risk_sees_a_small_distance():
    """Near the teacher it is the quadratic form of the tangent, far below the rounding of float32."""
    teacher = np.ones(1), np.array([[0.0, 0.0, 2.0]])
    moved = np.ones(1), np.array([[0.0, 0.0, 2.0 + 1e-6]])
    assert excess_risk(moved, teacher) == pytest.approx(
        1e-12 / 6, rel=1e-3
    )  # E relu(x_3)^2 = 1 / (2 d)


def test_networks_of_other_inputs_are_refused():
    with refuses(ValueError, "network 3 2"):
        excess_risk((np.ones(1), np.ones((1, 3))), (np.ones(1), np.ones((1, 2))))


def test_parametric_risk_is_that_of_least_squares_near_the_teacher():
    """One neuron, its signs of activity known: least squares on the active half, averaged over draws."""
    rng, dim, size, noise = np.random.default_rng(4), 3, 2000, 0.1
    teacher = np.ones(1), np.array([[0.0, 0.0, 1.0]])
    risks = []
    for _ in range(300):
        x = sphere(rng, size, dim)
        y = outputs(teacher, x) + noise * rng.normal(size=size)
        active = x[x[:, 2] > 0]
        w = np.linalg.lstsq(active, y[x[:, 2] > 0])[0]
        risks.append(
            (w - teacher[1][0]) @ (w - teacher[1][0]) / (2 * dim)
        )  # E 1{active} x x^T = I / (2 d)
    expected = parametric_risk(1, dim, noise**2, size)
    assert_mean(risks, expected, slack=0.02 * expected, wrong=2 * expected)
