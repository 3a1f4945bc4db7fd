"""STORM for optax: the transcript on the same batches, dtypes, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import langevax.optax
from tests.papers import transcripts_sledge as transcripts
from tests.sentences import refuses

D, M, B, STEPS, STEP_SIZE = 3, 4, 2, 22, 0.1
ROWS = np.random.default_rng(1).normal(size=(M * B, D))
BLOCKS = [[2 * j, 2 * j + 1] for j in range(M)]
ORDER = np.random.default_rng(2).integers(M, size=STEPS)
START = np.array([0.5, -1.0, 0.3])


def loss(x, rows):
    return jnp.mean(jnp.sum((x - rows) ** 4, axis=1)) / 4


def gradient(x, indices):
    return ((x - ROWS[indices]) ** 3).mean(axis=0)


def iterates(reduce):
    """Of `reduce` and plain descent on the blocks of ORDER, in float64."""
    rows, optimizer = (
        jnp.asarray(ROWS).reshape(M, B, D),
        optax.chain(reduce, optax.sgd(STEP_SIZE)),
    )

    def step(carry, block):
        params, state = carry
        value_fn = lambda x: loss(x, rows[block])
        extra = {"value_fn": value_fn, "unrelated": "passed over"}
        updates, state = optimizer.update(
            jax.grad(value_fn)(params), state, params, **extra
        )
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = jnp.asarray(START)
    return jax.lax.scan(step, (start, optimizer.init(start)), jnp.asarray(ORDER))[1]


def test_storm_is_the_transcript():
    """22 steps on a quartic."""
    still = np.zeros((STEPS, D))
    batches = [BLOCKS[j] for j in ORDER]
    with jax.enable_x64():
        np.testing.assert_allclose(
            iterates(langevax.optax.storm(0.3)),
            transcripts.storm(gradient, START, STEP_SIZE, 0.3, batches, still)[1:],
            rtol=0,
            atol=1e-12,
        )


def test_gradients_and_states_keep_the_dtypes_of_params():
    params = {"w": jnp.ones(2), "b": jnp.ones((), jnp.bfloat16)}
    grads = jax.tree.map(lambda x: jnp.ones(x.shape, jnp.float32), params)
    reduce = langevax.optax.storm(0.3)
    value_fn = lambda p: jnp.sum(p["w"] ** 2) + p["b"].astype(jnp.float32) ** 2
    state = reduce.init(params)
    updates, after = reduce.update(grads, state, params, value_fn=value_fn)
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, params)
    assert [u.dtype for u in jax.tree.leaves(updates)] == [
        x.dtype for x in jax.tree.leaves(params)
    ]
    assert [(a.shape, a.dtype) for a in jax.tree.leaves(after)] == [
        (a.shape, a.dtype) for a in jax.tree.leaves(state)
    ]


def test_mistakes_are_named():
    x = jnp.ones(2)
    reduce = langevax.optax.storm(0.3)
    with refuses(TypeError, "value_fn None value_fn"):
        reduce.update(x, reduce.init(x), x)
    with refuses(ValueError, "params None storm"):
        reduce.update(x, reduce.init(x), value_fn=jnp.sum)
    with refuses(ValueError, "momentum 1"):
        langevax.optax.storm(1.5)
