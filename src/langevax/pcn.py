"""Metropolis methods on functions, whose acceptance does not fall with the number of modes: pCN and pCNL.

The law is exp(-value / T) against the Gaussian N(0, C) of the quadratic part, C = T / precision in each mode. Both
proposals leave that Gaussian as it is, so that accepting weighs `value` alone: refining the grid changes nothing.
Exact, with the whole of `value` at every step; Cotter, Roberts, Stuart, White (Statistical Science 2013).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Int, Key, PyTree

from langevax import checks, trees
from langevax.algorithm import Algorithm, Info, at_step
from langevax.problems.problem import Problem


class PCNState(NamedTuple):
    position: PyTree
    value: Float[Array, ""]


class PCN(Algorithm):
    """Preconditioned Crank-Nicolson: exact, without gradients.

        v = sqrt(1 - s^2) u + s C^{1/2} xi,      accepted with probability min(1, exp((value(u) - value(v)) / T))

    Args:
        step_size: 0 < s <= 1, a number, a schedule, or one for each coordinate: shorter where the data inform. An
            acceptance of 0.2-0.4 is a good sign.
        temperature: T > 0, a number or a schedule.

    Its `acceptance` metric is the mean acceptance probability.

    Raises:
        ValueError: s outside (0, 1], T <= 0; in `simulate`, a problem with a mode of precision 0.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax import spaces
        >>> prior = spaces.GaussianPrior(spaces.Cosine(256), spaces.spectra.power(256, decay=2.0))
        >>> loss = lambda x, y: (x[0] - y) ** 2 / 2
        >>> problem = langevax.FiniteSum(loss, jnp.array([1.0]), precision=prior.precision())
        >>> pcn = langevax.PCN(step_size=0.5, temperature=1.0)
        >>> result = langevax.simulate(pcn, problem, jnp.zeros(256), key=jax.random.key(0), num_steps=100)
        >>> result.metrics["acceptance"] > 0.6
        True
    """

    step_size: Any
    temperature: Any

    def __check_init__(self) -> None:
        _check_step("step_size", self.step_size, 1.0)
        checks.number("temperature", self.temperature, positive=True)

    def check(self, problem: Problem) -> None:
        _check_precision(type(self).__name__, problem)

    def init(self, problem: Problem, position: PyTree, key: Key[Array, ""]) -> tuple[PCNState, Info]:
        value = problem.value(position)
        return PCNState(position, value), {"evaluations": problem.size, "acceptance": jnp.ones_like(value)}

    def step(
        self, problem: Problem, state: PCNState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PCNState, Info]:
        noise_key, accept_key = random.split(key)
        s, temperature = at_step(self.step_size, step), at_step(self.temperature, step)
        noise = trees.normal_like(noise_key, state.position)

        def propose(precision: Any, u: Array, xi: Array) -> Array:
            h, T, p = (jnp.asarray(number, u.dtype) for number in (s, temperature, precision))
            return jnp.sqrt(1 - h**2) * u + h * jnp.sqrt(T / p) * xi

        position = trees.map_prefix(propose, problem.precision, state.position, noise)
        proposal = PCNState(position, problem.value(position))
        log_ratio = (state.value - proposal.value) / jnp.asarray(temperature, state.value.dtype)
        chosen, acceptance = _accept(accept_key, log_ratio, proposal, state)
        return chosen, {"evaluations": problem.size, "acceptance": acceptance}


class PCNLState(NamedTuple):
    position: PyTree
    value: Float[Array, ""]
    gradient: PyTree


class PCNL(Algorithm):
    """Preconditioned Crank-Nicolson Langevin (infinity-MALA): pCN that also goes downhill.

        v = ((2 - t) u - 2t grad value(u) / precision + sqrt(8t) C^{1/2} xi) / (2 + t)
        log acceptance = rho(u, v) - rho(v, u),      with g = grad value(u),
        T rho(u, v) = value(u) + <v - u, g> / 2 + <t (u + v), g> / 4 + <t g, g / precision> / 4

    Args:
        step_size: 0 < t <= 2, a number, a schedule, or one for each coordinate: shorter where the data inform. An
            acceptance of 0.5-0.8 is a good sign.
        temperature: T > 0, a number or a schedule.

    Its `acceptance` metric is the mean acceptance probability.

    Raises:
        ValueError: t outside (0, 2], T <= 0; in `simulate`, a problem with a mode of precision 0.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax import spaces
        >>> prior = spaces.GaussianPrior(spaces.Cosine(256), spaces.spectra.power(256, decay=2.0))
        >>> loss = lambda x, y: (x[0] - y) ** 2 / 2
        >>> problem = langevax.FiniteSum(loss, jnp.array([1.0]), precision=prior.precision())
        >>> pcnl = langevax.PCNL(step_size=0.5, temperature=1.0)
        >>> result = langevax.simulate(pcnl, problem, jnp.zeros(256), key=jax.random.key(0), num_steps=100)
        >>> result.metrics["acceptance"] > 0.8
        True
    """

    step_size: Any
    temperature: Any

    def __check_init__(self) -> None:
        _check_step("step_size", self.step_size, 2.0)
        checks.number("temperature", self.temperature, positive=True)

    def check(self, problem: Problem) -> None:
        _check_precision(type(self).__name__, problem)

    def init(self, problem: Problem, position: PyTree, key: Key[Array, ""]) -> tuple[PCNLState, Info]:
        value, gradient = problem.value_and_gradient(position)
        info = {"evaluations": problem.size, "acceptance": jnp.ones_like(value)}
        return PCNLState(position, value, gradient), info

    def step(
        self, problem: Problem, state: PCNLState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PCNLState, Info]:
        noise_key, accept_key = random.split(key)
        t, temperature = at_step(self.step_size, step), at_step(self.temperature, step)
        noise = trees.normal_like(noise_key, state.position)

        def propose(precision: Any, u: Array, g: Array, xi: Array) -> Array:
            h, T, p = (jnp.asarray(number, u.dtype) for number in (t, temperature, precision))
            return ((2 - h) * u - 2 * h * g / p + jnp.sqrt(8 * h * T / p) * xi) / (2 + h)

        position = trees.map_prefix(propose, problem.precision, state.position, state.gradient, noise)
        proposal = PCNLState(position, *problem.value_and_gradient(position))

        def forward_less_backward(precision: Any, u: Array, g: Array, v: Array, k: Array) -> Array:
            h, p = jnp.asarray(t, u.dtype), jnp.asarray(precision, u.dtype)
            return jnp.sum((v - u) * (g + k) / 2 + h / 4 * ((u + v) * (g - k) + (g - k) * (g + k) / p))

        parts = trees.map_prefix(
            forward_less_backward, problem.precision, state.position, state.gradient, position, proposal.gradient
        )
        change = state.value - proposal.value + jax.tree.reduce(jnp.add, parts)
        log_ratio = change / jnp.asarray(temperature, change.dtype)
        chosen, acceptance = _accept(accept_key, log_ratio, proposal, state)
        return chosen, {"evaluations": problem.size, "acceptance": acceptance}


def _accept(key: Key[Array, ""], log_ratio: Float[Array, ""], proposal: Any, state: Any) -> tuple[Any, Array]:
    """(the state that is gone on with, the probability of the proposal)."""
    log_acceptance = jnp.where(jnp.isnan(log_ratio), -jnp.inf, jnp.minimum(log_ratio, 0))  # NaN is no place to go
    accept = jnp.log(random.uniform(key, dtype=log_ratio.dtype)) < log_acceptance
    chosen = jax.tree.map(lambda new, old: jnp.where(accept, new, old), proposal, state)
    return chosen, jnp.exp(log_acceptance)


def _check_step(name: str, value: Any, most: float) -> None:
    checks.number(name, value, positive=True)
    if not callable(value) and checks.is_concrete(value) and np.any(np.asarray(value) > most):
        raise ValueError(f"{name} must be at most {most:g}, got {np.max(np.asarray(value))}; pass a smaller one.")


def _check_precision(name: str, problem: Problem) -> None:
    for leaf in jax.tree.leaves(problem.precision):
        if checks.is_concrete(leaf) and not np.all(np.asarray(leaf) > 0):
            raise ValueError(
                f"{name} proposes from the Gaussian of the quadratic part, but the problem has a precision of "
                f"{np.min(np.asarray(leaf))}; pass precision > 0 (`prior.precision(ridge=temperature)`), or use MALA."
            )
