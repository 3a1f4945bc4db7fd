"""A problem whose position is a pytree, seen as one vector: for matrices over all coordinates at once."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from langevax import checks, trees
from langevax.problems.problem import Problem


class Raveled(Problem):
    """`problem` with its position laid out as a vector, leaf after leaf.

    Args:
        problem: with positions of one floating dtype.
        like: a position of it.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> from langevax.problems.raveled import Raveled
        >>> line = langevax.FiniteSum(lambda p, x: (p["a"] + p["b"] * x) ** 2, jnp.array([1.0, 2.0]))
        >>> flat = Raveled(line, {"a": jnp.array(0.0), "b": jnp.array(0.0)})
        >>> flat.to_position(jnp.array([1.0, 2.0]))["b"], float(flat.value(jnp.array([1.0, 2.0])))
        (Array(2., dtype=float32), 17.0)
    """

    problem: Problem
    precision: Any
    structure: Any = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __init__(self, problem: Problem, like: PyTree):
        leaves, self.structure = jax.tree.flatten(like)
        self.problem = problem
        self.shapes = tuple(jnp.shape(leaf) for leaf in leaves)
        spread = trees.map_prefix(
            lambda p, x: jnp.broadcast_to(jnp.asarray(p, x.dtype), x.shape), problem.precision, like
        )
        vector = self.from_position(spread)
        same = vector.size > 0 and checks.is_concrete(vector) and np.ptp(np.asarray(vector)) == 0
        self.precision = vector[0] if same else vector

    def to_position(self, vector: Float[Array, " d"]) -> PyTree:
        """The pytree of a vector."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        parts = [part.reshape(shape) for part, shape in zip(jnp.split(vector, ends), self.shapes, strict=True)]
        return jax.tree.unflatten(self.structure, parts)

    def from_position(self, position: PyTree) -> Float[Array, " d"]:
        """The vector of a pytree."""
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(position)])

    @property
    def size(self) -> Int[Array, ""] | int:
        return self.problem.size

    @property
    def max_size(self) -> int:
        return self.problem.max_size

    def value(self, position: Array) -> Float[Array, ""]:
        return self.problem.value(self.to_position(position))

    def gradient(self, position: Array) -> Array:
        return self.from_position(self.problem.gradient(self.to_position(position)))

    def value_and_gradient(self, position: Array) -> tuple[Float[Array, ""], Array]:
        value, gradient = self.problem.value_and_gradient(self.to_position(position))
        return value, self.from_position(gradient)

    def gradient_at(self, position: Array, indices: Int[Array, " batch"]) -> Array:
        return self.from_position(self.problem.gradient_at(self.to_position(position), indices))

    def gradients_at(self, position: Array, indices: Int[Array, " batch"]) -> Array:
        gradients = self.problem.gradients_at(self.to_position(position), indices)
        return jax.vmap(self.from_position)(gradients)
