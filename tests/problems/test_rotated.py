"""A rotation is orthogonal, takes the directions to the first axes, and transposes on every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import FiniteSum
from langevax.problems.coordinates import Rotated
from tests.sentences import refuses

N, R = 7, 3
RNG = np.random.default_rng(0)
DIRECTIONS = np.linalg.qr(RNG.normal(size=(N, R)))[0]


def problem():
    rows = jnp.asarray(RNG.normal(size=(5, N))), jnp.asarray(RNG.normal(size=5))
    return FiniteSum(
        lambda x, row: jnp.tanh(row[0] @ x - row[1]) ** 2, rows, precision=0.3
    )


def test_the_rotation_is_orthogonal_and_its_first_axes_are_the_directions():
    with jax.enable_x64():
        rotated = Rotated(problem(), jnp.asarray(DIRECTIONS))
        Q = np.asarray(jax.vmap(rotated.to_position)(jnp.eye(N))).T
        back = np.asarray(jax.vmap(rotated.from_position)(jnp.eye(N))).T
    np.testing.assert_allclose(Q.T @ Q, np.eye(N), rtol=0, atol=1e-13)
    np.testing.assert_allclose(back, Q.T, rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        np.abs(np.sum(Q[:, :R] * DIRECTIONS, axis=0)), 1, rtol=1e-12
    )


@pytest.mark.slow
def test_values_and_gradients_are_those_of_the_problem():
    """Against JAX's derivative of the rotated value, to 1e-12 in float64; the quadratic part too."""
    with jax.enable_x64():
        rotated, z = (
            Rotated(problem(), jnp.asarray(DIRECTIONS)),
            jnp.asarray(RNG.normal(size=N)),
        )
        value, gradient = rotated.value_and_gradient(z)
        expected = jax.grad(rotated.value)(z)
        indices = jnp.array([0, 3])
        assert float(value) == pytest.approx(
            float(rotated.problem.value(rotated.to_position(z))), abs=1e-14
        )
        assert float(rotated.potential(z)) == pytest.approx(
            float(rotated.problem.potential(rotated.to_position(z))), abs=1e-13
        )
        gradients = rotated.gradients_at(z, indices)
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(rotated.gradient(z), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            rotated.gradient_at(z, indices), gradients.mean(0), rtol=0, atol=1e-12
        )
        np.testing.assert_allclose(
            rotated.gradients_at(z, jnp.arange(5)).mean(0), expected, rtol=0, atol=1e-12
        )
    assert (rotated.size, rotated.max_size) == (5, 5)


def test_mistakes_are_named():
    with refuses(ValueError, "directions 3"):
        Rotated(problem(), jnp.asarray(2 * DIRECTIONS, jnp.float32))
    by_mode = FiniteSum(
        lambda x, row: jnp.sum(x) * row, jnp.ones(2), precision=jnp.ones(N)
    )
    with refuses(ValueError):
        Rotated(by_mode, jnp.asarray(DIRECTIONS, jnp.float32))
