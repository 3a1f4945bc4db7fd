"""Langevin dynamics in a box: after each step the position is reflected at the bounds.

    w = upper - lower,      z = (x - lower) mod 2w,      fold(x) = lower + w - |z - w|

Mirror images of the box tile the line with period 2w, and the fold maps a point to its original: it is exact for
steps of any length. With one bound it is lower + |x - lower|, or upper - |upper - x|. This is the symmetrised Euler
scheme, of weak order one (Bossy, Gobet and Talay, J. Appl. Probab. 2004); without a force it leaves the uniform law
invariant, whatever the step size. A velocity changes sign with each reflection: where z > w.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Hyperparameter, Info
from langevax.gradients import GradientEstimator
from langevax.problems.problem import Problem


class Reflected(Algorithm):
    """An algorithm whose position is reflected into `lower <= position <= upper`.

    Samples exp(-potential / temperature) restricted to the box. A start outside is reflected into it.

    Args:
        algorithm: `Langevin` or `Underdamped`, which evaluate their gradient at each step. Metropolis methods keep the
            gradient at their proposal, which would belong to a position before reflection.
        lower: a prefix of the position, -inf where there is no bound.
        upper: a tree of the same structure, inf where there is no bound.

    Raises:
        TypeError: an algorithm without a gradient estimator, or bounds that are not numbers.
        ValueError: NaN, a lower bound that is not below its upper bound, or bounds of different structures.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.full((1, 2), 5.0))
        >>> langevin = langevax.Reflected(langevax.Langevin(step_size=0.1, temperature=0.1), lower=-1.0, upper=1.0)
        >>> result = langevax.simulate(langevin, problem, jnp.zeros(2), key=jax.random.key(0), num_steps=100)
        >>> bool(jnp.all(jnp.abs(result.position) <= 1))
        True
    """

    algorithm: Algorithm
    lower: PyTree
    upper: PyTree

    def __check_init__(self) -> None:
        if not isinstance(getattr(self.algorithm, "gradient", None), GradientEstimator):
            raise TypeError(
                "algorithm must evaluate its gradient at each step, got "
                f"{checks.shown(self.algorithm)}; pass langevax.Langevin(...) or "
                "langevax.Underdamped(...)."
            )
        if jax.tree.structure(self.lower) != jax.tree.structure(self.upper):
            raise ValueError(
                f"lower has the structure {jax.tree.structure(self.lower)} but upper "
                f"{jax.tree.structure(self.upper)}; pass two trees of the same "
                "structure."
            )
        jax.tree.map_with_path(_check_bounds, self.lower, self.upper)

    @property
    def step_size(self) -> Hyperparameter | None:
        """Step size of the algorithm."""
        return getattr(self.algorithm, "step_size", None)

    def check(self, problem: Problem) -> None:
        self.algorithm.check(problem)

    def init(
        self,
        problem: Problem,
        position: PyTree,
        key: PRNGKey,
    ) -> tuple[Any, Info]:
        return self.algorithm.init(problem, self.fold(position)[0], key)

    def step(
        self,
        problem: Problem,
        state: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Any, Info]:
        state, info = self.algorithm.step(problem, state, key, step)
        position, signs = self.fold(state.position)
        state = state._replace(position=position)
        if hasattr(state, "velocity"):
            state = state._replace(
                velocity=jax.tree.map(jnp.multiply, signs, state.velocity)
            )
        return state, info

    def fold(self, position: PyTree) -> tuple[PyTree, PyTree]:
        """Return the position in the box, and -1 for each coordinate reflected an odd number of times, else 1."""
        upper = jax.tree.broadcast(self.upper, position)
        pairs = trees.map_prefix(
            lambda low, x, high: fold(x, low, high), self.lower, position, upper
        )
        outer = jax.tree.structure(position)
        return jax.tree.transpose(outer, jax.tree.structure((0, 0)), pairs)


def fold(x: Array, lower: Any, upper: Any) -> tuple[Array, Array]:
    """Return x in the box, and the slope of the fold there, -1 or 1; numbers that are not finite stay so."""
    lower = jnp.asarray(lower, x.dtype)
    upper = jnp.asarray(upper, x.dtype)
    left = jnp.isfinite(lower)
    right = jnp.isfinite(upper)
    low = jnp.where(left, lower, 0)
    high = jnp.where(right, upper, 0)
    w = jnp.where(left & right, high - low, 1)
    z = jnp.mod(x - low, 2 * w)
    between = low + w - jnp.abs(z - w)
    from_low = low + jnp.abs(x - low)
    from_high = high - jnp.abs(high - x)
    at_one_bound = jnp.where(left, from_low, from_high)
    folded = jnp.clip(
        jnp.where(left & right, between, at_one_bound), lower, upper
    )  # rounding stays inside too
    inside = (x >= lower) & (x <= upper)
    reflected = jnp.where(left & right, z > w, True) & ~inside
    signs = jnp.where(reflected, -1, 1).astype(x.dtype)
    return jnp.where(inside, x, folded), signs


def _check_bounds(path: Any, lower: Any, upper: Any) -> None:
    where = jax.tree_util.keystr(path)
    if not (checks.is_concrete(lower) and checks.is_concrete(upper)):
        return
    for name, bound in (("lower", lower), ("upper", upper)):
        if not checks.is_real(bound):
            raise TypeError(
                f"{name}{where} must be a number or an array, got "
                f"{checks.shown(bound)}."
            )
    low, high = np.broadcast_arrays(np.asarray(lower), np.asarray(upper))
    wrong = ~(low < high)  # NaN, too
    if wrong.any():
        raise ValueError(
            f"lower{where} must be below upper{where}, got {low[wrong].flat[0]} and "
            f"{high[wrong].flat[0]}; pass -inf or inf where there is no bound."
        )
