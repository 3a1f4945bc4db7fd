"""A function as a problem: one component, whose gradient is JAX's; with any estimator the same chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import gradients
from langevax.problems.problem import Function
from tests.sentences import refuses

X = {"w": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}


def cubic(x):
    return jnp.sum(x["w"] ** 3) + x["b"] ** 2


def assert_close(actual, expected):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-6), actual, expected
    )


def test_value_and_gradients_are_those_of_the_function():
    """At indices, too: there is one component, however often it is asked for."""
    problem, gradient = (
        Function(cubic),
        {"w": np.array([3.0, 12.0]), "b": np.array(1.0)},
    )
    assert (problem.size, problem.max_size) == (1, 1)
    value, both = problem.value_and_gradient(X)
    assert float(value) == float(problem.value(X)) == -6.75
    for measured in (
        both,
        problem.gradient(X),
        problem.gradient_at(X, jnp.array([0, 0, 0])),
    ):
        assert_close(measured, gradient)
    assert_close(
        problem.gradients_at(X, jnp.array([0, 0])),
        jax.tree.map(lambda g: np.stack([g, g]), gradient),
    )


def test_the_precision_is_added():
    """Half of 3 |w|^2, and no part of the gradient."""
    problem = Function(cubic, precision={"w": 3.0, "b": 0.0})
    assert float(problem.potential(X)) == pytest.approx(-6.75 + 7.5)
    assert_close(problem.gradient(X), Function(cubic).gradient(X))
    assert_close(problem.potential_gradient(X)["w"], np.array([6.0, 6.0]))


def test_every_estimator_gives_the_same_chain():
    """Batches of the one component are the whole, and each is counted."""
    runs = [
        langevax.simulate(
            langevax.Langevin(0.01, 0.1, estimator),
            Function(cubic),
            X,
            key=jax.random.key(0),
            num_steps=7,
        )
        for estimator in (
            gradients.Full(),
            gradients.Minibatch(1),
            gradients.SVRG(1, 3),
            gradients.SARAH(1, 3),
        )
    ]
    for run in runs[1:]:
        assert_close(run.position, runs[0].position)
    assert [run.evaluations for run in runs] == [7, 7, 11, 11]


def test_mistakes_are_named(unchecked_types):
    with refuses(TypeError, "fun 3.0"):
        Function(3.0)  # pyright: ignore
    with refuses(ValueError, "precision 0"):
        Function(cubic, precision=-1.0)
    with refuses(ValueError, "fun (2,)"):
        Function(lambda x: x**2).gradient(jnp.ones(2))
