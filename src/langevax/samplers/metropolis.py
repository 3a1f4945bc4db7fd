"""Metropolis methods: MALA in R^d, pCN and pCNL on functions. Exact, with a full pass over the data at every step.

MALA (Roberts and Tweedie, 1996) proposes a Langevin step. pCN and pCNL (Cotter, Roberts, Stuart, White, Statistical
Science 2013) sample exp(-value / T) against the Gaussian N(0, C) of the quadratic part, C = T / precision in each mode.
Both proposals leave that Gaussian invariant, so that acceptance depends on `value` alone and does not fall with the
number of modes.
"""

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


class MALAState(NamedTuple):
    """Position, potential and its gradient there."""

    position: PyTree
    potential: FloatScalar
    gradient: PyTree


class MALA(Algorithm):
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

    step_size: Hyperparameter | Literal["auto"] = "auto"
    temperature: Hyperparameter | Literal["auto"] = "auto"

    def __check_init__(self) -> None:
        is_positive = {"positive": True, "schedule": True, "auto": True}
        checks.number("step_size", self.step_size, **is_positive)
        checks.number("temperature", self.temperature, **is_positive)

    def init(
        self, problem: Problem, position: PyTree, key: PRNGKey
    ) -> tuple[MALAState, Info]:
        potential, gradient = problem.potential_and_gradient(position)
        info = {"evaluations": problem.size, "acceptance": jnp.ones_like(potential)}
        return MALAState(position, potential, gradient), info

    def step(
        self,
        problem: Problem,
        state: MALAState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[MALAState, Info]:
        noise_key, accept_key = random.split(key)
        return self.step_with_noise(
            problem,
            state,
            trees.normal_like(state.position, key=noise_key),
            accept_key,
            step,
        )

    def step_with_noise(
        self,
        problem: Problem,
        state: MALAState,
        noise: PyTree,
        accept_key: PRNGKey,
        step: IntScalar,
    ) -> tuple[MALAState, Info]:
        """Return a step whose noise, standard normal and shaped like the position, was drawn by the caller."""
        dtype = state.potential.dtype
        h = jnp.asarray(at_step(self.step_size, step), dtype)
        temperature = jnp.asarray(at_step(self.temperature, step), dtype)
        scale = jnp.sqrt(2 * h * temperature)

        position = jax.tree.map(
            lambda x, g, xi: x - h * g + scale * xi,
            state.position,
            state.gradient,
            noise,
        )
        potential, gradient = problem.potential_and_gradient(position)
        # forward residual is scale * xi; backward is x - x' + h grad U(x') = h (grad U(x) + grad U(x')) - scale * xi
        backward = jax.tree.map(
            lambda g, new, xi: h * (g + new) - scale * xi,
            state.gradient,
            gradient,
            noise,
        )
        change = trees.dot(noise, noise) / 2 - trees.dot(backward, backward) / (
            4 * h * temperature
        )
        log_ratio = (state.potential - potential) / temperature + change
        return _accept(
            accept_key,
            log_ratio,
            MALAState(position, potential, gradient),
            state,
            problem,
        )


class _PreconditionedCrankNicolson(Algorithm):
    """Arguments of pCN and pCNL, whose proposals need a Gaussian in every mode."""

    largest_step_size: ClassVar[float]

    step_size: Hyperparameter | Literal["auto"] = "auto"
    temperature: Hyperparameter | Literal["auto"] = "auto"

    def __check_init__(self) -> None:
        is_positive = {"positive": True, "schedule": True, "auto": True}
        checks.number("step_size", self.step_size, **is_positive)
        checks.number("temperature", self.temperature, **is_positive)
        largest = self.largest_step_size
        if (
            not callable(self.step_size)
            and not checks.is_auto(self.step_size)
            and checks.is_concrete(self.step_size)
            and np.any(np.asarray(self.step_size) > largest)
        ):
            longest = np.max(np.asarray(self.step_size))
            raise ValueError(
                f"step_size must be at most {largest:g}, got {longest}; pass a smaller one."
            )

    def check(self, problem: Problem) -> None:
        for leaf in jax.tree.leaves(problem.precision):
            if checks.is_concrete(leaf) and not np.all(np.asarray(leaf) > 0):
                raise ValueError(
                    f"{type(self).__name__} proposes from the Gaussian of the quadratic part, but the problem has a "
                    f"precision of {np.min(np.asarray(leaf))}; pass precision > 0 "
                    "(`prior.precision(temperature)`), or use MALA."
                )


class PCNState(NamedTuple):
    """Position and value there."""

    position: PyTree
    value: FloatScalar


class PCN(_PreconditionedCrankNicolson):
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

    def init(
        self, problem: Problem, position: PyTree, key: PRNGKey
    ) -> tuple[PCNState, Info]:
        value = problem.value(position)
        return PCNState(position, value), {
            "evaluations": problem.size,
            "acceptance": jnp.ones_like(value),
        }

    def step(
        self,
        problem: Problem,
        state: PCNState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[PCNState, Info]:
        noise_key, accept_key = random.split(key)
        s = at_step(self.step_size, step)
        temperature = at_step(self.temperature, step)
        noise = trees.normal_like(state.position, key=noise_key)

        def propose(precision: Any, u: Array, xi: Array) -> Array:
            h, T, p = (
                jnp.asarray(number, u.dtype) for number in (s, temperature, precision)
            )
            return jnp.sqrt(1 - h**2) * u + h * jnp.sqrt(T / p) * xi

        position = trees.map_prefix(propose, problem.precision, state.position, noise)
        proposal = PCNState(position, problem.value(position))
        log_ratio = (state.value - proposal.value) / jnp.asarray(
            temperature, state.value.dtype
        )
        return _accept(accept_key, log_ratio, proposal, state, problem)


class PCNLState(NamedTuple):
    """Position, value and its gradient there."""

    position: PyTree
    value: FloatScalar
    gradient: PyTree


class PCNL(_PreconditionedCrankNicolson):
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

    def init(
        self, problem: Problem, position: PyTree, key: PRNGKey
    ) -> tuple[PCNLState, Info]:
        value, gradient = problem.value_and_gradient(position)
        info = {"evaluations": problem.size, "acceptance": jnp.ones_like(value)}
        return PCNLState(position, value, gradient), info

    def step(
        self,
        problem: Problem,
        state: PCNLState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[PCNLState, Info]:
        noise_key, accept_key = random.split(key)
        t = at_step(self.step_size, step)
        temperature = at_step(self.temperature, step)
        noise = trees.normal_like(state.position, key=noise_key)

        def propose(precision: Any, u: Array, g: Array, xi: Array) -> Array:
            h, T, p = (
                jnp.asarray(number, u.dtype) for number in (t, temperature, precision)
            )
            return ((2 - h) * u - 2 * h * g / p + jnp.sqrt(8 * h * T / p) * xi) / (
                2 + h
            )

        position = trees.map_prefix(
            propose, problem.precision, state.position, state.gradient, noise
        )
        proposal = PCNLState(position, *problem.value_and_gradient(position))

        def forward_less_backward(
            precision: Any, u: Array, g: Array, v: Array, k: Array
        ) -> Array:
            h = jnp.asarray(t, u.dtype)
            p = jnp.asarray(precision, u.dtype)
            return jnp.sum(
                (v - u) * (g + k) / 2
                + h / 4 * ((u + v) * (g - k) + (g - k) * (g + k) / p)
            )

        terms = trees.map_prefix(
            forward_less_backward,
            problem.precision,
            state.position,
            state.gradient,
            position,
            proposal.gradient,
        )
        change = state.value - proposal.value + jax.tree.reduce(jnp.add, terms)
        return _accept(
            accept_key,
            change / jnp.asarray(temperature, change.dtype),
            proposal,
            state,
            problem,
        )


def _accept(
    key: PRNGKey,
    log_ratio: FloatScalar,
    proposal: StateT,
    state: StateT,
    problem: Problem,
) -> tuple[StateT, Info]:
    """Return the proposal or the old state, and the info of the step; a proposal of NaN is never accepted."""
    log_acceptance = jnp.where(
        jnp.isnan(log_ratio), -jnp.inf, jnp.minimum(log_ratio, 0)
    )
    accept = jnp.log(random.uniform(key, dtype=log_ratio.dtype)) < log_acceptance
    chosen = jax.tree.map(lambda new, old: jnp.where(accept, new, old), proposal, state)
    return chosen, {"evaluations": problem.size, "acceptance": jnp.exp(log_acceptance)}
