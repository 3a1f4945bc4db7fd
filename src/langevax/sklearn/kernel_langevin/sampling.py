"""From features to draws of the posterior: the problem, its mode and curvature, the step, the chains.

    potential(x) = (1/n) sum_i likelihood(<phi(x_i), x>, y_i) + 1/2 sum_k x_k^2 / (n mu_k),      temperature 1/n

with the prior as the quadratic part of an integrator that takes it exactly, so that the step is bounded by the
likelihood's curvature M alone, however many modes there are (Muzellec et al., COLT 2022). Rows and modes are padded to
buckets, with weight 0 and with features 0, so that few shapes are ever compiled.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Key

from langevax import gradients, integrators
from langevax.gradients import GradientEstimator
from langevax.integrators import Integrator
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.likelihoods import Likelihood, LinearPredictor, Residual
from langevax.run import Result, simulate
from langevax.samplers import Langevin
from langevax.sklearn.kernel_langevin.curvature import Coordinates, Curvatures, informed_by, look_around, uniform
from langevax.sklearn.kernel_langevin.space import width_of
from langevax.sklearn.table import bucket, padded

INTEGRATORS: dict[str, type[Integrator]] = {
    "exponential": integrators.Exponential,
    "semi-implicit": integrators.SemiImplicit,
    "crank-nicolson": integrators.CrankNicolson,
}
STEP = 0.1  # times the inverse curvature: variances are up to 5 % too large
STEP_OF_LABELS = 0.2  # their curvature falls off away from its mean's place, and posteriors are wide (measured)
ALL_ROWS = 4096  # up to which every step takes the gradient of all rows
HEAT, LEAST_BATCH = 0.05, 32  # what batches may add to the variance; and rows of a batch at least
PROBED = 512  # rows that tell how much batches differ
SPREAD = 2.0  # of the chains' starts, in deviations of the posterior
WARMUP = 10.0  # relaxation times
MAX_THINNING = 50
SLOW = 4.0  # relaxation times of the sharpest direction, beyond which steps go by direction; and those then counted on
PILOT_DRAWS = 40  # of the chains whose curvature is measured, a relaxation time apart


class Settings(NamedTuple):
    """The parameters of an estimator that concern its chains."""

    num_chains: int
    num_samples: int
    warmup: int | str
    thinning: int | str
    step_size: float | str
    integrator: str
    gradient: Any
    steps: str
    progress: bool | None


class Draws(NamedTuple):
    """Of a posterior, and how they came about."""

    coefficients: np.ndarray
    """(chain, draw, N) or (chain, draw, N, C) float32."""
    step_size: float
    """In the kernel's eigenbasis; or relative to each direction's curvature, where `informed`."""
    informed: bool
    curvature: float
    """M: of the likelihood, averaged over the posterior."""
    relaxation: float
    """Steps in which the slowest direction forgets a factor e."""
    warmup: int
    thinning: int
    steps: int
    evaluations: int
    gradient: GradientEstimator
    seconds: float


class Turn(eqx.Module):
    """From one set of coordinates to another."""

    matrix: Array

    def __call__(self, position: Array) -> Array:
        return self.matrix @ position


class Spread(eqx.Module):
    """Starts of chains: the mode, and that times a normal draw of each coordinate."""

    mode: Array
    deviation: Array

    def __call__(self, key: Key[Array, ""]) -> Array:
        return self.mode + self.deviation * random.normal(key, self.mode.shape, self.mode.dtype)


def posterior_problem(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    eigenvalues: np.ndarray,
    likelihood: Likelihood,
    num_outputs: int | None,
) -> tuple[FiniteSum, float]:
    """(problem, temperature); positions are (modes,) or (modes, num_outputs), padded."""
    n, num_modes = features.shape
    total, length, width = float(weights.sum()), bucket(n), width_of(num_modes)
    wide = np.pad(features.astype(np.float32), [(0, 0), (0, width - num_modes)])
    precision = np.ones(width)  # of modes that meet no data
    precision[:num_modes] = 1 / (total * eigenvalues)
    precision = precision.astype(np.float32) if num_outputs is None else precision.astype(np.float32)[:, None]
    rows = [padded(array, length) for array in (wide, targets, weights.astype(np.float32))]
    loss = LinearPredictor(likelihood)
    return FiniteSum(loss, (rows[0], rows[1]), None, jnp.asarray(precision), rows[2], n), 1 / total


def sample(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    eigenvalues: np.ndarray,
    likelihood: Likelihood,
    num_outputs: int | None,
    settings: Settings,
    seed: int,
) -> Draws:
    """Chains from around the mode, as long as their relaxation asks for."""
    problem, temperature = posterior_problem(features, targets, weights, eigenvalues, likelihood, num_outputs)
    run_key, pilot_key, probe_key = random.split(random.key(seed), 3)
    relative = STEP if isinstance(likelihood, Residual) else STEP_OF_LABELS
    relative = relative if isinstance(settings.step_size, str) else float(settings.step_size)
    look = look_around(problem, likelihood, temperature, num_outputs, seed)
    relaxation = look.largest / (relative * look.least)
    informed = settings.steps == "informed" or (settings.steps == "auto" and relaxation > SLOW / relative)
    coordinates = uniform(look, problem)
    start, pilot = _around(coordinates), None
    if informed:
        relaxation = SLOW / relative * (1 if num_outputs is None else 2)  # softmax measured twice as slow
        first_look = informed_by(look.hessian, look, problem, temperature)
        chains = _chains(problem, temperature, first_look, relative, settings, probe_key)
        pilot = _pilot(chains, _around(first_look), relative, pilot_key)
        late = first_look.back(np.asarray(pilot.positions)[:, PILOT_DRAWS // 2 :])
        hessian = Curvatures(problem, likelihood, num_outputs).at(late.reshape(-1, *late.shape[2:]))
        coordinates = informed_by(hessian, look, problem, temperature)
        start = pilot.map(Turn(jnp.asarray(first_look.turn_to(coordinates, problem), jnp.float32)))
    chains = _chains(problem, temperature, coordinates, relative, settings, probe_key)
    thinning, warmup = settings.thinning, settings.warmup
    thinning = int(np.clip(round(relaxation), 1, MAX_THINNING)) if isinstance(thinning, str) else thinning
    warmup = math.ceil(min(WARMUP * relaxation, thinning * settings.num_samples)) if isinstance(warmup, str) else warmup
    first = -(-warmup // thinning)  # draws that are let go
    result = chains.run(start, run_key, (first + settings.num_samples) * thinning, thinning)
    coefficients = coordinates.back(np.asarray(result.positions)[:, first:])[:, :, : len(eigenvalues)]
    if num_outputs is not None:  # a function common to all classes changes nothing, and wanders slowly
        coefficients = coefficients - coefficients.mean(-1, keepdims=True)
    return Draws(
        coefficients,
        relative if informed else relative / look.largest,
        informed,
        look.largest,
        relaxation,
        first * thinning,
        thinning,
        int(result.steps),
        int(result.evaluations) + (0 if pilot is None else int(pilot.evaluations)),
        chains.gradient,
        result.seconds + (0.0 if pilot is None else pilot.seconds),
    )


class _Chains(NamedTuple):
    """All of a run but its start, its key and its length."""

    problem: FiniteSum
    temperature: float
    step_size: Array
    gradient: GradientEstimator
    settings: Settings

    def run(self, start: Any, key: Key[Array, ""], num_steps: int, thinning: int) -> Result:
        """From a start for each chain, or from where others ended."""
        integrator = INTEGRATORS[self.settings.integrator]()
        return simulate(
            Langevin(self.step_size, self.temperature, self.gradient, integrator),
            self.problem,
            start,
            key=key,
            num_steps=num_steps,
            num_chains=None if isinstance(start, Result) else self.settings.num_chains,
            record_every=thinning,
            progress=self.settings.progress,
        )


def _chains(
    problem: FiniteSum,
    temperature: float,
    coordinates: Coordinates,
    relative: float,
    settings: Settings,
    key: Key[Array, ""],
) -> _Chains:
    turned = coordinates.problem(problem)
    step_size = jnp.asarray(relative / coordinates.curvatures, jnp.float32)
    gradient = estimator_of(settings.gradient, turned, coordinates, step_size, temperature, key)
    return _Chains(turned, temperature, step_size, gradient, settings)


def _around(coordinates: Coordinates, scale: float = SPREAD) -> Any:
    deviation = scale * coordinates.deviation
    return Spread(jnp.asarray(coordinates.mode, jnp.float32), jnp.asarray(deviation, jnp.float32))


def _pilot(chains: _Chains, start: Any, relative: float, key: Key[Array, ""]) -> Result:
    """PILOT_DRAWS of them, by which the curvature is measured where Laplace's approximation may be off."""
    thinning = math.ceil(1 / relative)
    return chains.run(start, key, PILOT_DRAWS * thinning, thinning)


