"""The Metropolis-adjusted Langevin algorithm: exact, with full gradients (Roberts and Tweedie 1996).

    x' = x - h grad U(x) + sqrt(2 h T) xi,      U the potential, quadratic part included
    log acceptance = (U(x) - U(x')) / T + (|x' - x + h grad U(x)|^2 - |x - x' + h grad U(x')|^2) / (4 h T)

Cost of a step: one pass over the data for value and gradient together.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, Int, Key, PyTree

from langevax import checks, trees
from langevax.algorithm import Algorithm, Info, at_step
from langevax.problems.problem import Problem


class MALAState(NamedTuple):
    position: PyTree
    potential: Float[Array, ""]
    gradient: PyTree


class MALA(Algorithm):
    """Samples exp(-potential / temperature) without discretisation error.

    Args:
        step_size: h > 0, a float or a schedule; an acceptance of 0.5-0.8 is a good sign.
        temperature: T > 0, a float or a schedule.

    Its `acceptance` metric is the mean acceptance probability.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.ones((10, 2)))
        >>> mala = langevax.MALA(step_size=0.5, temperature=1.0)
        >>> result = langevax.simulate(mala, problem, jnp.zeros(2), key=jax.random.key(0), num_steps=100)
        >>> result.metrics["acceptance"] > 0.8
        True
    """

    step_size: Any
    temperature: Any

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True)
        checks.number("temperature", self.temperature, positive=True)

    def init(self, problem: Problem, position: PyTree, key: Key[Array, ""]) -> tuple[MALAState, Info]:
        potential, gradient = problem.potential_and_gradient(position)
        info = {"evaluations": problem.size, "acceptance": jnp.ones_like(potential)}
        return MALAState(position, potential, gradient), info

    def step(
        self, problem: Problem, state: MALAState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[MALAState, Info]:
        noise_key, accept_key = random.split(key)
        return self.moved(problem, state, trees.normal_like(noise_key, state.position), accept_key, step)

    def moved(
        self, problem: Problem, state: MALAState, noise: PyTree, accept_key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[MALAState, Info]:
        """A step whose noise, standard normal and shaped like the position, has been drawn."""
        dtype = state.potential.dtype
        h = jnp.asarray(at_step(self.step_size, step), dtype)
        temperature = jnp.asarray(at_step(self.temperature, step), dtype)
        scale = jnp.sqrt(2 * h * temperature)

        position = jax.tree.map(lambda x, g, xi: x - h * g + scale * xi, state.position, state.gradient, noise)
        potential, gradient = problem.potential_and_gradient(position)
        # forward residual is scale * xi; backward is x - x' + h grad U(x') = h (grad U(x) + grad U(x')) - scale * xi
        backward = jax.tree.map(lambda g, new, xi: h * (g + new) - scale * xi, state.gradient, gradient, noise)
        change = trees.dot(noise, noise) / 2 - trees.dot(backward, backward) / (4 * h * temperature)
        log_ratio = (state.potential - potential) / temperature + change
        log_acceptance = jnp.where(jnp.isnan(log_ratio), -jnp.inf, jnp.minimum(log_ratio, 0))  # NaN is no place to go

        proposal = MALAState(position, potential, gradient)
        accept = jnp.log(random.uniform(accept_key, dtype=dtype)) < log_acceptance
        chosen = jax.tree.map(lambda new, old: jnp.where(accept, new, old), proposal, state)
        return chosen, {"evaluations": problem.size, "acceptance": jnp.exp(log_acceptance)}
