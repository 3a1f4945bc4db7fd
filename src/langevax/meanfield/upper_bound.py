"""The upper end of a certificate: P of laws whose densities walks on frozen plans know up to the error of a mean.

    P(q) <= loss(E sum_k W_k h_k) + T (E sum_k W_k e_k - E log Z^)

for the law q of a particle drawn by a walk's weights, and for disjoint cells A_k with shares l_k, chosen on half of the
runs and judged on the other,

    P(q) <= loss(sum_k l_k z_k) + T sum_k l_k (log l_k + e_k - E log Z^(A_k)).
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from langevax.log_weights import effective_share, normalised
from langevax.meanfield.clouds import Clouds, Mixture, mixture
from langevax.meanfield.gibbs_law import Tilt
from langevax.meanfield.homotopy import RowRisk
from langevax.meanfield.walks import Cells, covariance, plan_from_start, snapshots, walk

RUNS = 8
FEWEST_CLOUD = 512
"""Particles of a cloud that finds a dual, or makes a plan."""


@eqx.filter_jit
def _mean_loss(risk: RowRisk, outputs: Array) -> tuple[Array, Array]:
    """Return the mean loss at each of the outputs (many, n, ...), and its gradient in them times n."""

    def one(z: Array) -> Array:
        return risk.mean_over_rows(jax.vmap(risk.loss)(z, risk.targets))

    slopes = jax.vmap(lambda z: jax.vmap(risk.loss.derivative)(z, risk.targets))(
        outputs
    )
    return jax.vmap(one)(outputs), slopes


class LocalRuns(NamedTuple):
    """Of each run of the local walk: log Z^ (runs,), and by cell the masses, sums of outputs, sums of exponents."""

    log_partition: np.ndarray
    masses: np.ndarray
    outputs: np.ndarray
    exponents: np.ndarray
    effective: float = 0.0
    """Particles of all runs that the weights leave effective."""


class UpperBound(NamedTuple):
    """P of a law, up to the error of a mean."""

    value: float
    error: float
    freedom: int
    outputs: np.ndarray

    def high(self, level: float) -> float:
        """The end of the one-sided interval that is exceeded with probability `level`."""
        from scipy.special import stdtrit

        return self.value - float(stdtrit(self.freedom, level)) * self.error


def local_runs(
    clouds: Clouds,
    tilt: Tilt,
    start: Mixture,
    around: np.ndarray,
    size: int,
    in_cells: bool,
    num_cells: int = 24,
    num_snapshots: int = 32,
) -> LocalRuns | None:
    """Walk from a mixture of normals to the law, on a frozen plan, in runs; sum up by cells of the cloud `around`.

    The law is that of several snapshots after the walk. `in_cells`: cells are resampled each for itself. Where modes
    that weigh far more are hidden from the cloud, all particles would go there otherwise, and none be left where the
    optimum may be.
    """
    cells = parts_of(clouds, around, num_cells)
    whole = Cells(np.zeros((1, clouds.law.size)), cells.whitening)
    plan = plan_from_start(
        clouds,
        tilt,
        start,
        max(RUNS * size // 2, FEWEST_CLOUD),
        cells if in_cells else whole,
    )
    if not plan.complete:
        return None
    walked = walk(clouds, plan, RUNS, size, cells=cells if in_cells else None)
    weights = normalised(walked.log_weights).reshape(-1) / num_snapshots
    count = RUNS * len(cells)
    first = np.repeat(np.arange(RUNS) * len(cells), size)
    masses = np.zeros(count)
    outputs = 0.0
    exponents = np.zeros(count)
    end = walked.clouds.reshape(-1, walked.clouds.shape[2])
    for snapshot in snapshots(clouds, plan, end, num_snapshots):
        labels = first + cells.of(snapshot)
        mass = np.bincount(labels, weights, count)
        # single precision would lose the sums of cells that weigh e^-100 of the others
        relative = weights / np.maximum(mass, np.finfo(float).tiny)[labels]
        sums, exponent = clouds.cell_sums(tilt, snapshot, relative, labels, count)
        outputs = outputs + sums * mass[:, None, None]
        exponents += exponent * mass
        masses += mass
    by_run = RUNS, len(cells)
    outputs = np.asarray(outputs).reshape(*by_run, *np.shape(outputs)[1:])
    effective = size * sum(map(effective_share, walked.log_weights))
    return LocalRuns(
        walked.log_partition,
        masses.reshape(by_run),
        outputs,
        exponents.reshape(by_run),
        effective,
    )


def parts_of(clouds: Clouds, cloud: np.ndarray, count: int) -> Cells:
    """Return at most `count` parts of space, around centres of a cloud."""
    whitening = np.linalg.inv(np.linalg.cholesky(covariance(cloud)))
    return Cells(_centres(clouds, cloud @ whitening.T, count), whitening)


def _centres(
    clouds: Clouds,
    white: np.ndarray,
    count: int,
    iterations: int = 10,
) -> np.ndarray:
    """Return centres of parts of a cloud, by Lloyd's k-means from particles of it."""
    distinct = np.unique(white[:4096], axis=0)
    if len(distinct) <= count:
        return distinct
    centres = distinct[clouds.generator().choice(len(distinct), count, replace=False)]
    for _ in range(iterations):
        parts = Cells(centres, np.eye(distinct.shape[1])).of(distinct)
        centres = np.stack(
            [
                distinct[parts == k].mean(0)
                for k in range(len(centres))
                if np.any(parts == k)
            ]
        )
    return centres


