"""Functions through the values of curves: splines where curves are observed densely, a regression elsewhere."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from langevax import spaces
from langevax.sklearn.inputs.curve_values import CurvesAtTimes
from langevax.sklearn.parameters import Auto
from langevax.sklearn.saved import saved_class
from langevax.spaces import GaussianPrior

NOISE_RATIOS = np.logspace(-9, 1, 21)
"""Variances of the noise over that of the curve; the first is negligible."""
LENGTH_SCALES = 0.05 * 2.0 ** np.arange(6)
"""Of the law of curves, in units of the domain."""


@saved_class
class Interpolation:
    """The spline through all values: cubic, or quintic for derivatives, which then converge as the grid is refined."""

    def __call__(
        self,
        groups: list[CurvesAtTimes],
        points: np.ndarray,
        derivative: int,
    ) -> np.ndarray:
        """Return derivatives (n, points) float64 of a channel, rows in the order of the curves."""
        from scipy.interpolate import make_interp_spline

        values = np.empty((sum(len(group.rows) for group in groups), len(points)))
        for group in groups:
            degree = min(3 if derivative == 0 else 5, len(group.times) - 1)
            spline = make_interp_spline(group.times, group.values.T, k=degree)
            values[group.rows] = spline(points, nu=derivative).T
        return values


@saved_class
@dataclass(frozen=True)
class Regression:
    """The mean of the posterior of a Gaussian law of curves, by `spaces.regress`.

        v_j = m(t_j) + f(t_j) + noise e_j,      f ~ Matern of two derivatives,  e_j ~ N(0, 1)

    The law is learned from all curves together: mean m by pooled regression; length scale, variance and noise at the
    maximum of the marginal likelihood over a grid. Its basis are cosines of a wider domain, so that it is stationary on
    the domain of the curves.
    """

    prior: GaussianPrior
    mean: np.ndarray
    """(M,) coefficients of m on the prior's basis."""
    noise: float
    exact: bool
    """Whether the noise is negligible."""

    @classmethod
    def learn(
        cls,
        groups: list[CurvesAtTimes],
        domain: tuple[float, float],
        noise: float | Auto | None,
        num_cosines: int,
    ) -> "Regression":
        """Learn the law; `noise` is its standard deviation, "auto" learns it too, None is negligible noise."""
        left, right = domain
        length = right - left
        wide = left - length / 2, right + length / 2  # ends of cosines are flat
        basis = spaces.Cosine(num_cosines, num_cosines, wide)
        pooled = np.concatenate([group.values.ravel() for group in groups])
        deviation = float(np.std(pooled)) or 1.0
        mean = _pooled_mean(groups, basis, length, float(np.mean(pooled)), deviation)
        best = np.inf, float(LENGTH_SCALES[-1]), deviation**2, float(NOISE_RATIOS[0])
        residuals = _residuals(groups, basis, mean, deviation)
        for scale in LENGTH_SCALES.tolist():
            spectrum = _matern(basis, scale * length)
            best = min(
                best, *_likelihoods(residuals, basis, spectrum, scale, noise, deviation)
            )
        _, scale, variance, ratio = best
        prior = GaussianPrior(basis, variance * _matern(basis, scale * length))
        return cls(
            prior,
            mean,
            float(np.sqrt(variance * ratio)),
            bool(ratio <= NOISE_RATIOS[0]),
        )

    def __call__(
        self,
        groups: list[CurvesAtTimes],
        points: np.ndarray,
        derivative: int,
    ) -> np.ndarray:
        coefficients = np.empty(
            (sum(len(group.rows) for group in groups), self.prior.num_modes)
        )
        for group in groups:
            at_times = functions(self.prior.basis, group.times)
            with jax.enable_x64():
                deviations = spaces.regress(
                    self.prior,
                    group.times,
                    group.values - at_times @ self.mean,
                    self.noise,
                )
            coefficients[group.rows] = self.mean + np.asarray(deviations)
        return coefficients @ _cosines(self.prior.basis, points, derivative).T


def functions(basis: spaces.Basis, points: np.ndarray) -> np.ndarray:
    """Return (points, N) float64."""
    with jax.enable_x64():
        return np.asarray(basis.evaluate(points), np.float64)


