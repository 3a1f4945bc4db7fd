"""NUTS: the transition of BlackJAX, with Stan's window adaptation in the state of the chain.

Transition: Hoffman and Gelman (JMLR 2014) in its multinomial form (Betancourt 2017). Adaptation: the step size by dual
averaging for an acceptance of 0.8, or what is asked for, the variances of the coordinates from windows that double, as
in Stan. It is part of the state, so that warm-up and sampling are one compiled program: for most small posteriors
compiling takes longest. A step costs 2^depth - 1 full gradients.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from langevax import checks
from langevax._typing import FloatScalar, IntScalar, PRNGKey, Vector
from langevax.algorithm import Algorithm, Info
from langevax.problems.problem import Problem

TARGET_ACCEPT = 0.8
"""Mean acceptance probability."""


class Stage(IntEnum):
    """Stages of steps: they adapt the step size; the variances, too; the same, and take the variances over; nothing."""

    FAST, SLOW, WINDOW_END, FROZEN = range(4)


class Adaptation(NamedTuple):
    """Step size and variances of one chain, and what they are estimated from."""

    log_step: FloatScalar
    mean_log_step: FloatScalar
    error: FloatScalar
    """Mean of target less acceptance."""
    centre: FloatScalar
    num_steps: FloatScalar
    variance: Vector
    mean: Vector
    squares: Vector
    num_positions: FloatScalar

    @classmethod
    def of(cls, step_size: FloatScalar, variance: Vector) -> "Adaptation":
        zero = jnp.zeros_like(step_size)
        zeros = jnp.zeros_like(variance)
        log_step = jnp.log(step_size)
        return cls(
            log_step,
            log_step,
            zero,
            log_step + np.log(10),
            zero,
            variance,
            zeros,
            zeros,
            zero,
        )

    def with_acceptance(
        self,
        acceptance: FloatScalar,
        target: FloatScalar | float = TARGET_ACCEPT,
        delay: float = 10.0,
        gain: float = 0.05,
        forgetting: float = 0.75,
    ) -> "Adaptation":
        """Dual averaging: equation (6) of Hoffman and Gelman, with their t_0, gamma and kappa."""
        t = self.num_steps + 1
        error = self.error + (target - acceptance - self.error) / (t + delay)
        log_step = self.centre - jnp.sqrt(t) / gain * error
        mean_log_step = self.mean_log_step + t**-forgetting * (
            log_step - self.mean_log_step
        )
        return self._replace(
            log_step=log_step, mean_log_step=mean_log_step, error=error, num_steps=t
        )

    def with_position(self, x: Vector) -> "Adaptation":
        """Welford's update."""
        count = self.num_positions + 1
        mean = self.mean + (x - self.mean) / count
        return self._replace(
            mean=mean,
            squares=self.squares + (x - self.mean) * (x - mean),
            num_positions=count,
        )

    def at_window_end(self, weight: float = 5, small: float = 1e-3) -> "Adaptation":
        """Take the variances over, shrunk towards `small` of the old ones, and start the averages again.

        These have the weight of so many draws.
        """
        n = self.num_positions
        sample_variance = self.squares / jnp.maximum(n - 1, 1)
        variance = (n * sample_variance + weight * small * self.variance) / (n + weight)
        return Adaptation.of(jnp.exp(self.mean_log_step), variance)


class NUTSState(NamedTuple):
    """Position, log density and its gradient there, and the adaptation."""

    position: Vector
    log_density: FloatScalar
    gradient: Vector
    adaptation: Adaptation


