"""Normal draws of positions: JAX's own numbers, computed apart from what they are added to where rows are short."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import trees

pytestmark = pytest.mark.mostly_compiling

SHORT, FEW, LONG, FLAT = (512, 11), (100, 11), (64, 64), (5632,)


@jax.jit
def moved(position, key):
    return position + trees.normal(position.shape, position.dtype, key=key)


@pytest.mark.parametrize("shape", [SHORT, FEW, LONG, FLAT])
@pytest.mark.parametrize(("wide", "tolerance"), [(False, 2e-6), (True, 1e-14)])
def test_draws_are_those_of_jax_in_their_order(shape, wide, tolerance):
    """In either floating type, within rounding of numbers below 5: vector instructions round as they like."""
    with jax.enable_x64(wide):
        key = jax.random.key(3)
        numbers = moved(jnp.zeros(shape), key)
        assert numbers.dtype == (jnp.float64 if wide else jnp.float32)
        expected = jax.random.normal(
            key, (np.prod(shape, dtype=int),), numbers.dtype
        ).reshape(shape)
        np.testing.assert_allclose(numbers, expected, rtol=0, atol=tolerance)


def test_chains_draw_what_each_would_draw_alone():
    keys, positions = jax.random.split(jax.random.key(4), 2), jnp.zeros((2, *SHORT))
    alone = jnp.stack([moved(x, key) for x, key in zip(positions, keys, strict=True)])
    np.testing.assert_allclose(
        jax.vmap(moved)(positions, keys), alone, rtol=0, atol=2e-6
    )


@jax.jit
def rows(position, keys):
    return position + trees.normal_rows(position.shape[1], position.dtype, keys=keys)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SHORT, FEW, LONG])
@pytest.mark.parametrize(("wide", "tolerance"), [(False, 2e-6), (True, 1e-14)])
def test_rows_of_many_keys_are_what_each_would_draw_alone(shape, wide, tolerance):
    with jax.enable_x64(wide):
        keys = jax.random.split(jax.random.key(5), shape[0])
        numbers = rows(jnp.zeros(shape), keys)
        expected = jax.vmap(
            lambda key: jax.random.normal(key, shape[1:], numbers.dtype)
        )(keys)
        assert numbers.dtype == (jnp.float64 if wide else jnp.float32)
        np.testing.assert_allclose(numbers, expected, rtol=0, atol=tolerance)


@pytest.mark.slow
def test_rows_of_other_generators_are_drawn_too():
    keys = jax.random.split(jax.random.key(5, impl="rbg"), SHORT[0])
    expected = jax.vmap(lambda key: jax.random.normal(key, SHORT[1:], jnp.float32))(
        keys
    )
    np.testing.assert_allclose(
        rows(jnp.zeros(SHORT), keys), expected, rtol=0, atol=2e-6
    )


def test_short_rows_of_many_keys_are_drawn_as_columns():
    with jax.default_device(jax.devices("cpu")[0]):
        program = (
            rows.lower(jnp.zeros(SHORT), jax.random.split(jax.random.key(0), SHORT[0]))
            .compile()
            .as_text()
        )
    assert f"f32[{SHORT[1]},{SHORT[0]}]" in program.split(" conditional(")[0]
    assert program.count(" while(") == 0


@pytest.mark.parametrize(
    ("shape", "apart"), [(SHORT, True), (FEW, False), (LONG, False), (FLAT, False)]
)
def test_draws_of_many_short_rows_are_computed_apart(shape, apart):
    """A branch of their own, in one dimension, where processors compute."""
    with jax.default_device(jax.devices("cpu")[0]):
        program = moved.lower(jnp.zeros(shape), jax.random.key(0)).compile().as_text()
    assert (" conditional(" in program) == apart
    if apart:
        branch = program.split(" conditional(")[0]
        assert f"f32[{SHORT[0] * SHORT[1]}]" in branch
