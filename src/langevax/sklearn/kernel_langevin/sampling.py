"""From features to draws of the posterior, by `langevax.sample`.

    potential(x) = (1/n) sum_i likelihood(<phi(x_i), x>, y_i) + 1/2 sum_k x_k^2 / (n mu_k),      temperature 1/n

with the prior as the quadratic part, so that steps are bounded by the likelihood's curvature M alone, whatever the
number of modes (Muzellec et al., COLT 2022). Rows and modes are padded to buckets, with weight 0 and with features 0,
so that few shapes are compiled.
"""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from langevax.gradients import SVRG
from langevax.integrators import Exponential
from langevax.problems.finite_sum import FiniteSum, Posterior
from langevax.problems.likelihoods import (
    Gaussian,
    LinearPredictor,
    Residual,
)
from langevax.problems.losses import Loss
from langevax.run import Run
from langevax.samplers import PCNL, Langevin
from langevax.sampling import NUTS
from langevax.sampling.exact import MAX_COEFFICIENTS
from langevax.sampling.sample import sample
from langevax.sampling.samples import Samples, SamplingWarning
from langevax.sklearn.kernel_langevin.preconditioning import posterior_coordinates
from langevax.sklearn.kernel_langevin.space import width_of
from langevax.sklearn.table import bucket, padded, widened


class ChainOptions(NamedTuple):
    """Parameters of an estimator for its chains."""

    num_chains: int
    num_samples: int
    tolerance: float | None
    num_warmup: int | str
    thinning: int | str
    run: Run


class Draws(NamedTuple):
    """Draws of a posterior, and how they were made."""

    coefficients: np.ndarray
    """(chain, draw, N) or (chain, draw, N, C) float32."""
    step_size: float
    """In the kernel's eigenbasis; or relative to each direction's curvature, where preconditioned."""
    steps: int
    history: dict[str, Any]
    """method, reason, thinning, evaluations, seconds, doubts."""


class FunctionTask(NamedTuple):
    """Rows of a posterior of functions."""

    likelihood: Loss
    targets: np.ndarray
    """Of the likelihood."""
    weights: np.ndarray
    num_outputs: int | None
    """Number of functions; None for one."""


def posterior_of(
    task: FunctionTask, features: np.ndarray, eigenvalues: np.ndarray
) -> Posterior:
    """Return the posterior of coefficients (modes,) or (modes, num_outputs), padded."""
    n, num_modes = features.shape
    total = float(task.weights.sum())
    width = width_of(num_modes)
    wide = widened(features.astype(np.float32), width)
    precision = np.ones(width)  # of modes that are padding
    precision[:num_modes] = 1 / (total * eigenvalues)
    precision = precision.astype(np.float32)
    if task.num_outputs is not None:
        precision = precision[:, None]
    inputs, targets, weights = (
        padded(array, bucket(n))
        for array in (wide, task.targets, task.weights.astype(np.float32))
    )
    # numbers of the likelihood are traced
    likelihood = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), task.likelihood)
    loss = LinearPredictor(likelihood)
    rows = inputs, targets
    problem = FiniteSum(loss, rows, None, jnp.asarray(precision), weights, n)
    return Posterior(problem, 1 / total)


def draw(
    task: FunctionTask,
    features: np.ndarray,
    eigenvalues: np.ndarray,
    options: ChainOptions,
    seed: int,
) -> Draws:
    """Return draws of the coefficients, without warnings of single ones: `KernelLangevinEstimator.warnings_` sees functions."""
    posterior = posterior_of(task, features, eigenvalues)
    width = len(posterior.problem.precision)
    outputs = () if task.num_outputs is None else (task.num_outputs,)
    start = jnp.zeros((width, *outputs), jnp.float32)
    chosen = chain_arguments(options, posterior, task.likelihood, start.size)
    coordinates = None
    if chosen["preconditioner"] == "hessian":
        coordinates = posterior_coordinates(posterior, start)
        posterior = coordinates.posterior
        start = jnp.asarray(coordinates.mode)
        chosen["preconditioner"] = None  # its curvature is 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        samples: Samples = sample(posterior, start, key=random.key(seed), **chosen)
    coefficients = samples.positions
    if coordinates is not None:
        coefficients = coordinates.coefficients(coefficients)
    coefficients = coefficients[:, :, : len(eigenvalues)]
    if outputs:  # a function common to all classes has no effect, and mixes slowly
        coefficients = coefficients - coefficients.mean(-1, keepdims=True)
    names = ("method", "reason", "thinning", "evaluations", "seconds")
    history = {name: getattr(samples, name) for name in names}
    history["doubts"] = samples.doubts()
    return Draws(coefficients, samples.step_size, int(samples.result.steps), history)


def chain_arguments(
    options: ChainOptions,
    posterior: Posterior,
    likelihood: Loss,
    num_coordinates: int,
    most_rows: int = 4096,
) -> dict[str, Any]:
    """Return arguments of `langevax.sample`, with preconditioner="hessian" for `posterior_coordinates`.

    Independent draws where the posterior is normal, otherwise pCNL of residuals and NUTS of labels, whose
    posterior is further from normal; above `most_rows` rows Langevin dynamics with batches.
    """
    chosen: dict[str, Any] = options._asdict()
    is_residual = isinstance(likelihood, Residual)
    if isinstance(likelihood, Gaussian) and num_coordinates <= MAX_COEFFICIENTS:
        return chosen | {"preconditioner": "auto"}
    if int(posterior.problem.size) <= most_rows:
        if is_residual:
            return chosen | {"algorithm": PCNL(), "preconditioner": "auto"}
        return chosen | {"algorithm": NUTS(), "preconditioner": "hessian"}
    langevin = Langevin(gradient=SVRG(), integrator=Exponential())
    return chosen | {"algorithm": langevin, "preconditioner": "hessian"}
