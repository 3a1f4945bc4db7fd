"""Chains on independent modes, beside their exact laws: the Gaussian half of the study "dimension-free".

Mode k = 0, 1, ... has prior variance mu_k = (k + 1)^-2 and the loss bends by q_k = (k + 1)^-2: data that inform the low
modes. Ridge and temperature are 0.01, so that the prior is N(0, diag(mu)).

    value(x) = sum_k q_k (x_k - c_k)^2 / 2,      precision_k = ridge / mu_k,      c_k = 1 / (k + 1)

Chains start at 0. All laws are those of `theory.function_space`, chains are those of `simulate`, in float32.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import integrators
from langevax.langevin import Langevin
from langevax.problems.problem import Function
from langevax.run import DivergenceError, simulate
from langevax.studies.variance_reduction import jackknife
from langevax.theory import function_space as theory

SCHEMES: dict[str, tuple[str, integrators.Integrator]] = {
    "explicit Euler": ("explicit", integrators.Explicit()),
    "semi-implicit": ("semi_implicit", integrators.SemiImplicit()),
    "exponential": ("exponential", integrators.Exponential()),
}
"""Names in the figure, in the theory and in the library."""

RIDGE = TEMPERATURE = 0.01
LOW = 50  # modes whose law is asked for
DISTANCE = 0.06  # W2 of those to their target: a twentieth of where chains start
STEP_SIZES = np.geomspace(0.02, 1.0, 30)  # tried for the fewest steps, in units of the limit or of 2, whichever is less
GROWTH_STEPS, HUGE = 300, 1e6  # 5 % beyond its limit a mode grows by about 10 % a step: to 1e11

BIAS_CASES = {
    "semi-implicit, p = 2": ("semi_implicit", 2.0, 0.0),
    "semi-implicit, p = 3": ("semi_implicit", 3.0, 0.0),
    "semi-implicit, p = 5": ("semi_implicit", 5.0, 0.0),
    "exponential, p = 2, with a loss": ("exponential", 2.0, 1.0),
}
"""Scheme, decay of mu_k = (k + 1)^-p, and curvature, at ridge = temperature = 1."""
BIAS_TIME = 4.0  # forgets the start, a draw of the target, up to e^-8


class Modes(NamedTuple):
    """One entry a mode."""

    precision: np.ndarray
    curvature: np.ndarray
    center: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Of the target."""
        return self.curvature * self.center / (self.precision + self.curvature)

    def first(self, count: int) -> "Modes":
        """The same for the low modes."""
        return Modes(*(array[:count] for array in self))


class Quadratic(eqx.Module):
    """value(x) = sum_k q_k (x_k - c_k)^2 / 2."""

    curvature: Float[Array, " modes"]
    center: Float[Array, " modes"]

    def __call__(self, x: Float[Array, " modes"]) -> Float[Array, ""]:
        return jnp.sum(self.curvature * (x - self.center) ** 2) / 2


class Draw(eqx.Module):
    """A start: draws about a mean."""

    mean: Float[Array, " modes"]
    deviation: Float[Array, " modes"]

    def __call__(self, key: Any) -> Float[Array, " modes"]:
        return self.mean + self.deviation * jax.random.normal(key, self.mean.shape, self.mean.dtype)


def modes(num_modes: int) -> Modes:
    """Those of this study."""
    k = np.arange(1.0, num_modes + 1)
    return Modes(RIDGE * k**2, k**-2, 1 / k)


def power_modes(num_modes: int, decay: float, curvature: float) -> Modes:
    """mu_k = (k + 1)^-decay, ridge 1."""
    k = np.arange(1.0, num_modes + 1)
    return Modes(k**decay, np.full(num_modes, curvature), np.zeros(num_modes))


def problem_of(these: Modes) -> Function:
    """The problem with those modes, in float32."""
    precision, curvature, center = (jnp.asarray(array, jnp.float32) for array in these)
    return Function(Quadratic(curvature, center), precision=precision)


