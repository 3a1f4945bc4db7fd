"""Unrolled keys: JAX's own numbers to the last bit, by programs without loops."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

import langevax
from langevax import keys
from langevax.keys import unrolled
from langevax.run import program

pytestmark = pytest.mark.mostly_compiling

DRAWS = {
    "fold_in": lambda key: random.fold_in(key, 5),
    "fold_in, the last": lambda key: random.fold_in(key, 2**32 - 1),
    "split": lambda key: random.split(key, 7),
    "split in two axes": lambda key: random.split(key, (2, 3)),
    "bits": lambda key: random.bits(key, (3, 5), jnp.uint32),
    "no bits": lambda key: random.bits(key, (0,), jnp.uint32),
    "a byte": lambda key: random.bits(key, (), jnp.uint8),
    "uniforms": lambda key: random.uniform(key, (11, 13), jnp.float32),
    "normals": lambda key: random.normal(key, (1000,), jnp.float32),
    "a normal": lambda key: random.normal(key, (), jnp.float32),
    "normals of 16 bits": lambda key: random.normal(key, (4,), jnp.bfloat16),
    "rows": lambda key: random.randint(key, (50,), 0, 17, jnp.int32),
    "a permutation": lambda key: random.permutation(
        key, jnp.arange(100, dtype=jnp.int32)
    ),
}
WIDE = {
    "words of 64 bits": lambda key: random.bits(key, (5,), jnp.uint64),
    "normals of 64 bits": lambda key: random.normal(key, (1000,), jnp.float64),
}


def numbers(draws):
    is_key = jnp.issubdtype(draws.dtype, jax.dtypes.prng_key)
    return np.asarray(random.key_data(draws) if is_key else draws)


def of_many(draw):
    return lambda key: jax.vmap(draw)(random.split(key, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS | WIDE)
def test_draws_are_those_of_jax_to_the_last_bit(name):
    draw, key = (DRAWS | WIDE)[name], random.key(7)
    with jax.enable_x64(name in WIDE):
        for function in (draw, of_many(draw)):
            of_jax, ours = (
                numbers(jax.jit(function)(key)),
                numbers(jax.jit(lambda key, w=function: w(unrolled(key)))(key)),
            )
            assert ours.dtype == of_jax.dtype
            np.testing.assert_array_equal(ours, of_jax)


def test_a_draw_too_large_for_places_of_one_word_is_left_to_jax(monkeypatch):
    monkeypatch.setattr(keys, "LARGEST_DRAW", 10)
    key, shapes = random.key(1), []
    monkeypatch.setattr(
        keys, "_hash_of_indices", lambda key, shape: shapes.append(shape)
    )
    drawn = random.bits(unrolled(key), (11,), jnp.uint32)
    np.testing.assert_array_equal(drawn, random.bits(key, (11,), jnp.uint32))
    assert not shapes


def test_a_program_of_draws_has_no_loop_where_that_of_jax_has_one():
    def drawn(key):
        return random.normal(
            random.fold_in(random.split(key, 2)[1], 3), (100,), jnp.float32
        )

    def loops(function):
        return (
            jax.jit(function).lower(random.key(0)).compile().as_text().count(" while(")
        )

    assert loops(drawn) > 0
    assert loops(lambda key: drawn(unrolled(key))) == 0


def test_a_step_has_no_loop_but_those_of_its_method():
    """The loop over steps, and that of the permutation by which the rows of a batch differ."""
    problem = langevax.FiniteSum(lambda x, row: (x - row) ** 2 / 2, jnp.arange(50.0))
    algorithm = langevax.Langevin(0.1, 0.1, langevax.gradients.Minibatch(batch_size=5))
    parts, one = program.RunParts(algorithm, problem, random.key(0)), jnp.int32(1)
    carry = program.begin(parts, jnp.zeros(()))
    chunk = program.Chunk(parts, one, one)
    text = program.advance.lower(chunk, carry, None).as_text()
    assert text.count("stablehlo.while") == 2


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_keys_of_another_kind_stay_what_they_are(kind):
    key = random.key(0, impl=kind)
    assert unrolled(key) is key
    assert unrolled(unrolled(random.key(0))).dtype == unrolled(random.key(0)).dtype


def test_draws_in_another_order_are_left_to_jax():
    with jax.threefry_partitionable(False):
        key = random.key(0)
        assert unrolled(key) is key


class KeyedState(NamedTuple):
    position: jax.Array
    key: jax.Array


class StatefulDraws(langevax.Algorithm):
    """A method that draws from a key of its own, which its state holds."""

    def init(self, problem, position, key):
        return KeyedState(position, key), {}

    def step(self, problem, state, key, step):
        own, drawn = random.split(state.key)
        return KeyedState(
            state.position
            + random.normal(drawn, state.position.shape, state.position.dtype),
            own,
        ), {}


def test_a_state_may_hold_its_key():
    problem = langevax.FiniteSum(lambda x, row: (x - row) ** 2 / 2, jnp.arange(3.0))
    result = langevax.simulate(
        StatefulDraws(),
        problem,
        jnp.zeros(()),
        key=random.key(0),
        num_steps=4,
        run=langevax.Run(progress=False),
    )
    own, position = random.fold_in(random.key(0), 2**32 - 1), 0.0
    for _ in range(4):
        own, drawn = random.split(own)
        position += random.normal(drawn, (), jnp.float32)
    np.testing.assert_allclose(result.position, position, rtol=1e-6)
