"""Steps in plain JAX, as one would write them without langevax: compiled loops, automatic gradients where these help.

A `temperature` of 0 leaves the noise out, by which tests compare the steps with ours.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

FIRST_DESCENT = 0.3  # of a certificate's descents, over 1 + |gradient|


def logistic_risk(w, X, y):
    """Mean logistic loss, y in {-1, 1}."""
    return jnp.mean(jax.nn.softplus(-y * (X @ w)))


@functools.partial(jax.jit, static_argnames=("steps", "batch_size", "period"))
def svrg_scan(X, y, starts, key, steps, batch_size, period, step_size, temperature):
    """SVRG-LD: batches drawn with replacement, a full pass under a condition."""
    gradient = jax.grad(logistic_risk)

    def body(carry, step):
        batch_key, noise_key = random.split(random.fold_in(key, step))

        def refresh(carry):
            full = jax.vmap(lambda w: gradient(w, X, y))(carry[0])
            return full, carry[0], full

        def correct(carry):
            w, anchor, full = carry
            rows = random.randint(batch_key, (len(w), batch_size), 0, len(y), jnp.int32)
            difference = jax.vmap(
                lambda w, a, i: gradient(w, X[i], y[i]) - gradient(a, X[i], y[i])
            )(w, anchor, rows)
            return difference + full, anchor, full

        v, anchor, full = lax.cond(step % period == 0, refresh, correct, carry)
        noise = random.normal(noise_key, starts.shape, jnp.float32)
        w = (
            carry[0]
            - step_size * (v + carry[0] / len(y))
            + jnp.sqrt(2 * step_size * temperature) * noise
        )
        return (w, anchor, full), None

    return lax.scan(body, (starts, starts, starts), jnp.arange(steps, dtype=jnp.int32))[
        0
    ][0]


@functools.partial(jax.jit, static_argnames=("steps", "batch_size"))
def sgld_scan(X, y, starts, key, steps, batch_size, step_size, temperature):
    """SGLD with batches drawn with replacement."""
    gradient = jax.grad(logistic_risk)

    def body(w, step):
        batch_key, noise_key = random.split(random.fold_in(key, step))
        rows = random.randint(batch_key, (len(w), batch_size), 0, len(y), jnp.int32)
        v = jax.vmap(lambda w, i: gradient(w, X[i], y[i]))(w, rows)
        noise = random.normal(noise_key, w.shape, jnp.float32)
        return w - step_size * (v + w / len(y)) + jnp.sqrt(
            2 * step_size * temperature
        ) * noise, None

    return lax.scan(body, starts, jnp.arange(steps, dtype=jnp.int32))[0]


@functools.partial(jax.jit, static_argnames=("modes", "steps"))
def functions(modes, steps, key, step_size, ridge):
    """Semi-implicit steps for the quadratic loss 1 / (k + 1) and the penalty ridge (k + 1)^2."""
    index = jnp.arange(1.0, modes + 1)
    curvature, gain = 1 / index, 1 / (1 + step_size * ridge * index**2)

    def step(i, x):
        noise = random.normal(random.fold_in(key, i), x.shape)
        return gain * (x - step_size * curvature * x + jnp.sqrt(2 * step_size) * noise)

    return lax.fori_loop(0, steps, step, jnp.zeros(modes))


def client_gradient(x, rows, targets):
    """Gradient of a client's mean squared loss."""
    return ((rows @ x - targets)[:, None] * rows).mean(0)


@functools.partial(
    jax.jit, static_argnames=("steps", "chosen", "local_steps", "unroll")
)
def fedavg_scan(
    inputs, targets, start, key, steps, chosen, local_steps, step_size, unroll=False
):
    """FedAvg: a scan over rounds, of local steps of one row that are mapped over the clients chosen."""

    def local(position, client, key):
        def descend(position, key):
            row = random.randint(key, (1,), 0, inputs.shape[1], jnp.int32)
            return position - step_size * client_gradient(
                position, inputs[client, row], targets[client, row]
            ), None

        return lax.scan(descend, position, random.split(key, local_steps), unroll=True)[
            0
        ]

    def of_round(position, key):
        choice_key, local_key = random.split(key)
        clients = random.choice(choice_key, len(inputs), (chosen,), replace=False)
        ends = jax.vmap(local, in_axes=(None, 0, 0))(
            position, clients, random.split(local_key, chosen)
        )
        return ends.mean(0), None

    return lax.scan(of_round, start, random.split(key, steps), unroll=unroll)[0]


class FLEDGEState(NamedTuple):
    """Position, estimate of the gradient, sum of changes, and the table of gradients without that sum."""

    position: Any
    gradient: Any
    shift: Any
    table: Any


def fold(state: FLEDGEState) -> FLEDGEState:
    """Add the sum of changes to the table, which keeps rounding from growing."""
    table = state.table + state.shift
    return FLEDGEState(
        state.position, table.mean(0), jnp.zeros_like(state.shift), table
    )


