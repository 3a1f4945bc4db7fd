"""Underdamped Langevin dynamics by the UBU splitting, with any gradient estimator.

    dx = v dt,      dv = -grad U(x) dt - friction v dt + sqrt(2 friction T) dW

One step: half a step of the flow U without force, solved exactly with its correlated noises, a kick B of the whole
step, and half a step of U again (Zapatero 2017; Sanz-Serna and Zygalakis 2021, who prove strong order 2). One gradient
per step, at the midpoint. Cost: the estimator's, and four normal draws per coordinate.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Hyperparameter, Info, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.gradients.estimator import check_estimator
from langevax.problems.problem import Problem

SERIES = [
    0.0 if k < 3 else (-1) ** k * (4 - 2**k) / math.factorial(k)
    for k in reversed(range(9))
]
"""Of 2s - 3 + 4 exp(-s) - exp(-2s) in powers of s, the highest first, for small s where it cancels."""


class UnderdampedState(NamedTuple):
    """Position, velocity, and the state of the gradient estimator."""

    position: PyTree
    velocity: PyTree
    gradient: Any


class FlowNoise(NamedTuple):
    """Noise that the flow U adds to position and velocity."""

    position: PyTree
    velocity: PyTree


class Underdamped(Algorithm):
    """Underdamped Langevin dynamics: samples exp(-potential / temperature) with a velocity damped at rate `friction`.

        U(t):  x <- x + (1 - e) / friction v + n_x,   v <- e v + n_v,   e = exp(-friction t)
        B(h):  v <- v - h g(x)

    with Var n_v = T (1 - e^2), Var n_x = T / friction^2 (2 friction t - 3 + 4 e - e^2) and covariance
    T / friction (1 - e)^2. The error is of order h^2, and mixing takes about sqrt(condition number) times fewer steps
    than `Langevin`. Stable for h below about 2 / sqrt(largest curvature); velocities start from N(0, T).

    Args:
        step_size: h > 0, in units of time: a float, a schedule, or one number per coordinate, which changes the speed
            and not the law. h^2 compares with `Langevin`'s step.
        temperature: T >= 0, a float or a schedule.
        friction: > 0; the square root of twice the smallest curvature is a good choice.
        gradient: a gradient estimator, evaluated at the midpoints.

    Raises:
        ValueError: a step size or friction that is not > 0, a temperature < 0, or any of them not finite.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.ones((10, 2)))
        >>> underdamped = langevax.Underdamped(step_size=0.5, temperature=0.01)
        >>> result = langevax.simulate(underdamped, problem, jnp.zeros(2), key=jax.random.key(0), num_steps=100)
        >>> bool(jnp.all(jnp.abs(result.position - 1) < 0.5)), result.evaluations
        (True, 1000)
    """

    step_size: Hyperparameter
    temperature: Hyperparameter
    friction: ArrayLike = 1.0
    gradient: GradientEstimator = Full()

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True, schedule=True)
        checks.number("temperature", self.temperature, schedule=True)
        checks.number("friction", self.friction, positive=True)
        check_estimator(self.gradient)

    def init(
        self,
        problem: Problem,
        position: PyTree,
        key: PRNGKey,
    ) -> tuple[UnderdampedState, Info]:
        state, used = self.gradient.init(problem, position)
        scale = jnp.sqrt(
            jnp.asarray(
                at_step(self.temperature, jnp.int32(0)), trees.dtype_of(position)
            )
        )
        velocity = jax.tree.map(
            lambda xi: scale.astype(xi.dtype) * xi, trees.normal_like(position, key=key)
        )
        return UnderdampedState(position, velocity, state), {"evaluations": used}

    def step(
        self,
        problem: Problem,
        state: UnderdampedState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[UnderdampedState, Info]:
        gradient_key, *flow_keys = random.split(key, 3)
        noises = tuple(
            self.flow_noise(state.position, step, key=flow_key)
            for flow_key in flow_keys
        )
        h, temperature, friction = self._numbers(state.position, step)
        decay, shift, *_ = flow_gains(h / 2, temperature, friction)

        def flow(
            position: PyTree,
            velocity: PyTree,
            noise: FlowNoise,
        ) -> tuple[PyTree, PyTree]:
            position = jax.tree.map(
                lambda x, v, n: x + _times(shift, v) + n,
                position,
                velocity,
                noise.position,
            )
            return position, jax.tree.map(
                lambda v, n: _times(decay, v) + n, velocity, noise.velocity
            )

        x, v = flow(state.position, state.velocity, noises[0])
        g, gradient_state, used = self.gradient.estimate(
            problem, x, state.gradient, gradient_key, step
        )
        force = trees.map_prefix(
            lambda p, g, x: g + jnp.asarray(p, x.dtype) * x, problem.precision, g, x
        )
        v = jax.tree.map(lambda v, f: v - h.astype(v.dtype) * f, v, force)
        x, v = flow(x, v, noises[1])
        return UnderdampedState(x, v, gradient_state), {"evaluations": used}

    def _numbers(self, position: PyTree, step: IntScalar) -> tuple[Array, Array, Array]:
        """Return step size, temperature and friction at a step."""
        numbers = (
            at_step(self.step_size, step),
            at_step(self.temperature, step),
            self.friction,
        )
        dtype = trees.dtype_of(position)
        h, temperature, friction = (jnp.asarray(number, dtype) for number in numbers)
        return h, temperature, friction

    def flow_noise(
        self,
        like: PyTree,
        step: IntScalar,
        *,
        key: PRNGKey,
    ) -> FlowNoise:
        """Return the noise of U over half a step, of the shape of a position."""
        h, temperature, friction = self._numbers(like, step)
        _, _, noise_v, noise_x, noise_x_only = flow_gains(h / 2, temperature, friction)
        velocity_key, position_key = random.split(key)
        xi = trees.normal_like(like, key=velocity_key)
        eta = trees.normal_like(like, key=position_key)
        shifts = jax.tree.map(
            lambda xi, eta: _times(noise_x, xi) + _times(noise_x_only, eta), xi, eta
        )
        return FlowNoise(shifts, jax.tree.map(lambda xi: _times(noise_v, xi), xi))


def _times(gain: Array, value: Array) -> Array:
    return gain.astype(value.dtype) * value


def flow_gains(
    time: Array,
    temperature: Array,
    friction: Array,
) -> tuple[Float[Array, "..."], ...]:
    """Return the coefficients of U(time): e, (1 - e) / friction, and the factors of the noises.

    n_v = noise_v xi and n_x = noise_x xi + noise_x_only eta, with xi and eta independent.
    """
    s = friction * time
    lost = -jnp.expm1(-s)  # 1 - e
    series = jnp.polyval(jnp.asarray(SERIES, s.dtype), s)
    variance_x = jnp.where(s < 0.3, series, 2 * (s - lost) - lost**2)
    variance_v = lost * (2 - lost)  # 1 - e^2
    noise_v = jnp.sqrt(variance_v)
    noise_x = lost**2 / jnp.where(noise_v > 0, noise_v, 1)
    noise_x_only = jnp.sqrt(jnp.maximum(variance_x - noise_x**2, 0))
    root = jnp.sqrt(temperature)
    return (
        jnp.exp(-s),
        lost / friction,
        root * noise_v,
        root * noise_x / friction,
        root * noise_x_only / friction,
    )