def ends(
    integrator: integrators.Integrator, these: Modes, step_size: float, temperature: float, num_steps: int, key: Any,
    num_chains: int, deviation: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """(chain, mode) where chains are, from 0, or from draws about the target's mean with that deviation."""
    start: Any = jnp.zeros(len(these.precision), jnp.float32)
    if deviation is not None:
        start = Draw(jnp.asarray(these.mean, jnp.float32), jnp.asarray(deviation, jnp.float32))
    chain = Langevin(step_size=step_size, temperature=temperature, integrator=integrator)
    run = simulate(chain, problem_of(these), start, key=key, num_steps=num_steps, num_chains=num_chains, progress=False)
    return np.asarray(run.position, float)


def fewest_steps(scheme: str, num_modes: int) -> tuple[float, float]:
    """(steps, step size) with which the law of the low modes comes within DISTANCE of the target, by the exact laws."""
    name, these = SCHEMES[scheme][0], modes(num_modes)
    top = min(theory.stability_limit(name, these.precision, these.curvature), 2.0)
    low = these.first(LOW)
    tried = [(steps_to_target(name, low, top * float(h)), top * float(h)) for h in STEP_SIZES]
    return min(tried)


def steps_to_target(name: str, low: Modes, step_size: float) -> float:
    """Steps from 0 at this step size."""
    return theory.steps_to_wasserstein(
        name, step_size, low.precision, low.curvature, TEMPERATURE, DISTANCE, start_mean=-low.mean
    )


def exact_distance(name: str, low: Modes, step_size: float, steps: int | np.ndarray) -> Any:
    """W2 to the target after so many steps from 0."""
    mean, variance = theory.mode_moments(
        name, step_size, low.precision, low.curvature, TEMPERATURE, steps, start_mean=-low.mean
    )
    return theory.wasserstein(mean, variance, 0.0, TEMPERATURE / (low.precision + low.curvature))


def distance_point(
    scheme: str, num_modes: int, step_size: float, steps: int, num_chains: int, key: Any
) -> tuple[float, float, float, float, float]:
    """W2 of chains at that step, its error, the exact one; and the steps that chains need, with their error.

    Squared, and by jackknife: of finitely many draws it is too large. The exact line's own slope makes steps of it.
    """
    name, integrator = SCHEMES[scheme]
    low = modes(num_modes).first(LOW)
    x = ends(integrator, modes(num_modes), step_size, TEMPERATURE, steps, key, num_chains)[:, :LOW]
    target = TEMPERATURE / (low.precision + low.curvature)

    def squared(x: np.ndarray) -> Any:
        return theory.wasserstein(x.mean(axis=0), x.var(axis=0), low.mean, target) ** 2

    value, error = jackknife(x, squared)
    w2 = float(np.sqrt(max(value, 0.0)))
    before = max(1, round(0.1 * steps))
    exact = exact_distance(name, low, step_size, np.array([steps - before, steps, steps + before]))
    per_unit = 2 * before / float(exact[0] - exact[2])
    w2_error = error / (2 * float(exact[1]))
    return w2, w2_error, float(exact[1]), steps + (w2 - float(exact[1])) * per_unit, w2_error * per_unit


def diverges(scheme: str, num_modes: int, step_size: float, num_chains: int, key: Any) -> bool:
    """Whether a chain grows without end at this step size."""
    try:
        x = ends(SCHEMES[scheme][1], modes(num_modes), step_size, TEMPERATURE, GROWTH_STEPS, key, num_chains)
    except DivergenceError:
        return True
    return bool(np.abs(x).max() > HUGE)


def variance_ratios(scheme: str, num_modes: int, step_size: float, num_chains: int, key: Any) -> np.ndarray:
    """(3, mode) variance over the target's: of chains, its standard error, and exact, at rest.

    Chains start from draws of the target and run for 20 units of time, in which the slowest mode forgets by e^-8.
    """
    name, integrator = SCHEMES[scheme]
    these, steps = modes(num_modes), round(20 / step_size)
    target = TEMPERATURE / (these.precision + these.curvature)
    x = ends(integrator, these, step_size, TEMPERATURE, steps, key, num_chains, np.sqrt(target))
    exact = theory.mode_moments(
        name, step_size, these.precision, these.curvature, TEMPERATURE, steps, start_variance=target
    )[1]
    ratio = x.var(axis=0, ddof=1) / target
    return np.stack([ratio, exact / target * np.sqrt(2 / (num_chains - 1)), exact / target])


def bias_line(case: str, step_sizes: np.ndarray) -> np.ndarray:
    """|E |x|^2 - target| at rest, in 10^5 modes."""
    name, decay, curvature = BIAS_CASES[case]
    these = power_modes(10**5, decay, curvature)
    return np.array([abs(theory.trace_bias(name, float(h), these.precision, these.curvature, 1.0)) for h in step_sizes])


def bias_point(case: str, step_size: float, num_modes: int, num_chains: int, key: Any) -> tuple[float, float, float]:
    """The same of chains, its standard error, and exact for as many modes and steps.

    Beside each chain runs a twin with the same noise that treats loss and penalty alike exactly: its law is the
    target's, so that only the difference to it need be averaged.
    """
    name, decay, curvature = BIAS_CASES[case]
    these, steps = power_modes(num_modes, decay, curvature), max(1, round(BIAS_TIME / step_size))
    twin = power_modes(num_modes, decay, 0.0)._replace(precision=these.precision + curvature)
    target = 1 / twin.precision
    integrator = next(scheme for known, scheme in SCHEMES.values() if known == name)
    rest = step_size, 1.0, steps, key, num_chains, np.sqrt(target)
    squares = (ends(integrator, these, *rest) ** 2).sum(axis=1)
    squares -= (ends(integrators.Exponential(), twin, *rest) ** 2).sum(axis=1)
    exact = (
        theory.mode_moments(name, step_size, these.precision, these.curvature, 1.0, steps, start_variance=target)[1]
        - target
    )
    sign = np.sign(exact.sum())
    return float(sign * squares.mean()), float(squares.std(ddof=1) / np.sqrt(num_chains)), float(abs(exact.sum()))


def tail_point(num_modes: int, num_chains: int, key: Any) -> tuple[float, float]:
    """What a cut-off after `num_modes` leaves out of E |x|^2, pi^2 / 6 in all, and its error (exponential, no loss)."""
    these = power_modes(num_modes, 2.0, 0.0)
    x = ends(integrators.Exponential(), these, 0.5, 1.0, round(BIAS_TIME / 0.5), key, num_chains, these.precision**-0.5)
    squares = (x**2).sum(axis=1)
    return float(np.pi**2 / 6 - squares.mean()), float(squares.std(ddof=1) / np.sqrt(num_chains))
