"""Gradient descent with a small random perturbation at each step, so that it leaves saddle points.

    position  <-  a * position  -  b * v  +  xi,      xi ~ uniform in the ball of radius r

The noise of the second-order methods SSRGD (Li, NeurIPS 2019), SLEDGE (Oko, Akiyama, Murata, Suzuki, OPT 2022) and
BVR-L-PSGD (Murata and Suzuki, NeurIPS 2022), here at every step. It is added to the position and never to v, whose
recursion would accumulate it. Along a direction of curvature -gamma the distance from a saddle grows as
r exp(step_size gamma t), so that escaping takes log(distance / r) / (step_size gamma) steps: any r works, and a small
one costs little. The cost is that gradients do not fall below a fraction of r / step_size.
"""

from jaxtyping import Array

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import Hyperparameter, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.integrators import Explicit, Integrator
from langevax.problems.problem import Problem
from langevax.samplers.langevin import NoisyDescent


class PerturbedDescent(NoisyDescent):
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
        checks.number("radius", self.radius, schedule=True)

    def noise(
        self,
        problem: Problem,
        position: PyTree,
        step: IntScalar,
        *,
        key: PRNGKey,
    ) -> PyTree:
        return trees.ball_like(position, at_step(self.radius, step), key=key)

    def scaled(
        self,
        noise: Array,
        c: Array,
        step: IntScalar,
    ) -> Array:
        return noise
