"""Metropolis methods: MALA in R^d, pCN and pCNL on functions. Exact, with a full pass over the data at every step.

MALA (Roberts and Tweedie, 1996) proposes a Langevin step. pCN and pCNL (Cotter, Roberts, Stuart, White, Statistical
Science 2013) sample exp(-value / T) against the Gaussian N(0, C) of the quadratic part, C = T / precision in each mode.
Both proposals leave that Gaussian invariant, so that acceptance depends on `value` alone and does not fall with the
number of modes.

Proposals and acceptance of pCN and pCNL are arithmetic on arrays of JAX or of NumPy: chains on a solver in Python
(`langevax.sampling.moves`) take theirs from here.
"""

import math
from abc import abstractmethod
from types import ModuleType
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array

from langevax import checks, trees
from langevax._typing import FloatScalar, IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Hyperparameter, Info, at_step
from langevax.problems.problem import Problem

StateT = TypeVar("StateT", bound=tuple)


class Metropolis(Algorithm):
    """A proposal from standard normal numbers, accepted or refused: the parts of MALA, pCN and pCNL."""

    step_size: Hyperparameter | Literal["auto"] = "auto"
    temperature: Hyperparameter | Literal["auto"] = "auto"
    largest_step_size: ClassVar[float] = math.inf
    """At which proposals do not depend on the state any more."""

    def __check_init__(self) -> None:
        most = self.largest_step_size
        checks.number(
            "step_size",
            self.step_size,
            positive=True,
            schedule=True,
            auto=True,
            most=most,
        )
        checks.number(
            "temperature", self.temperature, positive=True, schedule=True, auto=True
        )

    @abstractmethod
    def evaluate(self, problem: Problem, position: PyTree) -> Any:
        """Return the state at a position."""

    @abstractmethod
    def propose(
        self,
        precision: PyTree,
        state: Any,
        noise: PyTree,
        step: IntScalar | int,
    ) -> PyTree:
        """Return the proposed position; `noise` is standard normal and shaped like the position."""

    @abstractmethod
    def log_ratio(
        self,
        precision: PyTree,
        state: Any,
        proposal: Any,
        noise: PyTree,
        step: IntScalar | int,
    ) -> Any:
        """Return the logarithm of the Metropolis ratio of a proposal."""

    def init(
        self,
        problem: Problem,
        position: PyTree,
        key: PRNGKey,
    ) -> tuple[Any, Info]:
        state = self.evaluate(problem, position)
        return state, {
            "evaluations": problem.size,
            "acceptance": jnp.ones_like(state[1]),
        }

    def step(
        self,
        problem: Problem,
        state: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Any, Info]:
        noise_key, accept_key = random.split(key)
        noise = trees.normal_like(state.position, key=noise_key)
        return self.step_with_noise(problem, state, noise, accept_key, step)

    def step_with_noise(
        self,
        problem: Problem,
        state: Any,
        noise: PyTree,
        accept_key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Any, Info]:
        """Return a step whose noise, standard normal and shaped like the position, was drawn by the caller."""
        precision = problem.precision
        proposal = self.evaluate(problem, self.propose(precision, state, noise, step))
        log_ratio = self.log_ratio(precision, state, proposal, noise, step)
        chosen, acceptance = accepted(accept_key, log_ratio, proposal, state)
        return chosen, {"evaluations": problem.size, "acceptance": acceptance}


def accepted(
    key: PRNGKey,
    log_ratio: FloatScalar,
    proposal: StateT,
    state: StateT,
) -> tuple[StateT, FloatScalar]:
    """Return the proposal or the old state, and the acceptance; a ratio that is NaN is never accepted."""
    log_acceptance = jnp.where(
        jnp.isnan(log_ratio), -jnp.inf, jnp.minimum(log_ratio, 0)
    )
    accept = jnp.log(random.uniform(key, dtype=log_ratio.dtype)) < log_acceptance
    chosen = trees.where(accept, proposal, state)
    return chosen, jnp.exp(log_acceptance)


class MALAState(NamedTuple):
    """Position, potential and its gradient there."""

    position: PyTree
    potential: FloatScalar
    gradient: PyTree


