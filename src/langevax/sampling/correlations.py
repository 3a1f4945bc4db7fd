"""Coordinates without the correlations of draws: what the curvature at a mode does not say of a law far from normal.

NUTS measures each coordinate in its standard deviation, and takes about as many gradients a step as the longest axis
of the law is longer than the shortest one. With R = V diag(l) V^T the correlations of draws of the warm-up within their
chains, D their deviations, and m the number of effective ones,

    position = A z,      A A^T = D V diag(l^(m / (m + d))) V^T D / T,

and the law has variances near T and few correlations in z. It is the dense matrix of Stan (Carpenter et al., Journal
of Statistical Software 2017), of all chains together, nearer to D^2 the fewer draws there are: their eigenvalues are
too far apart by a factor that depends on d / m alone, so that powers mend them and sums would hide the smallest.
"""

import numpy as np
from jaxtyping import Float

from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.summary_table import of_draws
from langevax.trees import in_double


def without_correlations(
    coordinates: CoordinateMap,
    positions: Float[np.ndarray, "chain step d"],
    temperature: float,
    worthwhile: float = 10.0,
    least_draws: float = 2,
) -> tuple[CoordinateMap, Float[np.ndarray, "chain d"]] | None:
    """Return coordinates of few correlations and variances of `temperature`, and the last positions in them.

    None where correlations are weak, or hardly known.

    Args:
        coordinates: whose last layer is a matrix, which is replaced, so that programs compiled for it serve the other.
        positions: of the warm-up in these coordinates, of whose steps the first third is on the way.
        temperature: of the law.
        worthwhile: ratio of the largest and smallest eigenvalue of the correlations from which others pay their steps.
        least_draws: effective ones for each dimension, from which correlations are known.
    """
    late = in_double(positions[:, positions.shape[1] // 3 :])
    late = late - late.mean(axis=1, keepdims=True)
    _, steps, dimension = late.shape
    within = late.reshape(-1, dimension)
    deviations = np.sqrt(np.mean(within**2, axis=0))
    if dimension < 2 or steps < 4 or not (deviations > 0).all():
        return None
    correlations = within.T @ within / len(within) / np.outer(deviations, deviations)
    effective = float(np.median(of_draws("ess", late)))
    if not effective > least_draws * dimension:
        return None
    values, vectors = np.linalg.eigh(correlations)
    values = values.clip(np.finfo(positions.dtype).eps * values[-1]) ** (
        effective / (effective + dimension)
    )
    if values[-1] < worthwhile * values[0]:
        return None
    root = (
        deviations[:, None]
        * (vectors * np.sqrt(values))
        @ vectors.T
        / np.sqrt(temperature)
    )
    ends = np.linalg.solve(root, in_double(positions[:, -1]).T).T.astype(
        positions.dtype
    )
    return coordinates.times(root), ends
