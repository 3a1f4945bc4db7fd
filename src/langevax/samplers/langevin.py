"""Langevin dynamics with any gradient estimator and any integrator.

    position  <-  a * position  -  b * v  +  c * sqrt(temperature) * xi,      xi ~ N(0, I)

v estimates the gradient of the problem's mean; (a, b, c) come from the integrator and the problem's precision.
This one step is LD, SGLD, SVRG-LD and SARAH-LD (Kinoshita and Suzuki, NeurIPS 2022, temperature = 1/gamma), the
semi-implicit scheme in a Hilbert space (Muzellec et al., COLT 2022) and mean-field Langevin dynamics (Nitanda, Wu,
Suzuki, AISTATS 2022). Cost of a step: the estimator's, and one normal draw per coordinate.
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax import random
from jaxtyping import Array

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Hyperparameter, Info, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.integrators import Explicit, Integrator
from langevax.problems.problem import Problem


class LangevinState(NamedTuple):
    """Position, and the state of the gradient estimator."""

    position: PyTree
    gradient: Any


class Langevin(Algorithm):
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
        checks.number(
            "step_size", self.step_size, positive=True, schedule=True, auto=True
        )
        checks.number("temperature", self.temperature, schedule=True, auto=True)
        checks.instance(
            "gradient",
            self.gradient,
            GradientEstimator,
            "langevax.gradients.SVRG(batch_size=32, period=100)",
        )
        checks.instance(
            "integrator",
            self.integrator,
            Integrator,
            "langevax.integrators.Exponential()",
        )

    def init(
        self, problem: Problem, position: PyTree, key: PRNGKey
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
        return self.step_with_noise(
            problem,
            state,
            trees.normal_like(state.position, key=noise_key),
            gradient_key,
            step,
        )

    def step_with_noise(
        self,
        problem: Problem,
        state: LangevinState,
        noise: PyTree,
        gradient_key: PRNGKey,
        step: IntScalar,
    ) -> tuple[LangevinState, Info]:
        """Return a step whose noise, standard normal and shaped like the position, was drawn by the caller."""
        x = state.position
        v, gradient_state, used = self.gradient.estimate(
            problem, x, state.gradient, gradient_key, step
        )
        step_size = at_step(self.step_size, step)
        temperature = at_step(self.temperature, step)

        def move(precision: Any, x: Array, v: Array, xi: Array) -> Array:
            a, b, c = self.integrator.gains(
                jnp.asarray(step_size, x.dtype), jnp.asarray(precision, x.dtype)
            )
            return a * x - b * v + c * jnp.sqrt(jnp.asarray(temperature, x.dtype)) * xi

        position = trees.map_prefix(move, problem.precision, x, v, noise)
        return LangevinState(position, gradient_state), {"evaluations": used}
