"""Gradient estimators that are never refreshed, along random walks of one step length.

Components are quadratics whose Hessians are +-zeta I, so that the error of SLEDGE is known: its square settles at
zeta^2 step^2 n / (2 b^2) and stays, since what it forgets at the rate b / n a step is what it gains.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float

from langevax.gradients import SAGA, SARAH, SLEDGE, STORM
from langevax.keys import unrolled
from langevax.problems.finite_sum import FiniteSum

COMPONENTS, BATCH, STEP, DIM = 256, 4, 0.01, 4
PREDICTED = STEP**2 * COMPONENTS / (2 * BATCH**2)  # of the squared error of SLEDGE; zeta = 1
PARTS = 8  # of a walk
NEVER = 10**9
ESTIMATORS: dict[str, Any] = {
    "SLEDGE": SLEDGE(BATCH, "components"),
    "SAGA": SAGA(BATCH, "components"),
    "STORM": STORM(BATCH, BATCH / COMPONENTS),
    "SARAH": SARAH(BATCH, NEVER),
}


def quadratics(seed: int) -> FiniteSum:
    """Half of the components bend up, half down, and each has a slope; the mean has no curvature."""
    rng = np.random.default_rng(seed)
    signs = rng.permutation(np.resize([-1.0, 1.0], COMPONENTS)).astype(np.float32)
    return FiniteSum(_bent, (signs, rng.normal(size=(COMPONENTS, DIM)).astype(np.float32)))


def _bent(x: Float[Array, " d"], row: tuple[Array, Array]) -> Float[Array, ""]:
    curvature, slope = row
    return curvature * jnp.sum(x**2) / 2 + slope @ x


def errors(name: str, num_steps: int, num_walks: int, seed: int) -> np.ndarray:
    """(walk, part): mean squared error over PREDICTED, in PARTS parts of each walk."""
    keys = random.split(random.key(seed), num_walks)
    found = np.asarray(_squared_errors(ESTIMATORS[name], quadratics(seed), keys, num_steps), np.float64)
    return found.reshape(num_walks, PARTS, -1).mean(axis=2) / PREDICTED


@eqx.filter_jit
def _squared_errors(estimator: Any, problem: FiniteSum, keys: Any, num_steps: int) -> Float[Array, "walks steps"]:
    mean_slope = jnp.mean(problem.data[1], axis=0)  # the gradient everywhere

    def walk(key: Any) -> Float[Array, " steps"]:
        key = unrolled(key)

        def body(carry: Any, number: Any) -> Any:
            x, state = carry
            batch_key, walk_key = random.split(random.fold_in(key, number))
            v, state, _ = estimator.estimate(problem, x, state, batch_key, number)
            direction = random.normal(walk_key, x.shape, x.dtype)
            x = x + STEP * direction / jnp.linalg.norm(direction)
            return (x, state), jnp.sum((v - mean_slope) ** 2)

        x = jnp.zeros_like(mean_slope)
        start = x, estimator.init(problem, x)[0]
        return lax.scan(body, start, jnp.arange(num_steps, dtype=jnp.int32))[1]

    return jax.vmap(walk)(keys)
