"""Chains on independent Gaussian modes, beside their exact laws, for the claim `dimension_free`.

Two targets, each a sum over modes k = 0, 1, ... with f = sum_k q_k (x_k - c_k)^2 / 2 and precisions lambda / mu_k:

informed   mu_k = (k + 1)^-2, q_k = (k + 1)^-2, c_k = 1 / (k + 1), lambda = 0.01 at temperature 0.01: data inform the
           low modes. Chains start at 0.
powers     mu_k = (k + 1)^-p, lambda = 1 at temperature 1, for the bias of E |x|^2 in the step size and in the cut-off

Laws are those of `function_space_laws`, chains those of `simulate`, in float32.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

import function_space_laws as theory
from claims import jackknife
from langevax.figures import theme
from langevax.integrators import Explicit, Exponential, Integrator, SemiImplicit
from langevax.problems.problem import Function
from langevax.run import DivergenceError, simulate
from langevax.samplers import Langevin


class Scheme(NamedTuple):
    """Its name in the theory, its integrator, and how it is drawn."""

    name: str
    integrator: Integrator
    colour: str
    marker: str


SCHEMES = {
    "explicit Euler": Scheme("explicit", Explicit(), *theme.METHODS["LD"]),
    "semi-implicit": Scheme("semi_implicit", SemiImplicit(), theme.OKABE_ITO[0], "o"),
    "exponential": Scheme("exponential", Exponential(), theme.OKABE_ITO[2], "D"),
}
BIAS_CASES = {  # scheme, p of mu_k = (k + 1)^-p, and curvature
    "semi-implicit, p = 2": ("semi-implicit", 2.0, 0.0),
    "semi-implicit, p = 3": ("semi-implicit", 3.0, 0.0),
    "semi-implicit, p = 5": ("semi-implicit", 5.0, 0.0),
    "exponential, p = 2, with a loss": ("exponential", 2.0, 1.0),
}

PRECISION = TEMPERATURE = 0.01  # lambda: mode k of the prior has precision lambda / mu_k
LOW = 50  # modes whose law is asked for
DISTANCE = 0.06  # W2 of those to their target: a twentieth of where chains start
STEP_SIZES = np.geomspace(0.02, 1.0, 30)  # tried for the fewest steps, in units of the limit or of 2, whichever is less
GROWTH_STEPS, HUGE = 300, 1e6  # 5 % beyond its limit a mode grows by about 10 % a step: to 1e11
VARIANCE_STEP = 0.2
BIAS_TIME, BIAS_CHAINS = 4.0, 1000  # forgets the start, a draw of the target, up to e^-8
GROUPS = 40  # of the jackknife


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
        """The low modes."""
        return Modes(*(array[:count] for array in self))


def modes(num_modes: int) -> Modes:
    """Of the target `informed`."""
    k = np.arange(1.0, num_modes + 1)
    return Modes(PRECISION * k**2, k**-2, 1 / k)


def power_modes(num_modes: int, decay: float, curvature: float) -> Modes:
    """Of the target `powers`, mu_k = (k + 1)^-decay."""
    k = np.arange(1.0, num_modes + 1)
    return Modes(k**decay, np.full(num_modes, curvature), np.zeros(num_modes))


class Quadratic(eqx.Module):
    """sum_k q_k (x_k - c_k)^2 / 2."""

    curvature: Float[Array, " modes"]
    center: Float[Array, " modes"]

    def __call__(self, x: Float[Array, " modes"]) -> Float[Array, ""]:
        return jnp.sum(self.curvature * (x - self.center) ** 2) / 2


class NormalStart(eqx.Module):
    """Draws about a mean."""

    mean: Float[Array, " modes"]
    deviation: Float[Array, " modes"]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " modes"]:
        return self.mean + self.deviation * jax.random.normal(key, self.mean.shape, self.mean.dtype)


class Run(NamedTuple):
    """Chains of a scheme."""

    integrator: Integrator
    step_size: float
    temperature: float
    num_steps: int
    num_chains: int
    key: Key[Array, ""]

    def ends(self, target: Modes, deviation: np.ndarray | None = None) -> np.ndarray:
        """(chain, mode) where chains end, from 0, or from draws about the target's mean with that deviation."""
        precision, curvature, center = (jnp.asarray(array, jnp.float32) for array in target)
        start: Array | NormalStart = jnp.zeros(len(precision), jnp.float32)
        if deviation is not None:
            start = NormalStart(jnp.asarray(target.mean, jnp.float32), jnp.asarray(deviation, jnp.float32))
        result = simulate(
            Langevin(self.step_size, self.temperature, integrator=self.integrator),
            Function(Quadratic(curvature, center), precision=precision),
            start,
            key=self.key,
            num_steps=self.num_steps,
            num_chains=self.num_chains,
        )
        return np.asarray(result.position, float)


def fewest_steps(scheme: str, num_modes: int) -> tuple[float, float]:
    """(steps, step size) with which the law of the low modes comes within DISTANCE of the target, by the exact laws."""
    name, target = SCHEMES[scheme].name, modes(num_modes)
    low = target.first(LOW)
    top = min(theory.stability_limit(name, target.precision, target.curvature), 2.0)

    def steps(step_size: float) -> float:
        law = step_size, low.precision, low.curvature, TEMPERATURE
        return theory.steps_to_wasserstein(name, *law, DISTANCE, start_mean=-low.mean)

    return min((steps(top * float(h)), top * float(h)) for h in STEP_SIZES)