def gauss_nodes(edges: np.ndarray, per_cell: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return (nodes, weights of sum 1) of Gauss and Legendre in each cell.

    >>> nodes, weights = gauss_nodes(np.array([0.0, 0.5, 2.0]))
    >>> round(float(nodes**5 @ weights), 6)  # 1/2 the integral of t^5 over [0, 2]
    5.333333
    """
    from scipy.special import roots_legendre

    roots, weights = roots_legendre(per_cell)
    widths = np.diff(edges)
    nodes = (edges[:-1] + edges[1:])[:, None] / 2 + widths[:, None] / 2 * roots
    return nodes.ravel(), (widths[:, None] * weights / 2).ravel() / (
        edges[-1] - edges[0]
    )


def _matern(basis: Any, length_scale: float) -> np.ndarray:
    """Return the spectrum of a law of curves with two derivatives, whose regression is a quintic spline's."""
    return spaces.spectra.matern(basis, 2.5, length_scale)


def _cosines(basis: Any, points: np.ndarray, derivative: int) -> np.ndarray:
    """Return (points, M) derivatives: those of cosines are cosines a quarter of a period further."""
    w = basis.frequencies
    angles = (points[:, None] - basis.domain[0]) * w + derivative * np.pi / 2
    return np.where(w > 0, np.sqrt(2), 1.0) * w**derivative * np.cos(angles)


def _pooled_mean(
    groups: list[CurvesAtTimes],
    basis: Any,
    length: float,
    level: float,
    deviation: float,
) -> np.ndarray:
    prior = GaussianPrior(basis, deviation**2 * _matern(basis, 0.25 * length))
    times = np.concatenate([group.times for group in groups])
    values = np.concatenate([group.values.mean(0) - level for group in groups])
    noise = np.concatenate(
        [
            np.full(len(group.times), deviation / np.sqrt(len(group.rows)))
            for group in groups
        ]
    )
    with jax.enable_x64():
        mean = np.array(spaces.regress(prior, times, values, noise), np.float64)
    mean[0] += level
    return mean


def _residuals(
    groups: list[CurvesAtTimes],
    basis: Any,
    mean: np.ndarray,
    deviation: float,
    most_groups: int = 200,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (functions at the times, standardised residuals (r, G)) of groups spread over the sample."""
    chosen = groups[:: -(-len(groups) // most_groups)]
    tables = [functions(basis, group.times) for group in chosen]
    return [
        (table, (group.values - table @ mean) / deviation)
        for table, group in zip(tables, chosen, strict=True)
    ]


def _likelihoods(
    residuals: list[tuple[np.ndarray, np.ndarray]],
    basis: Any,
    spectrum: np.ndarray,
    scale: float,
    noise: float | Auto | None,
    deviation: float,
) -> list[tuple[float, float, float, float]]:
    """Return (-2 log likelihood, length scale, variance, noise ratio) of each ratio, a free variance at its maximum."""
    ratios = NOISE_RATIOS if noise is not None else NOISE_RATIOS[:1]
    count = 0
    logdet = np.zeros(len(ratios))
    energy = np.zeros(len(ratios))
    for table, values in residuals:
        eigenvalues, energies = _spectral(table * np.sqrt(spectrum), values)
        rest = table.shape[0] - len(eigenvalues)
        outside = max(np.sum(values**2) - np.sum(energies), 0.0)
        variances = eigenvalues[:, None] + ratios
        count += values.size
        logdet += len(values) * (np.log(variances).sum(0) + rest * np.log(ratios))
        energy += (energies[:, None] / variances).sum(0) + outside / ratios
    variance = np.maximum(energy / count, 1e-12)
    if noise is not None and not isinstance(noise, str):
        variance = (noise / deviation) ** 2 / ratios
    scores = energy / variance + count * np.log(variance) + logdet
    return [
        (float(score), scale, float(v) * deviation**2, float(ratio))
        for score, v, ratio in zip(scores, variance, ratios, strict=True)
    ]


def _spectral(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues > 0 of `rows @ rows.T`, and sums of squares of the values (r, G) along their vectors."""
    vectors, roots, _ = np.linalg.svd(rows, full_matrices=False)
    nonzero = roots > 1e-7 * roots[0]
    along = values @ vectors[:, nonzero]
    return roots[nonzero] ** 2, np.sum(along**2, axis=0)
