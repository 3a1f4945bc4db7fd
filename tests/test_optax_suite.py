"""Optax's requirements of contributed transformations, of all of `langevax.optax`; and states that can be saved."""

import io

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import serialization
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import langevax.optax

NUM_BLOCKS = 3
KEY = jax.random.key(0)
TRANSFORMATIONS = {
    "langevin": lambda: langevax.optax.langevin(0.1, 0.0, key=KEY),
    "svrg": lambda: langevax.optax.svrg(period=4),
    "sarah": lambda: langevax.optax.sarah(period=4),
    "storm": lambda: langevax.optax.storm(momentum=0.3),
}
ALL = pytest.mark.parametrize("name", TRANSFORMATIONS)
CENTRES = jnp.arange(3.0)  # of blocks; the mean is 1


def mean_loss(params):
    return sum(jnp.sum((leaf - 1) ** 2) / 2 for leaf in jax.tree.leaves(params))


def functions_of(block):
    def value_fn(params):
        return sum(
            jnp.sum((leaf - CENTRES[block].astype(leaf.dtype)) ** 2) / 2
            for leaf in jax.tree.leaves(params)
        )

    return {"value_fn": value_fn, "full_value_fn": mean_loss}


def optimizer_of(name):
    """With a step of 0.1; `langevin` has its own."""
    transformation = TRANSFORMATIONS[name]()
    return (
        transformation
        if name == "langevin"
        else optax.chain(transformation, optax.sgd(0.1))
    )


def descend(optimizer, params, num_steps):
    def step(carry, block):
        params, state = carry
        functions = functions_of(block)
        gradient = jax.grad(functions["value_fn"])(params)
        updates, state = optimizer.update(gradient, state, params, **functions)
        return (optax.apply_updates(params, updates), state), None

    blocks = jnp.arange(num_steps, dtype=jnp.int32) % NUM_BLOCKS
    return jax.jit(
        lambda params: jax.lax.scan(step, (params, optimizer.init(params)), blocks)[0]
    )(params)


@ALL
def test_it_reaches_the_mean_of_the_blocks(name):
    """From 5 and -3 to 1; batches alone stay 0.15 away at worst, `storm` a third of that."""
    params, _ = descend(
        optimizer_of(name), {"a": jnp.array([5.0, -3.0]), "b": jnp.zeros(())}, 150
    )
    away = max(float(jnp.max(jnp.abs(leaf - 1))) for leaf in jax.tree.leaves(params))
    assert away < {"langevin": 0.15, "storm": 0.1}.get(name, 0.02)


@ALL
def test_it_goes_through_inject_hyperparams_and_named_chains(name):
    @optax.inject_hyperparams
    def make(learning_rate):
        return optax.chain(TRANSFORMATIONS[name](), optax.scale(-learning_rate))

    optimizer = optax.named_chain(("whole", make(learning_rate=0.1)))
    params = jnp.ones(2)
    state = optimizer.init(params)
    updates, state = optimizer.update(params, state, params, **functions_of(1))
    assert updates.shape == (2,)
    assert state["whole"].hyperparams["learning_rate"] == pytest.approx(0.1)


@ALL
def test_other_extra_arguments_are_ignored(name):
    transformation, params = TRANSFORMATIONS[name](), jnp.ones(2)
    assert isinstance(transformation, optax.GradientTransformationExtraArgs)
    options = functions_of(1)
    plain, _ = transformation.update(
        params, transformation.init(params), params, **options
    )
    more, _ = transformation.update(
        params, transformation.init(params), params, value=1.0, grad=params, **options
    )
    np.testing.assert_array_equal(plain, more)


@ALL
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_shapes_dtypes_and_explicit_shardings_stay(name, dtype):
    """Of state and updates, weak types included, for parameters along an explicit axis of a mesh."""
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(AxisType.Explicit,))
    transformation = TRANSFORMATIONS[name]()
    with jax.set_mesh(mesh):
        sharding = NamedSharding(mesh, PartitionSpec("rows"))
        params = {
            "a": jax.device_put(jnp.ones((4, 2), dtype), sharding),
            "b": jnp.ones((), dtype),
        }
        state = jax.jit(transformation.init)(params)
        before = jax.tree.map(jax.typeof, state)
        block = jnp.int32(1)
        step = jax.jit(
            lambda g, state, params: transformation.update(
                g, state, params, **functions_of(block)
            )
        )
        updates, state = step(params, state, params)
        assert jax.tree.map(jax.typeof, state) == before
        assert jax.tree.map(jax.typeof, updates) == jax.tree.map(jax.typeof, params)


@ALL
def test_states_are_saved_by_flax_and_equinox(name):
    """A restored state continues as the old one does, bit for bit."""
    optimizer, start = optimizer_of(name), {"a": jnp.array([5.0, -3.0])}
    params, state = descend(optimizer, start, 4)
    empty = optimizer.init(start)
    by_flax = serialization.from_bytes(empty, serialization.to_bytes(state))
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, state)
    buffer.seek(0)
    by_equinox = eqx.tree_deserialise_leaves(buffer, empty)
    functions = functions_of(2)
    gradient = jax.grad(functions["value_fn"])(params)
    expected, _ = optimizer.update(gradient, state, params, **functions)
    for restored in (by_flax, by_equinox):
        updates, _ = optimizer.update(gradient, restored, params, **functions)
        np.testing.assert_array_equal(updates["a"], expected["a"])


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_noise_is_that_of_the_key_whatever_its_kind(implementation):
    """Two keys of a kind draw differently, one key twice the same."""
    zeros = jnp.zeros(100)

    def noise(seed):
        transformation = langevax.optax.langevin(
            0.5, 1.0, key=jax.random.key(seed, impl=implementation)
        )
        return np.asarray(
            transformation.update(zeros, transformation.init(zeros), zeros)[0]
        )

    np.testing.assert_array_equal(noise(0), noise(0))
    assert abs(np.corrcoef(noise(0), noise(1))[0, 1]) < 0.4
    assert 0.7 < noise(0).std() < 1.3
