"""From features to draws of the posterior: the problem, its mode and curvature, the step, the chains.

    potential(x) = (1/n) sum_i likelihood(<phi(x_i), x>, y_i) + 1/2 sum_k x_k^2 / (n mu_k),      temperature 1/n

with the prior as the quadratic part of an integrator that is exact for it, so that the step is bounded by the
likelihood's curvature M alone, whatever the number of modes (Muzellec et al., COLT 2022). Rows and modes are padded to
buckets, with weight 0 and with features 0, so that few shapes are compiled.
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
from langevax.sklearn.kernel_langevin.preconditioning import (
    Curvatures,
    PosteriorCoordinates,
    hessian_coordinates,
    identity_coordinates,
    laplace_fit,
)
from langevax.sklearn.kernel_langevin.space import width_of
from langevax.sklearn.parameters import Progress
from langevax.sklearn.table import bucket, padded

INTEGRATORS: dict[str, type[Integrator]] = {
    "exponential": integrators.Exponential,
    "semi-implicit": integrators.SemiImplicit,
    "crank-nicolson": integrators.CrankNicolson,
}
STEP = 0.1  # times the inverse curvature: variances are up to 5 % too large
LABELS_STEP = 0.2  # curvature of their likelihood decreases away from 0, and posteriors are wide (measured)
FULL_GRADIENT_ROWS = 4096  # up to which every step has the gradient of all rows
HEAT, LEAST_BATCH = 0.05, 32  # share that batches may add to the variance; rows of a batch at least
PROBED_ROWS = 512  # on which the variance of gradients is measured
SPREAD = 2.0  # of the chains' starts, in deviations of the posterior
WARMUP = 10.0  # relaxation times
MAX_THINNING = 50
SLOW = 4.0  # relaxation times of the steepest direction beyond which to precondition; and those assumed then
PILOT_DRAWS = 40  # at which the curvature is measured, a relaxation time apart


class ChainOptions(NamedTuple):
    """Parameters of an estimator for its chains."""

    num_chains: int
    num_samples: int
    num_warmup: int | str
    thinning: int | str
    relative_step_size: float | str
    integrator: str | Integrator
    gradient: str | GradientEstimator
    preconditioner: str | None
    progress: Progress


class Draws(NamedTuple):
    """Draws of a posterior, and how they were made."""

    coefficients: np.ndarray
    """(chain, draw, N) or (chain, draw, N, C) float32."""
    step_size: float
    """In the kernel's eigenbasis; or relative to each direction's curvature, where preconditioned."""
    steps: int
    history: dict[str, Any]
    """preconditioned; curvature M of the likelihood, averaged over the posterior; relaxation, the steps in which the
    correlation of the slowest direction decays by a factor e; num_warmup, thinning, evaluations, seconds, gradient."""


class ChangeOfCoordinates(eqx.Module):
    """A linear map of positions."""

    matrix: Array

    def __call__(self, position: Array) -> Array:
        return self.matrix @ position


class OverdispersedStart(eqx.Module):
    """Starts of chains: the mode plus the deviation times a normal draw, in each coordinate."""

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
    """Return (problem, temperature); positions are (modes,) or (modes, num_outputs), padded."""
    n, num_modes = features.shape
    total, length, width = float(weights.sum()), bucket(n), width_of(num_modes)
    wide = np.pad(features.astype(np.float32), [(0, 0), (0, width - num_modes)])
    precision = np.ones(width)  # of modes that are padding
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
    options: ChainOptions,
    seed: int,
) -> Draws:
    """Return draws of chains started around the mode, of a length set by their relaxation time."""
    problem, temperature = posterior_problem(features, targets, weights, eigenvalues, likelihood, num_outputs)
    run_key, pilot_key, probe_key = random.split(random.key(seed), 3)
    relative = STEP if isinstance(likelihood, Residual) else LABELS_STEP
    relative = relative if isinstance(options.relative_step_size, str) else float(options.relative_step_size)
    laplace = laplace_fit(problem, likelihood, temperature, num_outputs, seed)
    relaxation = laplace.largest / (relative * laplace.least)
    auto = options.preconditioner == "auto"
    preconditioned = relaxation > SLOW / relative if auto else options.preconditioner is not None
    coordinates = identity_coordinates(laplace, problem)
    start, pilot = _around(coordinates), None
    if preconditioned:
        relaxation = SLOW / relative * (1 if num_outputs is None else 2)  # softmax measured twice as slow
        preliminary = hessian_coordinates(laplace.hessian, laplace, problem, temperature)
        chains = _chains(problem, temperature, preliminary, relative, options, probe_key)
        pilot = _pilot(chains, _around(preliminary), relative, pilot_key)
        late = preliminary.back(np.asarray(pilot.positions)[:, PILOT_DRAWS // 2 :])
        hessian = Curvatures(problem, likelihood, num_outputs).at(late.reshape(-1, *late.shape[2:]))
        coordinates = hessian_coordinates(hessian, laplace, problem, temperature)
        change = preliminary.change_to(coordinates, problem)
        start = pilot.map(ChangeOfCoordinates(jnp.asarray(change, jnp.float32)))
    chains = _chains(problem, temperature, coordinates, relative, options, probe_key)
    thinning, warmup = options.thinning, options.num_warmup
    thinning = int(np.clip(round(relaxation), 1, MAX_THINNING)) if isinstance(thinning, str) else int(thinning)
    warmup = (
        math.ceil(min(WARMUP * relaxation, thinning * options.num_samples)) if isinstance(warmup, str) else int(warmup)
    )
    first = -(-warmup // thinning)  # draws that are discarded
    result = chains.run(start, run_key, (first + options.num_samples) * thinning, thinning)
    coefficients = coordinates.back(np.asarray(result.positions)[:, first:])[:, :, : len(eigenvalues)]
    if num_outputs is not None:  # a function common to all classes has no effect, and mixes slowly
        coefficients = coefficients - coefficients.mean(-1, keepdims=True)
    runs = [result] if pilot is None else [pilot, result]
    history = {
        "preconditioned": preconditioned,
        "curvature": laplace.largest,
        "relaxation": relaxation,
        "num_warmup": first * thinning,
        "thinning": thinning,
        "evaluations": sum(int(run.evaluations) for run in runs),
        "seconds": sum(run.seconds for run in runs),
        "gradient": repr(chains.gradient),
    }
    step_size = relative if preconditioned else relative / laplace.largest
    return Draws(coefficients, step_size, int(result.steps), history)


class _Chains(NamedTuple):
    """A run without its start, its key and its length."""

    problem: FiniteSum
    temperature: float
    step_size: Array
    gradient: GradientEstimator
    options: ChainOptions

    def run(self, start: Any, key: Key[Array, ""], num_steps: int, thinning: int) -> Result:
        """Run from a start for each chain, or from the ends of other chains."""
        integrator = self.options.integrator
        integrator = INTEGRATORS[integrator]() if isinstance(integrator, str) else integrator
        return simulate(
            Langevin(self.step_size, self.temperature, self.gradient, integrator),
            self.problem,
            start,
            key=key,
            num_steps=num_steps,
            num_chains=None if isinstance(start, Result) else self.options.num_chains,
            record_every=thinning,
            progress=self.options.progress,
        )


def _chains(
    problem: FiniteSum,
    temperature: float,
    coordinates: PosteriorCoordinates,
    relative: float,
    options: ChainOptions,
    key: Key[Array, ""],
) -> _Chains:
    transformed = coordinates.problem(problem)
    step_size = jnp.asarray(relative / coordinates.curvatures, jnp.float32)
    gradient = gradient_estimator(options.gradient, transformed, coordinates, step_size, temperature, key)
    return _Chains(transformed, temperature, step_size, gradient, options)


def _around(coordinates: PosteriorCoordinates, scale: float = SPREAD) -> Any:
    deviation = scale * coordinates.deviation
    return OverdispersedStart(jnp.asarray(coordinates.mode, jnp.float32), jnp.asarray(deviation, jnp.float32))


def _pilot(chains: _Chains, start: Any, relative: float, key: Key[Array, ""]) -> Result:
    """Run PILOT_DRAWS draws, at which the curvature is measured, since Laplace's approximation may be poor."""
    thinning = math.ceil(1 / relative)
    return chains.run(start, key, PILOT_DRAWS * thinning, thinning)


