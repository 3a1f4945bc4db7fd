"""Row weights, a free intercept, weight decay and the end of phase II, each against plain NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.teacher_student import (
    Converge,
    Explore,
    ReLUNetwork,
    orthogonal_teacher,
    teach,
    two_phase,
)
from tests.sentences import refuses

WEIGHTS = np.array([1.0, 2.0, 0.0, 3.0, 1.0, 1.0, 0.5])


@pytest.mark.slow
@pytest.mark.parametrize(
    "phase",
    [Explore(precision=0.2), Converge(precision=0.2)],
    ids=["explore", "converge"],
)
def test_value_and_gradient_are_those_of_the_best_intercept(phase):
    """Against central differences of the weighted variance of the errors in NumPy; in three blocks of rows."""
    with jax.enable_x64():
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(7, 2)), rng.normal(size=7)
        position = ReLUNetwork(np.array([1.0, -1.0, 1.0]), rng.normal(size=(3, 2)))
        problem = phase.problem(X, y, weights=WEIGHTS, intercept=True, block_size=3)

        def value(inner):
            one = problem.loss.network(
                ReLUNetwork(jnp.asarray(position.outer), jnp.asarray(inner))
            )
            e = (
                np.asarray(
                    np.maximum(X @ np.asarray(one.inner).T, 0) @ np.asarray(one.outer)
                )
                - y
            )
            return np.cov(e, aweights=WEIGHTS, bias=True) / 2

        best, gradient = problem.value_and_gradient(jax.tree.map(jnp.asarray, position))
        assert float(best) == pytest.approx(value(position.inner), rel=1e-12)
        for j, k in np.ndindex(3, 2):
            step = np.zeros((3, 2))
            step[j, k] = 1e-6
            slope = (value(position.inner + step) - value(position.inner - step)) / 2e-6
            assert float(gradient.inner[j, k]) == pytest.approx(
                slope, rel=1e-6, abs=1e-9
            )


@pytest.mark.slow
def test_weights_are_rows_repeated_and_decay_has_its_closed_form():
    """One neuron that sees positive numbers only is ridge regression: inner = sum w x y / (sum w x^2 + 2 ridge W)."""
    X, y = (
        np.abs(np.random.default_rng(1).normal(size=(7, 1))) + 0.1,
        np.linspace(1, 2, 7),
    )
    start = ReLUNetwork(jnp.array([1.5]), jnp.array([[1.0]]))
    options: dict[str, Any] = {
        "key": jax.random.key(0),
        "explore": Explore(num_steps=0),
        "start": start,
        "num_restarts": 1,
    }
    options |= {"converge": Converge(step_size=0.5, num_steps=400, precision=0.1)}
    weighted = two_phase(np.float32(X), np.float32(y), 1, weights=WEIGHTS, **options)
    ridge = np.sum(WEIGHTS * X[:, 0] * y) / (
        np.sum(WEIGHTS * X[:, 0] ** 2) + 2 * 0.05 * WEIGHTS.sum()
    )
    assert weighted.network.inner[0, 0] == pytest.approx(ridge, rel=1e-5)


@pytest.mark.slow
def test_an_intercept_is_free():
    """Targets far from 0 are fitted as if they were near it."""
    X, y = teach(orthogonal_teacher(2, 3), 100, noise=0.0, key=jax.random.key(0))
    short = {
        "explore": Explore(num_steps=200),
        "converge": Converge(num_steps=200),
        "num_restarts": 2,
    }
    near, far = (
        two_phase(X, y + b, 2, key=jax.random.key(1), intercept=True, **short)
        for b in (0.0, 8.0)
    )
    np.testing.assert_allclose(
        near.result.position.inner, far.result.position.inner, atol=2e-3
    )
    assert far.losses.min() < 1e-6


@pytest.mark.slow
def test_descent_ends_once_it_has_ceased_to_pay():
    X, y = teach(orthogonal_teacher(2, 3), 100, noise=0.1, key=jax.random.key(0))
    short = {
        "explore": Explore(num_steps=200),
        "num_restarts": 2,
        "key": jax.random.key(1),
        "record_every": 20,
    }
    ended = two_phase(
        X,
        y,
        2,
        converge=Converge(step_size=0.1, num_steps=20_000, tolerance=1e-3),
        **short,
    )
    longer = two_phase(
        X,
        y,
        2,
        converge=Converge(step_size=0.1, num_steps=2 * ended.result.steps),
        **short,
    )
    assert 600 < ended.result.steps < 10_000
    trace = ended.result.trace
    assert trace is not None
    least = trace.values["loss"].min(0)[10:]  # of phase II
    assert least[-1] > 0.999 * least[(len(least) - 1) // 2]
    assert (
        least[-2] < 0.999 * least[(len(least) - 2) // 2]
    )  # a look sooner it still paid
    assert ended.losses.min() < 1.01 * longer.losses.min()


def test_batches_are_refused():
    problem = Converge().problem(
        np.ones((3, 2), np.float32), np.ones(3, np.float32), intercept=True
    )
    with refuses(ValueError):
        problem.gradient_at(ReLUNetwork(jnp.ones(1), jnp.ones((1, 2))), jnp.array([0]))
    with refuses(ValueError):
        problem.gradients_at(ReLUNetwork(jnp.ones(1), jnp.ones((1, 2))), jnp.array([0]))
