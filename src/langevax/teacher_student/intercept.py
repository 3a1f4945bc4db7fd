"""Squared errors of a network with a free intercept, which is never a parameter: it is solved for at every step.

    value(theta) = (1/2) sum_i w_i (e_i - mean)^2,    e_i = f(x_i) - y_i,    mean = sum_i w_i e_i,    sum_i w_i = 1

is the least over b of the squared errors of f + b, so that its gradient is that of the network at the best b = -mean.
An intercept with a step of its own has curvature 1, where that of neurons is m / d: it would bound everyone's step.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from langevax import checks
from langevax.problems import blocks
from langevax.problems.finite_sum import BLOCK_SIZE, as_rows
from langevax.problems.problem import Problem

ALL_ROWS = "a batch does not know the best intercept, which needs all rows; pass gradient=gradients.Full()."


class CentredErrors(Problem):
    """Half the variance of the errors over weighted rows; for gradients over all of them.

    Args:
        loss: has `error(position, row) -> scalar`, such as phase I's `ClippedError`.
        data: (inputs (n, d), targets (n,)).
        weights: (n,) >= 0, or None for all alike; rows of weight 0 are padding.
        precision: the quadratic part, a prefix of the position.
    """

    loss: Any
    data: tuple[Float[Array, "n d"], Float[Array, " n"]]
    weights: Float[Array, " n"]
    precision: PyTree

    def __init__(self, loss: Any, data: Any, weights: Any = None, precision: PyTree = 0.0):
        for leaf in jax.tree.leaves(precision):
            checks.number("precision", leaf)
        rows = jax.tree.map(as_rows, data)
        size = checks.leading_axis("data", rows)
        checks.finite("data", rows, remedy="drop or impute these rows")
        self.loss, self.data, self.precision = loss, rows, precision
        ones = jnp.ones(size, rows[0].dtype)
        self.weights = ones if weights is None else blocks.normalised_weights(weights, size, rows[0].dtype)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def max_size(self) -> int:
        return len(self.weights)

    @property
    def size(self) -> int:
        return self.max_size

    def value(self, position: PyTree) -> Float[Array, ""]:
        return self.value_and_gradient(position)[0]

    def gradient(self, position: PyTree) -> PyTree:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(self, position: PyTree) -> tuple[Float[Array, ""], PyTree]:
        """The mean moves with theta too, but errors around it sum to 0: its own gradient drops out."""
        mean = self.mean_error(position)

        def squares(x: PyTree, rows: Any, weights: Any) -> Float[Array, ""]:
            return jnp.sum(weights * (self._errors(x, rows) - mean) ** 2) / 2

        summed = blocks.block_sum(
            lambda block: jax.value_and_grad(squares)(position, *block), (self.data, self.weights), BLOCK_SIZE
        )
        return jax.tree.map(lambda total: total / self.max_size, summed)

    def mean_error(self, position: PyTree) -> Float[Array, ""]:
        """The best intercept is its negative."""

        def total(block: Any) -> Float[Array, ""]:
            return jnp.sum(block[1] * self._errors(position, block[0]))

        return blocks.block_sum(total, (self.data, self.weights), BLOCK_SIZE) / self.max_size

    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        raise ValueError(ALL_ROWS)

    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        raise ValueError(ALL_ROWS)

    def _errors(self, position: PyTree, rows: Any) -> Float[Array, " b"]:
        return jax.vmap(self.loss.error, in_axes=(None, 0))(position, rows)