class MALA(Metropolis):
    """Metropolis-adjusted Langevin algorithm: samples exp(-potential / temperature) without discretisation error.

        x' = x - h grad U(x) + sqrt(2 h T) xi,      U the potential, quadratic part included
        log acceptance = (U(x) - U(x')) / T + (|x' - x + h grad U(x)|^2 - |x - x' + h grad U(x')|^2) / (4 h T)

    Args:
        step_size: h > 0, a float or a schedule; aim at an acceptance of 0.5 to 0.8. "auto" for `langevax.sample`.
        temperature: T > 0, a float or a schedule; "auto" for `langevax.sample`.

    The metric `acceptance` is the mean acceptance probability.

    Raises:
        ValueError: step_size or temperature <= 0 or not finite.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.ones((10, 2)))
        >>> mala = langevax.MALA(step_size=0.5, temperature=1.0)
        >>> result = langevax.simulate(mala, problem, jnp.zeros(2), key=jax.random.key(0), num_steps=100)
        >>> result.metrics["acceptance"] > 0.8
        True
    """

    def evaluate(self, problem: Problem, position: PyTree) -> MALAState:
        return MALAState(position, *problem.potential_and_gradient(position))

    def propose(
        self,
        precision: PyTree,
        state: MALAState,
        noise: PyTree,
        step: IntScalar | int,
    ) -> PyTree:
        h, _, scale = self._sizes(state, step)
        return jax.tree.map(
            lambda x, g, xi: x - h * g + scale * xi,
            state.position,
            state.gradient,
            noise,
        )

    def log_ratio(
        self,
        precision: PyTree,
        state: MALAState,
        proposal: MALAState,
        noise: PyTree,
        step: IntScalar | int,
    ) -> Any:
        h, temperature, scale = self._sizes(state, step)
        # forward residual is scale * xi; backward is x - x' + h grad U(x') = h (grad U(x) + grad U(x')) - scale * xi
        backward = jax.tree.map(
            lambda g, new, xi: h * (g + new) - scale * xi,
            state.gradient,
            proposal.gradient,
            noise,
        )
        change = trees.dot(noise, noise) / 2 - trees.dot(backward, backward) / (
            4 * h * temperature
        )
        return (state.potential - proposal.potential) / temperature + change

    def _sizes(
        self,
        state: MALAState,
        step: IntScalar | int,
    ) -> tuple[Array, Array, Array]:
        """Return h, T and sqrt(2 h T)."""
        dtype = state.potential.dtype
        h = jnp.asarray(at_step(self.step_size, step), dtype)
        temperature = jnp.asarray(at_step(self.temperature, step), dtype)
        return h, temperature, jnp.sqrt(2 * h * temperature)


class _OnFunctions(Metropolis):
    """Arguments of pCN and pCNL, whose proposals need a Gaussian in every mode."""

    def check(self, problem: Problem) -> None:
        for leaf in jax.tree.leaves(problem.precision):
            if checks.is_concrete(leaf) and not np.all(np.asarray(leaf) > 0):
                raise ValueError(
                    f"{type(self).__name__} proposes from the Gaussian of the "
                    "quadratic part, but the problem has a precision of "
                    f"{np.min(np.asarray(leaf))}; pass precision > 0 "
                    "(`prior.precision(temperature)`), or use MALA."
                )


class PCNLState(NamedTuple):
    """Position, value and its gradient there, which is None in a chain of pCN."""

    position: PyTree
    value: FloatScalar
    gradient: PyTree = None


