"""One step of mean-field Langevin: against eager and compiled PyTorch, the step one would write in JAX, and its floor.

The floor is what a step is made of: a product of matrices, tanh of N x n numbers, their mean over particles, their
slopes times the dual, a product back, and N x (d + 1) normal draws, in the fastest form known of each. It is measured
in two ways. Compiled together, XLA may put neighbours in one. Each part alone, in a compiled loop of its own, reads its
operands and writes its whole result.

All take the same step from the same cloud; ours integrates the ridge exactly, which differs by (step x ridge)^2 / 2.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import langevax as lx
from benchmarks.beside.case import Candidate, Case
from benchmarks.mfld_torch import (
    FUSED,
    PRECISION,
    SHAPES,
    STEP_SIZE,
    TEMPERATURE,
    cloud_of,
    spread,
    table,
    torch_compiled,
    torch_loop,
)
from langevax import trees
from langevax.keys import unrolled


def langevax(
    n: int, d: int, num_particles: int, steps: int, temperature: float = TEMPERATURE
) -> Callable[[], Any]:
    """Ours, as its users call it."""
    inputs, targets = table(n, d)
    risk = lx.MeanFieldRisk(
        lx.neurons.Tanh(), lx.losses.squared, inputs, targets, precision=PRECISION
    )
    start = jnp.asarray(cloud_of(d, num_particles))
    mfld = lx.meanfield.MFLD(step_size=STEP_SIZE, temperature=temperature)
    return lambda: (
        lx.simulate(
            mfld,
            risk,
            start,
            key=jax.random.key(1),
            num_steps=steps,
            run=lx.Run(progress=False),
            record=None,
        ).position
    )


def naive(
    n: int, d: int, num_particles: int, steps: int, temperature: float = TEMPERATURE
) -> Callable[[], Any]:
    """A compiled step with automatic gradients over the whole table of activations, in a Python loop."""
    inputs, targets = map(jnp.asarray, table(n, d))

    def risk(cloud: jax.Array) -> jax.Array:
        outputs = jnp.tanh(inputs @ cloud[:, :-1].T + cloud[:, -1]).mean(1)
        return (
            0.5 * ((outputs - targets) ** 2).mean() * num_particles
            + PRECISION / 2 * (cloud**2).sum()
        )

    @jax.jit
    def step(cloud: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key, noise_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, cloud.shape)
        return cloud - STEP_SIZE * jax.grad(risk)(cloud) + spread(
            temperature
        ) * noise, key

    def run() -> Any:
        cloud, key = jnp.asarray(cloud_of(d, num_particles)), jax.random.key(1)
        for _ in range(steps):
            cloud, key = step(cloud, key)
        return cloud.block_until_ready()

    return run


def hidden(cloud: jax.Array, inputs: jax.Array) -> jax.Array:
    """Activations. With its bias added, XLA computes a tanh in half the time where n is no multiple of 16."""
    return jnp.tanh(cloud[:, :-1] @ inputs.T + cloud[:, -1:])


def back(inputs: jax.Array) -> jax.Array:
    """The factor of the slopes: inputs, a one for the bias, zeros up to a multiple of 8 columns, of 16 if many."""
    n, d = inputs.shape
    return jnp.concatenate(
        [inputs, jnp.ones((n, 1)), jnp.zeros((n, -(d + 1) % (8 if d < 40 else 16)))], 1
    )


def slopes(activations: jax.Array, dual: jax.Array) -> jax.Array:
    """Of the risk, activation by activation."""
    return (1 - activations * activations) * dual


@functools.partial(jax.jit, static_argnames="steps")
def floor(
    cloud: jax.Array, inputs: jax.Array, targets: jax.Array, key: jax.Array, steps: int
) -> jax.Array:
    """`steps` times the work of a step, compiled together."""

    def body(cloud, step):
        activations = hidden(cloud, inputs)
        dual = (activations.mean(0) - targets) / len(targets)
        gradient = (slopes(activations, dual) @ back(inputs))[:, : cloud.shape[1]]
        noise = trees.normal(
            cloud.shape, cloud.dtype, key=jax.random.fold_in(unrolled(key), step)
        )
        return cloud - STEP_SIZE * gradient + spread(TEMPERATURE) * noise, None

    return lax.scan(body, cloud, jnp.arange(steps, dtype=jnp.int32))[0]


def together(n: int, d: int, num_particles: int, steps: int) -> Callable[[], Any]:
    """A run of `floor`."""
    arrays = (
        jnp.asarray(cloud_of(d, num_particles)),
        *map(jnp.asarray, table(n, d)),
        jax.random.key(1),
    )
    return lambda: floor(*arrays, steps).block_until_ready()


def part(
    which: str, n: int, d: int, num_particles: int, steps: int
) -> Callable[[], Any]:
    """A run of one part."""
    loop, arrays = loop_of(which, n, d, num_particles, steps)
    return lambda: loop(*arrays).block_until_ready()


PARTS = ("first product", "tanh", "mean", "slopes", "second product", "normals")


def loop_of(
    which: str, n: int, d: int, num_particles: int, steps: int
) -> tuple[Any, tuple[jax.Array, ...]]:
    """One part in a compiled loop, and what it is called with.

    What is carried is what a part makes, so that all of it is written, out of what changes with the step; of products
    and sums, which are made whole or not at all, a number is added to what they are made of.
    """
    cloud, inputs = jnp.asarray(cloud_of(d, num_particles)), jnp.asarray(table(n, d)[0])
    activations, weights = hidden(cloud, inputs), back(inputs)

    def used(carry: jax.Array, result: jax.Array) -> jax.Array:
        return carry + 1e-30 * lax.optimization_barrier(result).ravel()[0]

    def tanh(
        _: jax.Array, step: jax.Array, inputs: jax.Array, activations: jax.Array
    ) -> jax.Array:
        return jnp.tanh(activations + (cloud[:, -1:] + 1e-6 * step))

    def mean(
        total: jax.Array, step: jax.Array, inputs: jax.Array, activations: jax.Array
    ) -> jax.Array:
        return used(total, lax.optimization_barrier((total, activations))[1].mean(0))

    def slopes_at(
        _: jax.Array, step: jax.Array, inputs: jax.Array, activations: jax.Array
    ) -> jax.Array:
        return slopes(activations, activations[0] + 1e-6 * step)

    def normals(
        _: jax.Array, step: jax.Array, *others: jax.Array
    ) -> jax.Array:  # in one dimension they are fastest
        return jax.random.normal(
            jax.random.fold_in(unrolled(jax.random.key(1)), step), (cloud.size,)
        )

    start, body = {
        "first product": (
            cloud,
            lambda cloud, step, inputs, _: used(cloud, cloud[:, :-1] @ inputs.T),
        ),
        "tanh": (activations, tanh),
        "mean": (jnp.zeros(()), mean),
        "slopes": (activations, slopes_at),
        "second product": (
            weights,
            lambda weights, step, _, activations: used(weights, activations @ weights),
        ),
        "normals": (jnp.zeros(cloud.size), normals),
    }[which]

    @jax.jit
    def loop(start: jax.Array, *arrays: jax.Array) -> jax.Array:
        return lax.fori_loop(
            0, steps, lambda step, carry: body(carry, step, *arrays), start
        )

    return loop, (start, inputs, activations)


def case(n: int, d: int, num_particles: int) -> Case:
    """The line of one size."""
    shape = (n, d, num_particles)
    steps = max(60, int(3e8 / (n * num_particles)))
    fewer = max(20, steps // 4)

    def of(function: Callable[..., Any], *words: Any) -> Callable[[int], Any]:
        return functools.partial(function, *words, *shape)

    parts = tuple(Candidate(name, of(part, name), steps, "floor") for name in PARTS)
    return Case(
        f"mean-field Langevin, n = {n:,}, d = {d}, N = {num_particles:,}",
        "a step",
        (
            Candidate("langevax", of(langevax), steps, "ours"),
            Candidate(
                "PyTorch, eager",
                of(torch_loop),
                fewer,
                aim=5,
                needs=("torch",),
                apart=True,
            ),
            Candidate(
                "PyTorch, torch.compile",
                of(torch_compiled),
                fewer,
                aim=2,
                needs=("torch", *FUSED),
                apart=True,
            ),
            Candidate("naive JAX, jit of a step", of(naive), fewer),
            Candidate(
                "its parts, each alone, added", None, role="floor", aim=1.1, parts=parts
            ),
            Candidate(
                "its parts, compiled together", of(together), steps, "floor", aim=1.1
            ),
        ),
        limit=240,  # PyTorch's first compilation on a machine takes a minute
    )


CASES = tuple(case(*shape) for shape in SHAPES)
