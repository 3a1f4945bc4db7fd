"""Computations of a client on its own rows: batches, local descent, and local SARAH.

    Local(x, v_0):  w_0 = x,  w_1 = w_0 - h v_0 + xi_0;   for k = 1..K-1:  draw J of b rows,
                    v_k = v_{k-1} + gradient_J(w_k) - gradient_J(w_{k-1}),   w_{k+1} = w_k - h v_k + xi_k

with xi_k = 0, or uniform in a ball (Murata and Suzuki, NeurIPS 2022), which escapes saddle points.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, random

from langevax import trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import at_step
from langevax.federated.exchange import (
    Exchange,
    Gradient,
    Model,
    PointAndGradient,
    Replies,
    RowCounts,
)
from langevax.gradients import batches
from langevax.problems import blocks
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


def batch(client: FiniteSum, key: PRNGKey, batch_size: int | None) -> FiniteSum:
    """The mean over `batch_size` distinct rows of a client; over all of them where it has no more, or at None."""
    if batch_size is None or client.max_size <= batch_size:
        return client
    size = jnp.asarray(client.size, jnp.int32)
    indices = jnp.minimum(
        jnp.arange(batch_size, dtype=jnp.int32), size - 1
    )  # those beyond `size` count 0 below
    rows = blocks.take(client.data, batches.permuted(key, indices, size))
    return client.over(
        rows, None if client.count is None else jnp.minimum(batch_size, size)
    )


def batch_rows(batch_size: int | None, rows: RowCounts) -> RowCounts:
    """Rows of a batch of a client that has `rows`."""
    return rows if batch_size is None else jnp.minimum(batch_size, rows)


def descent_step(position: PyTree, gradient: PyTree, step_size: Any) -> PyTree:
    """`position - step_size * gradient`."""
    return jax.tree.map(
        lambda x, v: x - jnp.asarray(step_size, x.dtype) * v, position, gradient
    )


class LocalSteps(Exchange):
    """Clients take the K steps of `method` from the server's position; K b rows."""

    clients_per_round: int | None
    method: Any

    def descend(
        self,
        client: FiniteSum,
        position: PyTree,
        direction: Callable[[FiniteSum, PyTree], PyTree],
        step: IntScalar,
        *,
        key: PRNGKey,
    ) -> tuple[PyTree, PyTree]:
        """(y_K, mean of the K directions) of `y <- y - step_size * direction(J, y)` from `position`, J a batch."""
        method = self.method
        h = at_step(method.step_size, step)

        def one(
            carry: tuple[PyTree, PyTree], key: PRNGKey
        ) -> tuple[tuple[PyTree, PyTree], None]:
            y, total = carry
            v = direction(batch(client, key, method.batch_size), y)
            return (descent_step(y, v, h), trees.add(total, v)), None

        start = position, trees.zeros_like(position)
        keys = random.split(key, method.num_local_steps)
        (y, total), _ = lax.scan(one, start, keys)
        return y, jax.tree.map(lambda t: t / method.num_local_steps, total)

    def evaluations(self, rows: RowCounts) -> Any:
        return self.method.num_local_steps * batch_rows(self.method.batch_size, rows)


class GradientExchange(Exchange):
    """Clients send the gradient at the server's position over `batch_size` of their rows. One vector down, one up."""

    batch_size: eqx.AbstractVar[int | None]

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Gradient, PyTree]:
        return Gradient(
            batch(client, key, self.batch_size).gradient(message.position)
        ), memory

    def evaluations(self, rows: RowCounts) -> Any:
        return batch_rows(self.batch_size, rows)


class LocalSARAH(Exchange):
    """A client takes K SARAH steps from the server's position and gradient. Two vectors down, one up; 2b(K - 1) rows.

    The methods here select one client, by weight. The server's state has `position` and `gradient`.
    """

    clients_per_round: int | None
    method: Any
    radius: Any
    """Of the noise; None for none."""

    def message(self, server: Any, client_id: IntScalar) -> PointAndGradient:
        return PointAndGradient(server.position, server.gradient)

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Model, PyTree]:
        x, gradient = message
        method = self.method
        h = at_step(method.step_size, step)

        def advance(w: PyTree, v: PyTree, key: PRNGKey) -> PyTree:
            w = descent_step(w, v, h)
            return (
                w
                if self.radius is None
                else trees.add(w, trees.ball_like(w, self.radius, key=key))
            )

        def one(carry: tuple[PyTree, PyTree, PyTree], key: PRNGKey) -> tuple[Any, None]:
            previous, w, v = carry
            batch_key, noise_key = random.split(key)
            part = batch(client, batch_key, method.batch_size)
            v = trees.add(v, trees.subtract(part.gradient(w), part.gradient(previous)))
            return (w, advance(w, v, noise_key), v), None

        first_key, rest_key = random.split(key)
        start = x, advance(x, gradient, first_key), gradient
        if method.num_local_steps == 1:
            return Model(start[1]), memory
        keys = random.split(rest_key, method.num_local_steps - 1)
        (_, end, _), _ = lax.scan(one, start, keys)
        return Model(end), memory

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> Any:
        mean = replies.mean(replies.content.position)
        return server._replace(position=replies.if_any(mean, server.position))

    def evaluations(self, rows: RowCounts) -> Any:
        method = self.method
        return 2 * (method.num_local_steps - 1) * batch_rows(method.batch_size, rows)