def around_cloud(
    clouds: Clouds,
    cloud: np.ndarray,
    prior_share: float = 0.1,
    most_normals: int = 6,
    fewest: int = 20,
    wider: float = 1.3,
) -> Mixture:
    """Return a mixture of the prior and of normals around the parts of a cloud.

    Normals are around parts of at least `fewest` particles, with covariances `wider` than theirs.
    """
    chosen = cloud[
        clouds.generator().choice(len(cloud), min(len(cloud), 4096), replace=False)
    ].astype(np.float64)
    size = cloud.shape[1]
    count = max(1, min(most_normals, len(chosen) // (fewest * size)))
    labels = parts_of(clouds, chosen, count).of(chosen)
    parts = [chosen[labels == part] for part in range(count)]
    parts = [members for members in parts if len(members) >= fewest]
    shares = [(1 - prior_share) * len(members) / len(chosen) for members in parts]
    means = [np.zeros(size), *(members.mean(0) for members in parts)]
    covariances = [np.eye(size), *(wider * covariance(members) for members in parts)]
    return mixture(
        np.array([prior_share, *shares]),
        np.stack(means),
        np.stack(covariances),
        clouds.dtype,
    )


def upper_bounds(
    risk: RowRisk, temperature: float, runs: LocalRuns
) -> list[UpperBound]:
    """Return the plain bound of walks, and the one by their cells."""
    outputs = runs.outputs.sum(1)
    free = temperature * (runs.exponents.sum(1) - runs.log_partition)
    cells = _by_cells(risk, temperature, runs)
    return [judged(risk, outputs, free), *([] if cells is None else [cells])]


def judged(risk: RowRisk, outputs: np.ndarray, free: np.ndarray) -> UpperBound:
    """Return loss(mean outputs) + mean free over runs, with the jackknife's error."""
    count = len(free)
    means = [np.delete(outputs, r, 0).mean(0) for r in range(count)]
    all_means = np.stack([*means, outputs.mean(0)])
    shape = (risk.max_size, *risk.neuron.output_shape)
    z = jnp.asarray(all_means.reshape(-1, *shape), risk.inputs.dtype)
    losses = np.asarray(_mean_loss(risk, z)[0], np.float64)
    values = losses[:-1] + np.array([np.delete(free, r).mean() for r in range(count)])
    error = math.sqrt(
        (count - 1) / count * float(np.sum((values - values.mean()) ** 2))
    )
    value = float(losses[-1] + free.mean())
    return UpperBound(value, error, count - 1, all_means[-1].reshape(shape))


def _both(bounds: list[UpperBound]) -> UpperBound:
    """Return the mean of two bounds by disjoint runs."""
    value = float(np.mean([bound.value for bound in bounds]))
    error = math.hypot(*(bound.error for bound in bounds)) / 2
    outputs = np.mean([bound.outputs for bound in bounds], axis=0)
    return UpperBound(value, error, sum(bound.freedom for bound in bounds), outputs)


def _by_cells(
    risk: RowRisk,
    temperature: float,
    runs: LocalRuns,
) -> UpperBound | None:
    """Choose the shares of cells on half of the runs and judge them on the other half, both ways."""
    used = np.flatnonzero((runs.masses > 0).all(0))
    if len(used) < 2:
        return None
    masses = runs.masses[:, used]
    outputs = runs.outputs[:, used] / masses[:, :, None, None]
    outputs = outputs.reshape(len(masses), len(used), -1)
    # of a cell, without log l: e_k - log Z^(A_k)
    log_partitions = runs.log_partition[:, None] + np.log(masses)
    costs = runs.exponents[:, used] / masses - log_partitions
    halves = (np.arange(0, RUNS, 2), np.arange(1, RUNS, 2))
    bounds = []
    for chooser, judge in (halves, halves[::-1]):
        shares = _best_shares(
            risk,
            temperature,
            outputs[chooser].mean(0),
            costs[chooser].mean(0),
            np.log(masses[chooser].mean(0)),
        )
        mixed = np.tensordot(outputs[judge], shares, axes=(1, 0))
        paid = costs[judge] @ shares + shares @ _logs(shares)
        bounds.append(judged(risk, mixed, temperature * paid))
    return _both(bounds)


def _logs(shares: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(shares, np.finfo(float).tiny))


def _best_shares(
    risk: RowRisk,
    temperature: float,
    outputs: np.ndarray,
    costs: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """Return the shares l of cells that minimise loss(sum_k l_k z_k) + T (sum_k l_k costs_k - entropy), convex in l."""
    from scipy.optimize import minimize

    shape = (1, risk.max_size, *risk.neuron.output_shape)
    per_row = outputs.shape[1] // risk.max_size
    weights = np.repeat(
        np.asarray(risk.row_weights(), np.float64) / float(risk.size), per_row
    )

    def objective(logits: np.ndarray) -> tuple[float, np.ndarray]:
        shares = normalised(logits)
        z = jnp.asarray((shares @ outputs).reshape(shape), risk.inputs.dtype)
        loss, slopes = _mean_loss(risk, z)
        paid = temperature * (costs + _logs(shares))
        slope = (
            outputs @ (weights * np.asarray(slopes[0], np.float64).reshape(-1)) + paid
        )
        return float(loss[0]) + float(shares @ paid), shares * (slope - shares @ slope)

    return normalised(
        minimize(
            objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}
        ).x
    )