def distance_point(
    scheme: str, num_modes: int, step_size: float, steps: int, num_chains: int, key: Key[Array, ""]
) -> tuple[float, float, float, float, float]:
    """W2 of chains at that step, its error, the exact one; and the steps that chains need, with their error.

    Squared, and by jackknife: of finitely many draws it is too large. The exact line's own slope makes steps of it.
    """
    low, name = modes(num_modes).first(LOW), SCHEMES[scheme].name
    run = Run(SCHEMES[scheme].integrator, step_size, TEMPERATURE, steps, num_chains, key)
    x = run.ends(modes(num_modes))[:, :LOW]
    variance = TEMPERATURE / (low.precision + low.curvature)

    def squared_distance(x: np.ndarray) -> float | np.ndarray:
        return theory.wasserstein(x.mean(axis=0), x.var(axis=0), low.mean, variance) ** 2

    value, error = jackknife(x, squared_distance, GROUPS)
    w2 = float(np.sqrt(max(value, 0.0)))
    before = max(1, round(0.1 * steps))
    law = step_size, low.precision, low.curvature, TEMPERATURE, np.array([steps - before, steps, steps + before])
    distances = theory.wasserstein(*theory.mode_moments(name, *law, start_mean=-low.mean), 0.0, variance)
    earlier, exact, later = np.asarray(distances).tolist()
    per_unit, w2_error = 2 * before / (earlier - later), error / (2 * exact)
    return w2, w2_error, exact, steps + (w2 - exact) * per_unit, w2_error * per_unit


def diverges(scheme: str, num_modes: int, step_size: float, num_chains: int, key: Key[Array, ""]) -> bool:
    """Whether a chain grows without end at this step size."""
    run = Run(SCHEMES[scheme].integrator, step_size, TEMPERATURE, GROWTH_STEPS, num_chains, key)
    try:
        return bool(np.abs(run.ends(modes(num_modes))).max() > HUGE)
    except DivergenceError:
        return True


def variance_ratios(scheme: str, num_modes: int, num_chains: int, key: Key[Array, ""]) -> np.ndarray:
    """(3, mode) variance over the target's: of chains, its standard error, and exact, at rest.

    Chains start from draws of the target and run for 20 units of time, in which the slowest mode forgets by e^-8.
    """
    target, steps = modes(num_modes), round(20 / VARIANCE_STEP)
    variance = TEMPERATURE / (target.precision + target.curvature)
    run = Run(SCHEMES[scheme].integrator, VARIANCE_STEP, TEMPERATURE, steps, num_chains, key)
    x = run.ends(target, np.sqrt(variance))
    law = VARIANCE_STEP, target.precision, target.curvature, TEMPERATURE, steps
    exact = theory.mode_moments(SCHEMES[scheme].name, *law, start_variance=variance)[1]
    error = exact / variance * np.sqrt(2 / (num_chains - 1))
    return np.stack([x.var(axis=0, ddof=1) / variance, error, exact / variance])


def bias_line(case: str, step_sizes: np.ndarray) -> list[float]:
    """|E |x|^2 - target| at rest, in 10^5 modes."""
    scheme, decay, curvature = BIAS_CASES[case]
    name, target = SCHEMES[scheme].name, power_modes(10**5, decay, curvature)
    return [abs(theory.trace_bias(name, float(h), target.precision, target.curvature, 1.0)) for h in step_sizes]


def bias_point(case: str, step_size: float, num_modes: int, key: Key[Array, ""]) -> tuple[float, float, float]:
    """The same of chains, its standard error, and exact for as many modes and steps.

    Beside each chain runs a twin with the same noise that treats loss and penalty alike exactly: its law is the
    target's, so that only the difference to it need be averaged.
    """
    scheme, decay, curvature = BIAS_CASES[case]
    target, steps = power_modes(num_modes, decay, curvature), max(1, round(BIAS_TIME / step_size))
    twin = power_modes(num_modes, decay, 0.0)._replace(precision=target.precision + curvature)
    variance = 1 / twin.precision
    run = Run(SCHEMES[scheme].integrator, step_size, 1.0, steps, BIAS_CHAINS, key)
    squares = (run.ends(target, np.sqrt(variance)) ** 2).sum(axis=1)
    squares -= (run._replace(integrator=Exponential()).ends(twin, np.sqrt(variance)) ** 2).sum(axis=1)
    law = step_size, target.precision, target.curvature, 1.0, steps
    exact = theory.mode_moments(SCHEMES[scheme].name, *law, start_variance=variance)[1] - variance
    sign = np.sign(exact.sum())
    error = float(squares.std(ddof=1) / np.sqrt(BIAS_CHAINS))
    return float(sign * squares.mean()), error, float(abs(exact.sum()))


def tail_point(num_modes: int, num_chains: int, key: Key[Array, ""]) -> tuple[float, float]:
    """What a cut-off after `num_modes` leaves out of E |x|^2, pi^2 / 6 in all, and its error (exponential, no loss)."""
    target = power_modes(num_modes, 2.0, 0.0)
    run = Run(Exponential(), 0.5, 1.0, round(BIAS_TIME / 0.5), num_chains, key)
    squares = (run.ends(target, target.precision**-0.5) ** 2).sum(axis=1)
    return float(np.pi**2 / 6 - squares.mean()), float(squares.std(ddof=1) / np.sqrt(num_chains))
