"""From features to draws of the posterior: the problem, its mode and curvature, the step, the chains.

    potential(x) = (1/n) sum_i likelihood(<phi(x_i), x>, y_i) + 1/2 sum_k x_k^2 / (n mu_k),      temperature 1/n

with the prior as the quadratic part of an integrator that takes it exactly, so that the step is bounded by the
likelihood's curvature M alone, however many modes there are (Muzellec et al., COLT 2022). Rows and modes are padded to
buckets, with weight 0 and with features 0, so that few shapes are ever compiled.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax import gradients, integrators
from langevax.gradients import GradientEstimator
from langevax.integrators import Integrator
from langevax.langevin import Langevin
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.likelihoods import Likelihood, LinearPredictor
from langevax.run import simulate
from langevax.sklearn.kernel_langevin_evidence import one_thread, some_rows
from langevax.sklearn.kernel_langevin_space import FEWEST_MODES
from langevax.sklearn.table import bucket, padded

INTEGRATORS: dict[str, type[Integrator]] = {
    "exponential": integrators.Exponential,
    "semi-implicit": integrators.SemiImplicit,
    "crank-nicolson": integrators.CrankNicolson,
}
STEP = 0.1  # times the inverse curvature: variances are up to 5 % too large
ALL_ROWS = 4096  # up to which every step takes the gradient of all rows
HEAT, LEAST_BATCH = 0.05, 32  # what batches may add to the variance; and rows of a batch at least
PROBED = 512  # rows that tell how much batches differ
LOOKED_AT = 4096  # rows whose curvature tells that of all
LAPLACE_DRAWS = 8  # that the curvature is averaged over
SPREAD = 2.0  # of the chains' starts, in deviations of the posterior
WARMUP = 10.0  # relaxation times
MAX_THINNING = 50
MODE_STEPS = 300


class Settings(NamedTuple):
    """The parameters of an estimator that concern its chains."""

    num_chains: int
    num_samples: int
    warmup: int | str
    thinning: int | str
    step_size: float | str
    integrator: str
    gradient: Any
    progress: bool | None


class Draws(NamedTuple):
    """Of a posterior, and how they came about."""

    coefficients: np.ndarray
    """(chain, draw, N) or (chain, draw, N, C) float32."""
    step_size: float
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
    total, length, width = float(weights.sum()), bucket(n), bucket(num_modes, FEWEST_MODES)
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
    key = random.key(seed)
    probe_key, run_key = random.split(key)
    look = look_around(problem, likelihood, temperature, num_outputs, seed)
    relative = STEP if isinstance(settings.step_size, str) else float(settings.step_size)
    step_size = relative / look.curvature
    relaxation = 1 / (step_size * look.flattest)
    thinning, warmup = settings.thinning, settings.warmup
    thinning = int(np.clip(round(relaxation), 1, MAX_THINNING)) if isinstance(thinning, str) else thinning
    warmup = math.ceil(min(WARMUP * relaxation, thinning * settings.num_samples)) if isinstance(warmup, str) else warmup
    first = -(-warmup // thinning)  # draws that are let go
    gradient = estimator_of(settings.gradient, problem, look, step_size, temperature, probe_key)
    result = simulate(
        Langevin(step_size, temperature, gradient, INTEGRATORS[settings.integrator]()),
        problem,
        Spread(look.mode, SPREAD * look.deviation),
        key=run_key,
        num_steps=(first + settings.num_samples) * thinning,
        num_chains=settings.num_chains,
        record_every=thinning,
        progress=settings.progress,
    )
    coefficients = np.asarray(result.positions)[:, first:, : len(eigenvalues)]
    if num_outputs is not None:  # a function common to all classes changes nothing, and wanders slowly
        coefficients = coefficients - coefficients.mean(-1, keepdims=True)
    return Draws(
        coefficients,
        float(step_size),
        look.curvature,
        relaxation,
        first * thinning,
        thinning,
        int(result.steps),
        int(result.evaluations),
        gradient,
        float(result.seconds),
    )


class Look(NamedTuple):
    """A posterior around its mode."""

    mode: Array
    deviation: Array
    """Of each coordinate, by Laplace's approximation."""
    curvature: float
    flattest: float
    """The least curvature of the potential, prior included."""