class PCN(_OnFunctions):
    """Preconditioned Crank-Nicolson: exact, without gradients.

        v = sqrt(1 - s^2) u + s C^{1/2} xi,      accepted with probability min(1, exp((value(u) - value(v)) / T))

    Args:
        step_size: 0 < s <= 1, a number, a schedule, or one number per coordinate, smaller where the data are
            informative. Aim at an acceptance of 0.2 to 0.4. "auto" for `langevax.sample`.
        temperature: T > 0, a number or a schedule; "auto" for `langevax.sample`.

    The metric `acceptance` is the mean acceptance probability.

    Raises:
        ValueError: s outside (0, 1], T <= 0; in `simulate`, a problem with a mode of precision 0.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax import spaces
        >>> prior = spaces.GaussianPrior(spaces.Cosine(256), spaces.spectra.power(256, decay=2.0))
        >>> loss = lambda x, y: (x[0] - y) ** 2 / 2
        >>> problem = langevax.FiniteSum(loss, jnp.array([1.0]), precision=prior.precision())
        >>> for method, acceptance in ((langevax.PCN(0.5, 1.0), 0.6), (langevax.PCNL(0.5, 1.0), 0.8)):
        ...     result = langevax.simulate(method, problem, jnp.zeros(256), key=jax.random.key(0), num_steps=100)
        ...     print(result.metrics["acceptance"] > acceptance)
        True
        True
    """

    largest_step_size: ClassVar[float] = 1.0

    def evaluate(self, problem: Problem, position: PyTree) -> PCNLState:
        return PCNLState(position, problem.value(position))

    def propose(
        self,
        precision: PyTree,
        state: PCNLState,
        noise: PyTree,
        step: IntScalar | int,
    ) -> PyTree:
        s = at_step(self.step_size, step)
        temperature = at_step(self.temperature, step)

        def moved(precision: Any, u: Any, xi: Any) -> Any:
            sqrt = _library(u).sqrt
            h, T, p = _numbers_like(u, s, temperature, precision)
            return sqrt(1 - h**2) * u + h * sqrt(T / p) * xi

        return trees.map_prefix(moved, precision, state.position, noise)

    def log_ratio(
        self,
        precision: PyTree,
        state: PCNLState,
        proposal: PCNLState,
        noise: PyTree,
        step: IntScalar | int,
    ) -> Any:
        (T,) = _numbers_like(state.value, at_step(self.temperature, step))
        return (state.value - proposal.value) / T


class PCNL(_OnFunctions):
    """Preconditioned Crank-Nicolson Langevin (infinity-MALA): pCN with a gradient step.

        v = ((2 - t) u - 2t grad value(u) / precision + sqrt(8t) C^{1/2} xi) / (2 + t)
        log acceptance = rho(u, v) - rho(v, u),      with g = grad value(u),
        T rho(u, v) = value(u) + <v - u, g> / 2 + <t (u + v), g> / 4 + <t g, g / precision> / 4

    Args:
        step_size: 0 < t <= 2, otherwise as in `PCN`. Aim at an acceptance of 0.5 to 0.8.
        temperature: T > 0, a number or a schedule; "auto" for `langevax.sample`.

    The metric and the refusals are those of `PCN`, whose example runs this method as well.
    """

    largest_step_size: ClassVar[float] = 2.0

    def evaluate(self, problem: Problem, position: PyTree) -> PCNLState:
        return PCNLState(position, *problem.value_and_gradient(position))

    def propose(
        self,
        precision: PyTree,
        state: PCNLState,
        noise: PyTree,
        step: IntScalar | int,
    ) -> PyTree:
        t = at_step(self.step_size, step)
        temperature = at_step(self.temperature, step)

        def moved(
            precision: Any,
            u: Any,
            g: Any,
            xi: Any,
        ) -> Any:
            h, T, p = _numbers_like(u, t, temperature, precision)
            scale = _library(u).sqrt(8 * h * T / p)
            return ((2 - h) * u - 2 * h * g / p + scale * xi) / (2 + h)

        return trees.map_prefix(moved, precision, state.position, state.gradient, noise)

    def log_ratio(
        self,
        precision: PyTree,
        state: PCNLState,
        proposal: PCNLState,
        noise: PyTree,
        step: IntScalar | int,
    ) -> Any:
        t = at_step(self.step_size, step)

        def forward_less_backward(
            precision: Any,
            u: Any,
            g: Any,
            v: Any,
            k: Any,
        ) -> Any:
            h, p = _numbers_like(u, t, precision)
            terms = (v - u) * (g + k) / 2 + h / 4 * (
                (u + v) * (g - k) + (g - k) * (g + k) / p
            )
            return terms.sum()

        terms = trees.map_prefix(
            forward_less_backward,
            precision,
            state.position,
            state.gradient,
            proposal.position,
            proposal.gradient,
        )
        change = state.value - proposal.value + sum(jax.tree.leaves(terms))
        (T,) = _numbers_like(change, at_step(self.temperature, step))
        return change / T


def _library(array: Any) -> ModuleType:
    return jnp if isinstance(array, jax.Array) else np


def _numbers_like(array: Any, *numbers: Any) -> list[Any]:
    """Return numbers in the library and the dtype of an array."""
    return [_library(array).asarray(number, array.dtype) for number in numbers]