def gradient_estimator(
    gradient: str | GradientEstimator,
    problem: FiniteSum,
    coordinates: PosteriorCoordinates,
    step_size: Array,
    temperature: float,
    key: Key[Array, ""],
) -> GradientEstimator:
    """Return the full gradient where rows are few; else SVRG whose batch adds at most HEAT to the variance.

    A batch of B adds h V / (2 T B) to the variance, V the variance over rows of the change of their gradients between
    two draws, averaged over coordinates that are not padding. Sizes are powers of two, so that few are compiled.
    """
    if isinstance(gradient, GradientEstimator):
        return gradient
    n = int(problem.size)
    if gradient == "full" or (gradient == "auto" and n <= FULL_GRADIENT_ROWS) or n <= 2 * LEAST_BATCH:
        return gradients.Full()
    row_key, here_key, there_key = random.split(key, 3)
    start = _around(coordinates, 1.0)
    indices = random.randint(row_key, (PROBED_ROWS,), 0, n, jnp.int32)
    changes = np.asarray(_gradients_at(problem, start(here_key), indices))
    changes = changes - np.asarray(_gradients_at(problem, start(there_key), indices))
    heats = (np.asarray(step_size) * changes.var(axis=0)).reshape(-1)
    heat = float(np.mean(heats[heats > 0])) if np.any(heats > 0) else 0.0
    rows = max(LEAST_BATCH, heat / (2 * temperature * HEAT))
    batch = 1 << math.ceil(math.log2(rows))
    if gradient == "svrg":
        batch = min(batch, 1 << int(math.log2(n / 2)))
    elif 4 * batch > n:  # two gradients for each row of a batch, and full passes: no gain
        return gradients.Full()
    return gradients.SVRG(batch, 1 << round(math.log2(n / (2 * batch))))


@eqx.filter_jit
def _gradients_at(problem: FiniteSum, x: Array, indices: Array) -> Array:
    return problem.gradients_at(x, indices)