@one_thread
def look_around(
    problem: FiniteSum, likelihood: Likelihood, temperature: float, num_outputs: int | None, seed: int
) -> Look:
    """Mode by L-BFGS, deviations and curvatures by Laplace's approximation, one output at a time."""
    mode = find_mode(problem, likelihood, num_outputs)
    features, targets = (np.asarray(array) for array in problem.data)
    weights, precision = np.asarray(problem.weights), np.asarray(problem.precision, np.float64).reshape(-1)
    chosen = some_rows(int(problem.size), LOOKED_AT)
    Phi, w = features[chosen].astype(np.float64), weights[chosen].astype(np.float64)
    length = bucket(len(chosen))
    y = padded(targets[chosen], length)
    outputs = num_outputs or 1
    at = np.asarray(mode, np.float64).reshape(-1, outputs)

    def bends(x: np.ndarray) -> np.ndarray:
        """(rows, outputs) likelihood's curvatures at coefficients x, where positive."""
        z = padded((Phi @ x).astype(np.float32), length)
        z = z[:, 0] if num_outputs is None else z
        found = np.asarray(_bends(likelihood, z, y), np.float64)[: len(chosen)]
        return np.maximum(found.reshape(len(chosen), outputs), 0.0)

    def hessians(curvatures: np.ndarray) -> list[np.ndarray]:
        """Of the likelihood, (N, N) for each output."""
        return [(Phi.T * (w * column)) @ Phi / w.sum() for column in curvatures.T]

    rng = np.random.default_rng(seed)
    factors = [np.linalg.cholesky(H + np.diag(precision)) for H in hessians(bends(at))]
    inverses = [np.linalg.inv(factor) for factor in factors]  # H^-1 = inverse' inverse
    scale = np.sqrt(temperature)
    mean = np.zeros((len(chosen), outputs))
    for _ in range(LAPLACE_DRAWS):
        normal = rng.normal(size=at.shape)
        mean += bends(at + scale * np.stack([A.T @ u for A, u in zip(inverses, normal.T, strict=True)], 1))
    likelihoods = hessians(mean / LAPLACE_DRAWS)
    curvature = max(float(np.linalg.eigvalsh(H)[-1]) for H in likelihoods)
    flattest = min(float(np.linalg.eigvalsh(H + np.diag(precision))[0]) for H in likelihoods)
    deviation = scale * np.sqrt(np.stack([np.sum(A**2, axis=0) for A in inverses], 1))
    return Look(mode, jnp.asarray(deviation.reshape(mode.shape), mode.dtype), curvature, flattest)


def find_mode(problem: FiniteSum, likelihood: Likelihood, num_outputs: int | None) -> Array:
    """A minimum of the potential by L-BFGS from 0, in coordinates of about unit curvature."""
    from scipy.optimize import minimize

    precision = np.asarray(problem.precision, np.float64)
    shape = (len(precision),) if num_outputs is None else (len(precision), num_outputs)
    bound = float(np.max(np.asarray(likelihood.curvature)))
    scale = np.broadcast_to(1 / np.sqrt(bound + precision), shape)

    def both(u: np.ndarray) -> tuple[float, np.ndarray]:
        x = jnp.asarray(u.reshape(shape) * scale, jnp.float32)
        value, gradient = _potential_and_gradient(problem, x)
        return float(value), (np.asarray(gradient, np.float64) * scale).reshape(-1)

    found = minimize(both, np.zeros(scale.size), jac=True, method="L-BFGS-B", options={"maxiter": MODE_STEPS})
    return jnp.asarray(found.x.reshape(shape) * scale, jnp.float32)


def estimator_of(
    given: Any, problem: FiniteSum, look: Look, step_size: float, temperature: float, key: Key[Array, ""]
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
    start = Spread(look.mode, look.deviation)
    indices = random.randint(row_key, (PROBED,), 0, n, jnp.int32)
    changes = np.asarray(_gradients_at(problem, start(here_key), indices))
    changes = changes - np.asarray(_gradients_at(problem, start(there_key), indices))
    variances = changes.reshape(PROBED, -1).var(axis=0)
    variance = float(np.mean(variances[variances > 0])) if np.any(variances > 0) else 0.0
    wanted = max(LEAST_BATCH, step_size * variance / (2 * temperature * HEAT))
    batch = 1 << math.ceil(math.log2(wanted))
    if given == "svrg":
        batch = min(batch, 1 << int(math.log2(n / 2)))
    elif 4 * batch > n:  # two gradients for each row of a batch, and the full passes: nothing would be saved
        return gradients.Full()
    return gradients.SVRG(batch, 1 << round(math.log2(n / (2 * batch))))


@eqx.filter_jit
def _potential_and_gradient(problem: FiniteSum, x: Array) -> tuple[Float[Array, ""], Array]:
    return problem.potential_and_gradient(x)


@eqx.filter_jit
def _gradients_at(problem: FiniteSum, x: Array, indices: Array) -> Array:
    return problem.gradients_at(x, indices)


@eqx.filter_jit
def _bends(likelihood: Likelihood, z: Any, y: Any) -> Array:
    """The likelihood's second derivative in each output, row by row."""

    def one(z: Array, y: Array) -> Array:
        hessian = jax.hessian(likelihood)(z, y)
        return hessian if hessian.ndim == 0 else jnp.diagonal(hessian)

    return jax.vmap(one)(jnp.asarray(z), jnp.asarray(y))
