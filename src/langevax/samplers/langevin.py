"""Langevin dynamics with any gradient estimator and any integrator.

    position  <-  a * position  -  b * v  +  c * sqrt(temperature) * xi,      xi ~ N(0, I)

v estimates the gradient of the problem's mean; (a, b, c) come from the integrator and the problem's precision.
This one step is LD, SGLD, SVRG-LD and SARAH-LD (Kinoshita and Suzuki, NeurIPS 2022, temperature = 1/gamma), the
semi-implicit scheme in a Hilbert space (Muzellec et al., COLT 2022) and mean-field Langevin dynamics (Nitanda, Wu,
Suzuki, AISTATS 2022). Cost of a step: the estimator's, and one normal draw per coordinate.
"""

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax import random
from jaxtyping import Array

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Hyperparameter, Info, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.gradients.estimator import check_estimator
from langevax.integrators import Explicit, Integrator, check_integrator
from langevax.problems.problem import Problem


class LangevinState(NamedTuple):
    """Position, and the state of the gradient estimator."""

    position: PyTree
    gradient: Any


class NoisyDescent(Algorithm):
    """Algorithms with the step `a * position - b * v + noise` that differ in the noise.

    Each has the fields `step_size`, `gradient` and `integrator`, in the order of its own arguments.
    """

    def __check_init__(self: Any) -> None:
        checks.number(
            "step_size", self.step_size, positive=True, schedule=True, auto=True
        )
        check_estimator(self.gradient)
        check_integrator(self.integrator)

    @abstractmethod
    def noise(
        self,
        problem: Problem,
        position: PyTree,
        step: IntScalar,
        *,
        key: PRNGKey,
    ) -> PyTree:
        """Draw the noise of a step, shaped like the position."""

    @abstractmethod
    def scaled(
        self,
        noise: Array,
        c: Array,
        step: IntScalar,
    ) -> Array:
        """Return what one leaf of the noise adds to the position; `c` is the gain of the integrator."""

    def init(
        self: Any,
        problem: Problem,
        position: PyTree,
        key: PRNGKey,
    ) -> tuple[LangevinState, Info]:
        state, used = self.gradient.init(problem, position)
        return LangevinState(position, state), {"evaluations": used}

    def step(
        self,
        problem: Problem,
        state: LangevinState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[LangevinState, Info]:
        gradient_key, noise_key = random.split(key)
        noise = self.noise(problem, state.position, step, key=noise_key)
        return self.step_with_noise(problem, state, noise, gradient_key, step)

    def step_with_noise(
        self: Any,
        problem: Problem,
        state: LangevinState,
        noise: PyTree,
        gradient_key: PRNGKey,
        step: IntScalar,
    ) -> tuple[LangevinState, Info]:
        """Return a step whose noise, as `noise` draws it, was drawn by the caller."""
        x = state.position
        v, gradient_state, used = self.gradient.estimate(
            problem, x, state.gradient, gradient_key, step
        )
        step_size = at_step(self.step_size, step)

        def move(
            precision: Any,
            x: Array,
            v: Array,
            xi: Array,
        ) -> Array:
            a, b, c = self.integrator.gains(
                jnp.asarray(step_size, x.dtype), jnp.asarray(precision, x.dtype)
            )
            return a * x - b * v + self.scaled(xi, c, step)

        position = trees.map_prefix(move, problem.precision, x, v, noise)
        return LangevinState(position, gradient_state), {"evaluations": used}


class Langevin(NoisyDescent):
    """Langevin dynamics: samples exp(-potential / temperature), or optimises if the temperature is small.

    Args:
        step_size: h > 0, a float or a schedule of the step such as optax's; "auto" for `langevax.sample`.
        temperature: T >= 0, a float or a schedule. For a posterior it is 1/n, see `langevax.posterior`; "auto" for
            `langevax.sample`.
        gradient: a gradient estimator of `langevax.gradients`.
        integrator: how the quadratic part is integrated, one of `langevax.integrators`.

    Raises:
        ValueError: step_size <= 0, temperature < 0, or either not finite.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.ones((10, 2)))
        >>> langevin = langevax.Langevin(step_size=0.1, temperature=0.01)
        >>> result = langevax.simulate(langevin, problem, jnp.zeros(2), key=jax.random.key(0), num_steps=100)
        >>> result.evaluations
        1000
    """

    step_size: Hyperparameter | Literal["auto"] = "auto"
    temperature: Hyperparameter | Literal["auto"] = "auto"
    gradient: GradientEstimator = Full()
    integrator: Integrator = Explicit()

    def __check_init__(self) -> None:
        checks.number("temperature", self.temperature, schedule=True, auto=True)

    def noise(
        self,
        problem: Problem,
        position: PyTree,
        step: IntScalar,
        *,
        key: PRNGKey,
    ) -> PyTree:
        return trees.normal_like(position, key=key)

    def scaled(
        self,
        noise: Array,
        c: Array,
        step: IntScalar,
    ) -> Array:
        temperature = jnp.asarray(at_step(self.temperature, step), noise.dtype)
        return c * jnp.sqrt(temperature) * noise