def estimator_of(
    given: Any, problem: FiniteSum, coordinates: Coordinates, step_size: Array, temperature: float, key: Key[Array, ""]
) -> GradientEstimator:
    """All rows where they are few; else SVRG with a batch that heats the chain by HEAT at most.

    A batch of B adds h V / (2 T B) to the variance, V the variance over rows of the change of their gradients between
    two draws, averaged over coordinates that meet data. Sizes are powers of two, so that few are ever compiled.
    """
    if isinstance(given, GradientEstimator):
        return given
    n = int(problem.size)
    if given == "full" or (given == "auto" and n <= ALL_ROWS) or n <= 2 * LEAST_BATCH:
        return gradients.Full()
    row_key, here_key, there_key = random.split(key, 3)
    start = _around(coordinates, 1.0)
    indices = random.randint(row_key, (PROBED,), 0, n, jnp.int32)
    changes = np.asarray(_gradients_at(problem, start(here_key), indices))
    changes = changes - np.asarray(_gradients_at(problem, start(there_key), indices))
    heats = (np.asarray(step_size) * changes.var(axis=0)).reshape(-1)
    heat = float(np.mean(heats[heats > 0])) if np.any(heats > 0) else 0.0
    wanted = max(LEAST_BATCH, heat / (2 * temperature * HEAT))
    batch = 1 << math.ceil(math.log2(wanted))
    if given == "svrg":
        batch = min(batch, 1 << int(math.log2(n / 2)))
    elif 4 * batch > n:  # two gradients for each row of a batch, and the full passes: nothing would be saved
        return gradients.Full()
    return gradients.SVRG(batch, 1 << round(math.log2(n / (2 * batch))))


@eqx.filter_jit
def _gradients_at(problem: FiniteSum, x: Array, indices: Array) -> Array:
    return problem.gradients_at(x, indices)
