"""Plain descent, for phase II: Langevin's explicit step at temperature 0, without drawing the noise that counts 0.

    position  <-  position - step_size (gradient + precision position)

At temperature 0 `Langevin` gives the same numbers, but its temperature is traced, so that it draws: at the sizes here
keys and normals of six restarts take some 25 us, as much as the gradient over 2,000 rows.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from langevax import checks, trees
from langevax.algorithm import Algorithm, Info
from langevax.integrators import Explicit
from langevax.problems.problem import Problem


class DescentState(NamedTuple):
    position: PyTree


class Descent(Algorithm):
    """Gradient descent over all rows. Cost of a step: one gradient.

    Args:
        step_size: h > 0.

    Raises:
        ValueError: step_size <= 0 or not finite.

    Example:
        >>> import jax, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.ones((10, 2)))
        >>> run = langevax.simulate(Descent(0.5), problem, jnp.zeros(2), key=jax.random.key(0), num_steps=3)
        >>> run.position, run.evaluations
        (Array([0.875, 0.875], dtype=float32), 30)
    """

    step_size: float | Float[Array, ""]

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True)

    def init(self, problem: Problem, position: PyTree, key: Key[Array, ""]) -> tuple[DescentState, Info]:
        return DescentState(position), {"evaluations": 0}

    def step(
        self, problem: Problem, state: DescentState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[DescentState, Info]:
        def move(precision: Any, x: Array, v: Array) -> Array:
            a, b, _ = Explicit().gains(jnp.asarray(self.step_size, x.dtype), jnp.asarray(precision, x.dtype))
            return a * x - b * v

        position = trees.map_prefix(move, problem.precision, state.position, problem.gradient(state.position))
        return DescentState(position), {"evaluations": problem.size}
