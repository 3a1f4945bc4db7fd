"""Underdamped Langevin dynamics by the UBU splitting, with any gradient estimator.

    dx = v dt,      dv = -grad U(x) dt - friction v dt + sqrt(2 friction T) dW

One step: half a step of the force-free flow U, which is exact with its correlated noises, a kick B of the whole
step, and half a step of U again (Zapatero 2017; Sanz-Serna and Zygalakis 2021, for whom the order is 2). One
gradient a step, at the middle. Cost: the estimator's, and four normal draws per coordinate.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, Int, Key, PyTree

from langevax import checks, trees
from langevax.algorithm import Algorithm, Info, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.problems.problem import Problem


class UnderdampedState(NamedTuple):
    position: PyTree
    velocity: PyTree
    gradient: Any  # the estimator's own


class Underdamped(Algorithm):
    """Samples exp(-potential / temperature) with a velocity, which forgets its direction at rate `friction`.

        U(t):  x <- x + (1 - e) / friction v + n_x,   v <- e v + n_v,   e = exp(-friction t)
        B(h):  v <- v - h g(x)

    with Var n_v = T (1 - e^2), Var n_x = T / friction^2 (2 friction t - 3 + 4 e - e^2) and covariance
    T / friction (1 - e)^2. Its error is of order h^2 and its path about sqrt(condition number) shorter than that of
    `Langevin`. Stable for h < 2 / sqrt(largest curvature), about; velocities start from N(0, T).

    Args:
        step_size: h > 0, in units of time, a float or a schedule, or one for each coordinate, which changes the pace
            alone and not the law. h^2 is what compares with `Langevin`'s step.
        temperature: T >= 0, a float or a schedule.
        friction: > 0; the square root of twice the smallest curvature is a good choice for it.
        gradient: a gradient estimator; it is asked at the midpoints.

    Raises:
        ValueError: a step size or friction that is not > 0, a temperature < 0, or any not finite.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.ones((10, 2)))
        >>> underdamped = langevax.Underdamped(step_size=0.5, temperature=0.01)
        >>> result = langevax.simulate(underdamped, problem, jnp.zeros(2), key=jax.random.key(0), num_steps=100)
        >>> bool(jnp.all(jnp.abs(result.position - 1) < 0.5)), result.evaluations
        (True, 1000)
    """

    step_size: Any
    temperature: Any
    friction: Any = 1.0
    gradient: GradientEstimator = Full()

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True)
        checks.number("temperature", self.temperature)
        checks.number("friction", self.friction, positive=True)

    def init(self, problem: Problem, position: PyTree, key: Key[Array, ""]) -> tuple[UnderdampedState, Info]:
        state, used = self.gradient.init(problem, position)
        spread = jnp.sqrt(jnp.asarray(at_step(self.temperature, jnp.int32(0)), trees.dtype_of(position)))
        velocity = jax.tree.map(lambda xi: spread.astype(xi.dtype) * xi, trees.normal_like(key, position))
        return UnderdampedState(position, velocity, state), {"evaluations": used}

    def step(
        self, problem: Problem, state: UnderdampedState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[UnderdampedState, Info]:
        gradient_key, first_key, second_key = random.split(key, 3)
        dtype = trees.dtype_of(state.position)
        numbers = (at_step(self.step_size, step), at_step(self.temperature, step), self.friction)
        h, temperature, friction = (jnp.asarray(number, dtype) for number in numbers)

        x, v = _flow(state.position, state.velocity, h / 2, temperature, friction, first_key)
        g, gradient_state, used = self.gradient.estimate(problem, x, state.gradient, gradient_key, step)
        force = trees.map_prefix(lambda p, g, x: g + jnp.asarray(p, x.dtype) * x, problem.precision, g, x)
        v = jax.tree.map(lambda v, f: v - h.astype(v.dtype) * f, v, force)
        x, v = _flow(x, v, h / 2, temperature, friction, second_key)
        return UnderdampedState(x, v, gradient_state), {"evaluations": used}


def _flow(
    position: PyTree, velocity: PyTree, time: Array, temperature: Array, friction: Array, key: Key[Array, ""]
) -> tuple[PyTree, PyTree]:
    """The exact flow without force."""
    decay, shift, spread_v, along, across = flow_gains(time, temperature, friction)
    velocity_key, position_key = random.split(key)
    xi, eta = trees.normal_like(velocity_key, velocity), trees.normal_like(position_key, position)

    def move(x: Array, v: Array, xi: Array, eta: Array) -> Array:
        return x + shift.astype(x.dtype) * v + along.astype(x.dtype) * xi + across.astype(x.dtype) * eta

    moved = jax.tree.map(move, position, velocity, xi, eta)
    slowed = jax.tree.map(lambda v, n: decay.astype(v.dtype) * v + spread_v.astype(v.dtype) * n, velocity, xi)
    return moved, slowed


def flow_gains(time: Array, temperature: Array, friction: Array) -> tuple[Float[Array, "..."], ...]:
    """(e, (1 - e) / friction, spread of n_v, n_x along the same draw, n_x across it) of U(time)."""
    s = friction * time
    lost = -jnp.expm1(-s)  # 1 - e
    # 2s - 3 + 4e - e^2 as a series where it would cancel: sum over k >= 3 of (-1)^k (4 - 2^k) s^k / k!
    tail = 2 / 3 - s / 2 + 7 / 30 * s**2 - s**3 / 12 + 31 / 1260 * s**4 - s**5 / 160
    variance_x = jnp.where(s < 0.3, s**3 * tail, 2 * (s - lost) - lost**2)
    variance_v = lost * (2 - lost)  # 1 - e^2
    spread_v = jnp.sqrt(variance_v)
    along = lost**2 / jnp.where(spread_v > 0, spread_v, 1)
    across = jnp.sqrt(jnp.maximum(variance_x - along**2, 0))
    root = jnp.sqrt(temperature)
    return jnp.exp(-s), lost / friction, root * spread_v, root * along / friction, root * across / friction
