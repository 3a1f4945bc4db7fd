"""What a client does with its own rows: batches, descent, and SARAH steps that begin from a gradient it was sent.

    Local(x, v_0):  w_0 = x,  w_1 = w_0 - h v_0 + xi_0;   for k = 1..K-1:  draw J of b rows,
                    v_k = v_{k-1} + gradient_J(w_k) - gradient_J(w_{k-1}),   w_{k+1} = w_k - h v_k + xi_k

with xi_k = 0, or uniform in a ball (Murata and Suzuki, NeurIPS 2022), which lets saddle points be left.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Int, Key, PyTree

from langevax import trees
from langevax.algorithm import at_step
from langevax.federated.exchange import Answers, Exchange
from langevax.gradients import batches
from langevax.problems import blocks
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum


def batch(client: FiniteSum, key: Key[Array, ""], batch_size: int | None) -> FiniteSum:
    """The mean over `batch_size` distinct rows of a client; over all of them where it has no more, or at None."""
    if batch_size is None or client.max_size <= batch_size:
        return client
    size = jnp.asarray(client.size, jnp.int32)
    places = jnp.minimum(jnp.arange(batch_size, dtype=jnp.int32), size - 1)  # those beyond `size` count 0 below
    rows = blocks.take(client.data, batches.permuted(key, places, size))
    used = None if client.count is None else jnp.minimum(batch_size, size)
    return client.over(rows, used)


def batch_rows(batch_size: int | None, rows: Int[Array, "..."]) -> Int[Array, "..."]:
    """Rows of a batch of a client that has `rows`."""
    return rows if batch_size is None else jnp.minimum(batch_size, rows)


def descended(
    position: PyTree,
    direction: Callable[[PyTree, Key[Array, ""]], PyTree],
    step_size: Any,
    local_steps: int,
    key: Key[Array, ""],
) -> tuple[PyTree, PyTree]:
    """(y_K, mean of the K directions) of `y <- y - step_size * direction(y, key)` from `position`."""

    def one(carry: tuple[PyTree, PyTree], key: Key[Array, ""]) -> tuple[tuple[PyTree, PyTree], None]:
        y, total = carry
        v = direction(y, key)
        return (step(y, v, step_size), trees.add(total, v)), None

    start = position, jax.tree.map(jnp.zeros_like, position)
    (y, total), _ = lax.scan(one, start, random.split(key, local_steps))
    return y, jax.tree.map(lambda t: t / local_steps, total)


def step(position: PyTree, gradient: PyTree, step_size: Any) -> PyTree:
    """`position - step_size * gradient`."""
    return jax.tree.map(lambda x, v: x - jnp.asarray(step_size, x.dtype) * v, position, gradient)


def sarah(
    client: FiniteSum,
    position: PyTree,
    gradient: PyTree,
    step_size: Any,
    local_steps: int,
    batch_size: int | None,
    radius: Any,
    key: Key[Array, ""],
) -> PyTree:
    """w_K of `Local(position, gradient)`; `radius` is that of the noise, None for none."""

    def moved(w: PyTree, v: PyTree, key: Key[Array, ""]) -> PyTree:
        w = step(w, v, step_size)
        return w if radius is None else trees.add(w, trees.ball_like(key, w, radius))

    def one(carry: tuple[PyTree, PyTree, PyTree], key: Key[Array, ""]) -> tuple[tuple[PyTree, PyTree, PyTree], None]:
        before, w, v = carry
        batch_key, noise_key = random.split(key)
        part = batch(client, batch_key, batch_size)
        v = trees.add(v, trees.subtract(part.gradient(w), part.gradient(before)))
        return (w, moved(w, v, noise_key), v), None

    first_key, rest_key = random.split(key)
    start = position, moved(position, gradient, first_key), gradient
    if local_steps == 1:
        return start[1]
    (_, end, _), _ = lax.scan(one, start, random.split(rest_key, local_steps - 1))
    return end


class PointAndGradient(NamedTuple):
    position: PyTree
    gradient: PyTree


class Moved(NamedTuple):
    position: PyTree


class LocalSARAH(Exchange):
    """A client takes K SARAH steps from the server's point and gradient; one client, drawn by weight, in our methods.

    The server's state has `position` and `gradient`. Two vectors down, one up; 2b(K - 1) gradients.
    """

    clients_per_round: int | None
    step_size: Any
    local_steps: int
    batch_size: int | None
    radius: Any

    def message(self, server: Any, client_id: Int[Array, ""]) -> PointAndGradient:
        return PointAndGradient(server.position, server.gradient)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Moved, Any]:
        x, v = message
        h = at_step(self.step_size, step)
        return Moved(sarah(client, x, v, h, self.local_steps, self.batch_size, self.radius, key)), memory

    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> Any:
        moved = answers.mean(answers.replies.position)
        return server._replace(position=answers.if_anyone(moved, server.position))

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return 2 * (self.local_steps - 1) * batch_rows(self.batch_size, rows)
