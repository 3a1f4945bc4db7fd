"""A problem whose position is a pytree, seen as one vector: for matrices over all coordinates at once."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from langevax import checks, trees
from langevax.problems.problem import Problem
from langevax.problems.reparametrised import Reparametrised


class Raveled(Reparametrised):
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

    def to_position(self, z: Float[Array, " d"]) -> PyTree:
        """The pytree of a vector."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        parts = [part.reshape(shape) for part, shape in zip(jnp.split(z, ends), self.shapes, strict=True)]
        return jax.tree.unflatten(self.structure, parts)

    def from_position(self, position: PyTree) -> Float[Array, " d"]:
        """The vector of a pytree."""
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(position)])

    def pull_back(self, gradient: PyTree) -> Float[Array, " d"]:
        """The same layout."""
        return self.from_position(gradient)
