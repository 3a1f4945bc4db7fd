"""Independent draws of posteriors that are normal laws.

Such is the posterior of a function that is linear in its coefficients x, with a Gaussian prior of each and Gaussian
noise s. In units of the prior, x = D^{-1/2} z with D / T the precisions,

    z ~ N(m, (I + A^T A)^{-1}),      m = (I + A^T A)^{-1} A^T b,      A^T A = V diag(lambda) V^T

where A and b are features and targets in units of s, rows times the root of their weights.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax._typing import HostVector, PRNGKey, PyTree
from langevax.problems.blocks import row_weights
from langevax.problems.coordinates import Raveled
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.likelihoods import Gaussian, LinearPredictor
from langevax.problems.problem import Problem
from langevax.run import Run, simulate
from langevax.sampling.draws import TunedChains
from langevax.sampling.preconditioning import CoordinateMap, in_prior_units
from langevax.sampling.reference import IndependentDraws, NearReference, NormalReference
from langevax.trees import in_double

MAX_COEFFICIENTS = (
    2048  # whose covariance is decomposed: a second of one core for 1,000 of them
)


def normal_posterior(
    problem: Problem,
    temperature: float,
    numbers_at_once: int = 2**23,
) -> NormalReference | None:
    """Return the posterior in units of the prior, or None where it is not known to be normal, or too large.

    Known are sums over rows of `LinearPredictor(Gaussian(...))` with a precision > 0 for each coefficient. Features are
    taken in float64 in blocks of so many numbers, 64 MB.
    """
    if not (
        isinstance(problem, FiniteSum)
        and isinstance(problem.loss, LinearPredictor)
        and isinstance(problem.loss.likelihood, Gaussian)
    ):
        return None
    features, targets = problem.data
    precision = in_double(problem.precision)
    noise = in_double(problem.loss.likelihood.noise)
    num_rows, num_modes = features.shape
    is_plain = problem.regularizer is None and problem.row_sharding is None
    has_prior = precision.ndim <= 1 and (precision > 0).all()
    if num_modes > MAX_COEFFICIENTS or noise.ndim or not (is_plain and has_prior):
        return None
    dtype = jnp.result_type(float)
    weights = row_weights(problem.weights, problem.count, num_rows, dtype)
    shares = np.ones(num_rows) if weights is None else in_double(weights)
    shares = np.sqrt(shares / (float(problem.size) * temperature)) / float(noise)
    roots = np.sqrt(np.broadcast_to(temperature / precision, (num_modes,)))
    gram, right = _products(
        features, targets, roots, shares, max(1, numbers_at_once // num_modes)
    )
    eigenvalues, directions = np.linalg.eigh(gram)
    variances = 1 / (1 + np.maximum(eigenvalues, 0.0))
    return NormalReference(
        directions @ (variances * (directions.T @ right)),
        directions,
        np.sqrt(variances),
    )


def _products(
    features: Array | np.ndarray,
    targets: Array | np.ndarray,
    roots: HostVector,
    shares: Float[np.ndarray, " n"],
    block: int,
) -> tuple[Float[np.ndarray, "d d"], HostVector]:
    """Return A^T A and A^T b, of blocks of so many rows."""
    gram = np.zeros((len(roots), len(roots)))
    right = np.zeros(len(roots))
    for begin in range(0, len(shares), block):
        rows = slice(begin, begin + block)
        scaled = in_double(features[rows]) * roots * shares[rows, None]
        gram += scaled.T @ scaled
        right += scaled.T @ (in_double(targets[rows]) * shares[rows])
    return gram, right


def reference_coordinates(
    problem: Problem,
    like: PyTree,
    reference: NormalReference,
    temperature: float,
) -> CoordinateMap:
    """Return the coordinates of a normal law that is given in units of the prior of each number of the position."""
    flat = Raveled(problem, like)
    white = in_prior_units(flat, temperature)
    return CoordinateMap((flat, white, NearReference(white, reference)))


def independent_chains(
    coordinates: CoordinateMap,
    temperature: float,
    num_samples: int,
    num_chains: int,
    key: PRNGKey,
    saving: Run,
) -> TunedChains:
    """Draw from the normal law whose coordinates these are."""
    algorithm = IndependentDraws(temperature)
    near = coordinates.problem
    assert isinstance(near, NearReference)
    start = jnp.zeros_like(near.mean)
    run = simulate(
        algorithm,
        near,
        start,
        key=key,
        num_steps=num_samples,
        num_chains=num_chains,
        record_every=1,
        run=saving,
    )
    return TunedChains(algorithm, run, 1.0, 1, 0)