@functools.partial(
    jax.jit, static_argnames=("steps", "chosen", "local_steps", "unroll", "every")
)
def fledge_scan(
    inputs,
    targets,
    start,
    key,
    steps,
    chosen,
    local_steps,
    step_size,
    unroll=False,
    every=None,
):
    """FLEDGE, its table with the server: SARAH within one client, then gradients of the clients chosen at both ends.

    The table is folded after `every` rounds, P / p by default.
    """
    num_clients, num_rows, _ = inputs.shape
    of_clients = jax.vmap(client_gradient, (None, 0, 0))
    every = -(-num_clients // chosen) if every is None else every

    def local(position, v, client, key):
        before, here = position, position - step_size * v
        for row_key in random.split(key, local_steps - 1):
            row = random.randint(row_key, (1,), 0, num_rows, jnp.int32)
            x, y = inputs[client, row], targets[client, row]
            v = v + client_gradient(here, x, y) - client_gradient(before, x, y)
            before, here = here, here - step_size * v
        return here

    def of_round(state, key):
        client_key, local_key, choice_key = random.split(key, 3)
        end = local(
            state.position,
            state.gradient,
            random.randint(client_key, (), 0, num_clients),
            local_key,
        )
        clients = random.choice(choice_key, num_clients, (chosen,), replace=False)
        x, y, old = inputs[clients], targets[clients], state.table[clients]
        here, before = of_clients(end, x, y), of_clients(state.position, x, y)
        change, residual = (here - before).mean(0), here - (old + state.shift)
        v = (
            state.gradient
            + (1 - chosen / num_clients) * change
            + residual.sum(0) / num_clients
        )
        shift = state.shift + change
        return FLEDGEState(
            end, v, shift, state.table.at[clients].add(here - shift - old)
        ), None

    def of_rounds(state, keys):
        return fold(lax.scan(of_round, state, keys)[0]), None

    table = of_clients(start, inputs, targets)
    state, keys = (
        FLEDGEState(start, table.mean(0), jnp.zeros_like(start), table),
        random.split(key, steps),
    )
    whole = steps // every
    state, _ = lax.scan(of_rounds, state, keys[: whole * every].reshape(whole, every))
    return lax.scan(of_round, state, keys[whole * every :], unroll=unroll)[0].position


@functools.partial(jax.jit, static_argnames="steps")
def descents(inputs, tilt, deviations, starts, steps):
    """Descents of |x|^2 / 2 - v that never go up, each with a step size of its own; positions and energies."""

    def energies(cloud):
        neurons = cloud * deviations
        values = jnp.tanh(neurons[:, :-1] @ inputs.T + neurons[:, -1:]) @ tilt
        energy = jnp.sum(cloud**2, 1) / 2 - values
        return energy.sum(), energy

    slope = jax.grad(energies, has_aux=True)

    def step(_, carry):
        cloud, value, gradient, size = carry
        proposal = cloud - size[:, None] * gradient
        new_gradient, new_value = slope(proposal)
        down = new_value < value
        return (
            jnp.where(down[:, None], proposal, cloud),
            jnp.where(down, new_value, value),
            jnp.where(down[:, None], new_gradient, gradient),
            jnp.where(down, 1.5, 0.5) * size,
        )

    gradient, value = slope(starts)
    size = FIRST_DESCENT / (1 + jnp.linalg.norm(gradient, axis=1))
    return lax.fori_loop(0, steps, step, (starts, value, gradient, size))[:2]


class Training(NamedTuple):
    """A network R tanh(a) tanh(<w, x> + b) with particles (a, w, b), its rows, and the gains of a step."""

    inputs: np.ndarray
    targets: np.ndarray
    start: np.ndarray
    output_scale: float
    decay: np.ndarray
    """Of each coordinate, like the two below: what is left of it, factors of its gradient and of its noise."""
    drift: np.ndarray
    spread: np.ndarray

    def without_noise(self) -> "Training":
        """Return the same descent at temperature 0."""
        return self._replace(spread=0 * self.spread)


def outputs(cloud, inputs, output_scale):
    """Outputs of the network."""
    hidden = jnp.tanh(cloud[:, 1:-1] @ inputs.T + cloud[:, -1:])
    return output_scale * jnp.tanh(cloud[:, 0]) @ hidden / len(cloud)


@functools.partial(jax.jit, static_argnames=("steps", "batch_size"))
def trained(problem: Training, key, steps, batch_size):
    """Particles after noisy descent of the squared loss, on batches drawn with replacement or on all rows."""
    inputs, targets = jnp.asarray(problem.inputs), jnp.asarray(problem.targets)

    def risk(cloud, x, y):
        return (
            jnp.mean((outputs(cloud, x, problem.output_scale) - y) ** 2)
            / 2
            * len(cloud)
        )

    def step(number, cloud):
        batch_key, noise_key = random.split(random.fold_in(key, number))
        rows = (
            slice(None)
            if batch_size is None
            else random.randint(batch_key, (batch_size,), 0, len(targets))
        )
        gradient = jax.grad(risk)(cloud, inputs[rows], targets[rows])
        noise = random.normal(noise_key, cloud.shape, cloud.dtype)
        return problem.decay * cloud - problem.drift * gradient + problem.spread * noise

    return lax.fori_loop(0, steps, step, jnp.asarray(problem.start))


def waiting(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Return a run that waits for its result."""
    return lambda: jax.block_until_ready(function(*arguments))
