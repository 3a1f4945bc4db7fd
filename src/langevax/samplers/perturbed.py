"""Gradient descent with a small random perturbation at each step, so that it leaves saddle points.

    position  <-  a * position  -  b * v  +  xi,      xi ~ uniform in the ball of radius r

The noise of the second-order methods SSRGD (Li, NeurIPS 2019), SLEDGE (Oko, Akiyama, Murata, Suzuki, OPT 2022) and
BVR-L-PSGD (Murata and Suzuki, NeurIPS 2022), here at every step. It is added to the position and never to v, whose
recursion would accumulate it. Along a direction of curvature -gamma the distance from a saddle grows as
r exp(step_size gamma t), so that escaping takes log(distance / r) / (step_size gamma) steps: any r works, and a small
one costs little. The cost is that gradients do not fall below a fraction of r / step_size.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import random
from jaxtyping import Array

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Hyperparameter, Info, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.integrators import Explicit, Integrator
from langevax.problems.problem import Problem


class PerturbedDescentState(NamedTuple):
    """Position, and the state of the gradient estimator."""

    position: PyTree
    gradient: Any


class PerturbedDescent(Algorithm):
    """Perturbed gradient descent: finds second-order stationary points.

    For samples, or for minima beyond barriers, use `Langevin`, whose noise is sqrt(2 step_size temperature) per
    coordinate and much larger than a radius here.

    Args:
        step_size: h > 0, a float or a schedule of the step such as optax's.
        radius: r >= 0 of the ball, over all coordinates together; a float or a schedule. 0 is plain descent.
        gradient: a gradient estimator of `langevax.gradients`.
        integrator: how the quadratic part is integrated, one of `langevax.integrators`.

    Raises:
        ValueError: step_size <= 0, radius < 0, or either not finite.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.Function(lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2)  # a saddle at 0
        >>> descent = langevax.PerturbedDescent(step_size=0.1, radius=1e-6)
        >>> result = langevax.simulate(descent, problem, jnp.zeros(2), key=jax.random.key(0), num_steps=100)
        >>> jnp.abs(result.position).round(3)
        Array([1., 0.], dtype=float32)
    """

    step_size: Hyperparameter
    radius: Hyperparameter
    gradient: GradientEstimator = Full()
    integrator: Integrator = Explicit()

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True, schedule=True)
        checks.number("radius", self.radius, schedule=True)
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
    ) -> tuple[PerturbedDescentState, Info]:
        state, used = self.gradient.init(problem, position)
        return PerturbedDescentState(position, state), {"evaluations": used}

    def step(
        self,
        problem: Problem,
        state: PerturbedDescentState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[PerturbedDescentState, Info]:
        gradient_key, noise_key = random.split(key)
        x = state.position
        v, gradient_state, used = self.gradient.estimate(
            problem, x, state.gradient, gradient_key, step
        )
        xi = trees.ball_like(x, at_step(self.radius, step), key=noise_key)
        step_size = at_step(self.step_size, step)

        def move(precision: Any, x: Array, v: Array, xi: Array) -> Array:
            a, b, _ = self.integrator.gains(
                jnp.asarray(step_size, x.dtype), jnp.asarray(precision, x.dtype)
            )
            return a * x - b * v + xi

        position = trees.map_prefix(move, problem.precision, x, v, xi)
        return PerturbedDescentState(position, gradient_state), {"evaluations": used}
