"""Conic gradient descent on a signed measure over directions, with its total variation as penalty.

    f(x) = sum_j s_j r_j relu(t_j . x),      |t_j| = 1, s_j = -1 or 1 fixed,      penalty * sum_j r_j
    V_j  = s_j (1/n) sum_i (f(x_i) - y_i) relu(t_j . x_i) + penalty
    r_j <- r_j max(1 - step_size V_j, 0),      t_j <- normalise(t_j - direction_step_size P_j grad V_j)

with P_j the projection orthogonal to t_j. This is descent whose step is scaled by the neuron's norm (Akiyama and
Suzuki, ICML 2021): from noiseless data of a nearly orthogonal teacher, with many more neurons than the teacher's, it
finds the teacher's, since the penalised measure has one minimiser, which is near them. The formulas are the conic
descent that its abstract describes; the full text was not available. r_j t_j is kept as the inner weight of a
`ReLUNetwork`, so that its problem is phase II's (`Converge().problem`), where the gradient is grad V_j, and V_j = t_j .
grad V_j + penalty.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import IntScalar, PRNGKey
from langevax.algorithm import Algorithm, Info, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.gradients.estimator import check_estimator
from langevax.problems.problem import Problem
from langevax.teacher_student.networks import ReLUNetwork, on_sphere


class ConicState(NamedTuple):
    position: ReLUNetwork
    gradient: Any  # the estimator's own


class Conic(Algorithm):
    """Descend in masses and directions of a signed measure of neurons. Cost of a step: the gradient's.

    Args:
        step_size: of the masses, relative: they change by that share of V; a float or a schedule.
        direction_step_size: of the directions, a float or a schedule.
        penalty: lambda > 0 or 0, the weight of the total variation sum_j r_j.
        gradient: a gradient estimator, `langevax.gradients`.

    Raises:
        ValueError: a step size <= 0, a penalty < 0; at first use, a problem with a precision.

    Example:
        >>> import langevax
        >>> from langevax.teacher_student import Converge, orthogonal_teacher, teach
        >>> X, y = teach(orthogonal_teacher(2, 3), 100, noise=0.0, key=jax.random.key(0))
        >>> conic = Conic(step_size=1.0, direction_step_size=1.0, penalty=1e-3)
        >>> start = spread_neurons(20, 3, key=jax.random.key(1))
        >>> run = langevax.simulate(conic, Converge().problem(X, y), start, key=jax.random.key(2), num_steps=500)
        >>> bool(run.position.outputs(X).std() > 0.1)
        True
    """

    step_size: float | Array | Callable[..., Any]
    direction_step_size: float | Array | Callable[..., Any]
    penalty: float | Array
    gradient: GradientEstimator = Full()

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True, schedule=True)
        checks.number(
            "direction_step_size",
            self.direction_step_size,
            positive=True,
            schedule=True,
        )
        checks.number("penalty", self.penalty)
        check_estimator(self.gradient)

    def check(self, problem: Problem) -> None:
        leaves = jax.tree.leaves(problem.precision)
        if any(
            checks.is_concrete(leaf) and jnp.any(jnp.asarray(leaf) != 0)
            for leaf in leaves
        ):
            raise ValueError(
                "Conic has a penalty of its own, sum_j r_j; pass a problem without "
                "precision."
            )

    def init(
        self,
        problem: Problem,
        position: ReLUNetwork,
        key: PRNGKey,
    ) -> tuple[ConicState, Info]:
        state, used = self.gradient.init(problem, position)
        return ConicState(position, state), {"evaluations": used}

    def step(
        self,
        problem: Problem,
        state: ConicState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[ConicState, Info]:
        estimate, gradient_state, used = self.gradient.estimate(
            problem, state.position, state.gradient, key, step
        )
        outer, inner = state.position
        dtype = inner.dtype
        eta_r, eta_t = (
            jnp.asarray(at_step(size, step), dtype)
            for size in (self.step_size, self.direction_step_size)
        )
        slope = estimate.inner
        masses = jnp.linalg.norm(inner, axis=1, keepdims=True)
        directions = inner / jnp.where(masses > 0, masses, 1)
        along = jnp.sum(slope * directions, axis=1, keepdims=True)
        masses = masses * jnp.maximum(
            1 - eta_r * (along + jnp.asarray(self.penalty, dtype)), 0
        )
        directions = directions - eta_t * (
            slope - along * directions
        )  # no shorter than 1 where it was 1
        directions = directions / jnp.maximum(
            jnp.linalg.norm(directions, axis=1, keepdims=True), 1
        )
        return ConicState(ReLUNetwork(outer, masses * directions), gradient_state), {
            "evaluations": used
        }


def spread_neurons(
    num_neurons: int,
    dim: int,
    total: float = 1.0,
    dtype: DTypeLike = jnp.float32,
    *,
    key: PRNGKey,
) -> ReLUNetwork:
    """Return `num_neurons` neurons of `dim` inputs, uniform on the sphere, of alternating signs and equal masses.

    The masses add up to `total`.

    Example:
        >>> spread_neurons(4, 3, key=jax.random.key(0)).outer
        Array([ 1., -1.,  1., -1.], dtype=float32)
    """
    num_neurons = checks.whole("num_neurons", num_neurons)
    dim = checks.whole("dim", dim)
    checks.typed_key(key)
    checks.number("total", total, positive=True)
    signs = jnp.asarray(1 - 2 * (np.arange(num_neurons) % 2), dtype)
    return ReLUNetwork(
        signs,
        jnp.asarray(total / num_neurons, dtype)
        * on_sphere(key, num_neurons, dim, dtype),
    )


def total_variation(network: ReLUNetwork) -> Float[Array, "*batch"]:
    """sum_j |outer_j| |inner_j|, what the penalty weighs."""
    return jnp.sum(
        jnp.abs(network.outer) * jnp.linalg.norm(network.inner, axis=-1), axis=-1
    )