class NUTS(Algorithm):
    """The No-U-Turn sampler on vectors: exact, with full gradients.

    Args:
        step_size: h > 0, that of the leapfrog steps, at which an adaptation starts; "auto" for `langevax.sample`.
        temperature: T > 0; "auto" for `langevax.sample`.
        target_accept: mean acceptance probability to which the step size is adapted, in (0, 1]; nearer to 1 steps are
            shorter, and diverge less.
        variance: of each coordinate, at which an adaptation starts.
        stages: (num_warmup,) what each step adapts; later steps are as the last. See `stages_of`. None adapts nothing.

    The metric `acceptance` is the mean acceptance probability, `lp` the log density, `energy` less the log density of
    position and momentum, `n_steps` the leapfrog steps, and `tree_depth` how often they doubled; the count `divergences`
    is that of the steps after warm-up whose energy error exceeded 1,000.

    Raises:
        ValueError: step_size or temperature <= 0, target_accept outside (0, 1].

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> normal = langevax.Function(lambda x: jnp.sum(x**2) / 2)
        >>> nuts = langevax.NUTS(step_size=0.5, temperature=1.0)
        >>> result = langevax.simulate(nuts, normal, jnp.zeros(2), key=jax.random.key(0), num_steps=100)
        >>> nuts, result.metrics["acceptance"] > 0.8
        (NUTS(step_size=0.5, temperature=1.0), True)
    """

    step_size: FloatScalar | float | Literal["auto"] = "auto"
    temperature: FloatScalar | float | Literal["auto"] = "auto"
    target_accept: FloatScalar | float = TARGET_ACCEPT
    variance: Vector | float = eqx.field(default=1.0, repr=False)
    stages: Int[Array, " w"] | None = eqx.field(default=None, repr=False)
    max_doublings: ClassVar[int] = 10

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True, auto=True)
        checks.number("temperature", self.temperature, positive=True, auto=True)
        checks.fraction("target_accept", self.target_accept)

    @property
    def schedule(self) -> Int[Array, " w"]:
        """The stages, of which the last one lasts."""
        if self.stages is None:
            return jnp.full(1, Stage.FROZEN, jnp.int32)
        return self.stages

    def init(
        self,
        problem: Problem,
        position: Array,
        key: PRNGKey,
    ) -> tuple[NUTSState, Info]:
        dtype = position.dtype
        potential, slope = problem.potential_and_gradient(position)
        temperature = jnp.asarray(self.temperature, dtype)
        adaptation = Adaptation.of(
            jnp.asarray(self.step_size, dtype),
            jnp.broadcast_to(jnp.asarray(self.variance, dtype), position.shape),
        )
        log_density = -potential / temperature
        state = NUTSState(position, log_density, -slope / temperature, adaptation)
        return state, {
            "evaluations": problem.size,
            "divergences": jnp.int32(0),
            "acceptance": jnp.ones((), dtype),
            "diverging": jnp.zeros((), dtype),
            "energy": -log_density,
            "lp": log_density,
            "tree_depth": jnp.zeros((), dtype),
            "n_steps": jnp.zeros((), dtype),
        }

    def step(
        self,
        problem: Problem,
        state: NUTSState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[NUTSState, Info]:
        from blackjax.mcmc import hmc, nuts

        adaptation = state.adaptation
        dtype = state.position.dtype
        kernel: Any = nuts.build_kernel()
        log_density = _log_density_of(problem, jnp.asarray(self.temperature, dtype))
        with jax.numpy_dtype_promotion("standard"):  # BlackJAX mixes dtypes
            of_state: Any = state.position, state.log_density, state.gradient
            before: Any = hmc.HMCState(*of_state)
            after, info = kernel(
                key,
                before,
                log_density,
                jnp.exp(adaptation.log_step),
                adaptation.variance,
                self.max_doublings,
            )
        acceptance = jnp.nan_to_num(jnp.asarray(info.acceptance_rate, dtype), nan=0.0)
        stage = self.schedule[jnp.minimum(step, len(self.schedule) - 1)]
        adapted = adaptation.with_acceptance(
            acceptance, jnp.asarray(self.target_accept, dtype)
        )
        adapted = _chosen(
            stage >= Stage.SLOW, adapted.with_position(after.position), adapted
        )
        adapted = _chosen(stage == Stage.WINDOW_END, adapted.at_window_end(), adapted)
        adapted = _chosen(stage == Stage.FROZEN, adaptation, adapted)
        divergences = jnp.where(stage == Stage.FROZEN, info.is_divergent, False).astype(
            jnp.int32
        )
        evaluations = jnp.int32(problem.size) * info.num_integration_steps.astype(
            jnp.int32
        )
        new = NUTSState(
            after.position, after.logdensity, after.logdensity_grad, adapted
        )
        return new, {
            "evaluations": evaluations,
            "divergences": divergences,
            "acceptance": acceptance,
            "diverging": divergences.astype(dtype),
            "energy": jnp.asarray(info.energy, dtype),
            "lp": after.logdensity,
            "tree_depth": info.num_trajectory_expansions.astype(dtype),
            "n_steps": info.num_integration_steps.astype(dtype),
        }

    def frozen(self, state: NUTSState) -> "NUTS":
        """Return NUTS with the step size and variances that stacked chains agree on, without further adaptation.

        Variances are medians over chains, the step size is a lower quartile: no single chain that is stuck decides.
        """
        log_steps, variances = map(
            np.asarray, (state.adaptation.mean_log_step, state.adaptation.variance)
        )
        step_size = jnp.asarray(np.exp(np.quantile(log_steps, 0.25)), log_steps.dtype)
        variance = jnp.asarray(np.median(variances, axis=0))
        stages = jnp.asarray(np.full_like(self.schedule, Stage.FROZEN))
        return replace(self, step_size=step_size, variance=variance, stages=stages)

    def settling(self, num_steps: int, acceptance: float) -> "NUTS":
        """Return NUTS whose next steps adapt the step size alone, to an acceptance."""
        is_fast = np.arange(len(self.schedule)) < num_steps
        stages = jnp.asarray(
            np.where(is_fast, Stage.FAST, Stage.FROZEN).astype(np.int32)
        )
        return replace(self, stages=stages, target_accept=acceptance)


def stages_of(num_warmup: int, last: int = 100) -> Int[Array, " w"]:
    """Return Stan's schedule, by BlackJAX: a buffer, windows that double, and a buffer.

    The last one has 50 steps in Stan, after which steps are too short.

    Example:
        >>> [int((stages_of(300) == stage).sum()) for stage in Stage]
        [175, 123, 2, 0]
    """
    from blackjax.adaptation.window_adaptation import build_schedule

    with jax.numpy_dtype_promotion("standard"):  # BlackJAX mixes dtypes
        schedule = np.asarray(build_schedule(num_warmup, final_buffer_size=last))
    return jnp.asarray(schedule.sum(axis=1).astype(np.int32))


def _log_density_of(
    problem: Problem, temperature: FloatScalar
) -> Callable[[Array], Array]:
    """Return -potential / temperature, whose gradient is that of the problem, in one pass with the value."""

    @jax.custom_vjp
    def log_density(x: Array) -> Array:
        return -problem.potential(x) / temperature

    def forward(x: Array) -> tuple[Array, Array]:
        potential, gradient = problem.potential_and_gradient(x)
        return -potential / temperature, -gradient / temperature

    def backward(gradient: Array, cotangent: Array) -> tuple[Array]:
        return (cotangent * gradient,)

    log_density.defvjp(forward, backward)
    return log_density


def _chosen(condition: Array, one: Adaptation, other: Adaptation) -> Adaptation:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
