"""From users' curves to functions: tables, several channels, pairs (t, x) and scikit-fda's objects.

Curves observed at the same times form one group, whose values are a matrix: a table is one group, curves with times of
their own are one group each. Functions through the values are splines where curves are observed densely, and a
regression where observations are few or noisy. Both return the d-th derivative of each curve at any points of the
domain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import ArrayLike

from langevax import spaces
from langevax.sklearn.parameters import Auto
from langevax.sklearn.persistence import saved_class
from langevax.spaces import GaussianPrior

Missing = Literal["error", "interpolate"]
AnyCurves = Any
"""Curves in the forms that `read_curves` accepts."""

LARGEST = 1e150  # value whose square is a number
FINE = (
    501  # points at which a curve by a formula (scikit-fda's FDataBasis) is evaluated
)
REMEDY = "fill the gaps, or pass missing='interpolate'"
SMOOTHNESS = 2.5  # of the Matern law of curves: two derivatives, and its regression is a quintic spline's
LENGTH_SCALES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # of the domain
NOISE_RATIOS = np.logspace(
    -9, 1, 21
)  # variance of the noise over that of the curve; the first is negligible
MARGIN = 0.5  # of the domain, on either side: where the cosines of the law have their flat ends
LEAST_MODES = 128
MOST_CURVES = 200  # from which the law is learned, where each has times of its own


@dataclass(frozen=True)
class CurvesAtTimes:
    """Curves of one channel observed at the same times."""

    times: np.ndarray
    """(G,) increasing."""
    values: np.ndarray
    """(r, G) float64."""
    rows: np.ndarray
    """(r,) indices of the curves."""


@dataclass(frozen=True)
class ObservedCurves:
    """n curves: the groups of each channel, which together hold every curve once."""

    channels: list[list[CurvesAtTimes]]
    size: int

    @property
    def grid(self) -> np.ndarray | None:
        """Return (G,) where all curves and channels were observed at the same times."""
        first = self.channels[0][0].times
        same = all(
            len(groups) == 1 and np.array_equal(groups[0].times, first)
            for groups in self.channels
        )
        return first if same else None

    @property
    def range(self) -> tuple[float, float]:
        """Return the first and the last time of all."""
        times = [group.times for groups in self.channels for group in groups]
        return float(min(t[0] for t in times)), float(max(t[-1] for t in times))

    def check_size(self) -> None:
        """Raise where squares of the values are beyond the range of numbers, infinite or 0."""
        largest = max(
            float(np.abs(group.values).max())
            for groups in self.channels
            for group in groups
        )
        if largest > LARGEST or 0 < largest < 1 / LARGEST:
            raise ValueError(
                f"the largest value of X is {largest:.3g}, whose square no number represents; divide all curves by it."
            )

    @property
    def num_readings(self) -> int:
        """Return how many readings a channel of a curve has, the median."""
        groups = [group for channel in self.channels for group in channel]
        return int(
            np.median(
                np.repeat(
                    [len(group.times) for group in groups],
                    [len(group.rows) for group in groups],
                )
            )
        )


def read_curves(
    X: AnyCurves,
    grid: ArrayLike | None,
    channels: int,
    missing: Missing,
    validated: Callable[[Any], np.ndarray],
) -> ObservedCurves:
    """Return curves of any form; `validated` is scikit-learn's validation of tables.

    Args:
        X: (n, G), (n, channels G) or (n, channels, G) numbers on `grid`; a list of tuples (t, x) with t (m,) and x
            (m,) or (channels, m), or of tuples ((t_1, x_1), ...) of one pair a channel; an object of scikit-fda.
        grid: (G,) increasing; None for G even steps from 0 to 1.
        channels: of each curve.
        missing: refuse NaN, or drop it and interpolate where a table needs a value.

    Raises:
        ValueError: a grid that does not increase or has another length, another number of channels, NaN or infinity,
            a curve without a value.

    >>> table = read_curves([[1.0, 2.0, 4.0]], None, 1, "error", np.asarray)
    >>> table.grid, table.channels[0][0].values
    (array([0. , 0.5, 1. ]), array([[1., 2., 4.]]))
    >>> read_curves([([0.0, 0.3], [1.0, 2.0]), ([0.1], [3.0])], None, 1, "error", np.asarray).range
    (0.0, 0.3)
    """
    if hasattr(X, "to_grid") and hasattr(
        X, "domain_range"
    ):  # of scikit-fda, with or without a grid of its own
        if hasattr(X, "start_indices"):  # FDataIrregular
            return _of_pairs(_pairs(X), channels, missing)
        if not hasattr(X, "data_matrix"):
            left, right = X.domain_range[0]
            X = X.to_grid(np.linspace(left, right, FINE))
        return _of_fda_grid(X, channels, missing)
    if (
        isinstance(X, list | tuple)
        and len(X)
        and all(isinstance(curve, tuple) and len(curve) > 0 for curve in X)
    ):
        return _of_pairs(X, channels, missing)
    if isinstance(X, list | tuple) and _ragged(X):
        raise ValueError(
            "X holds curves of different lengths without times; pass a list of tuples (t, x)."
        )
    return _of_table(validated(X), grid, channels, missing)


def windows(num_parts: int, places: np.ndarray) -> np.ndarray:
    """Return (parts, places): smooth windows around evenly spaced centres of [0, 1], of sum 1 at every place.

    Example:
        >>> windows(3, np.array([0.0, 0.125, 0.5])).round(2)
        array([[1.  , 0.85, 0.  ],
               [0.  , 0.15, 1.  ],
               [0.  , 0.  , 0.  ]])
    """
    distances = np.abs(np.linspace(0, 1, num_parts)[:, None] - places) * (num_parts - 1)
    return np.cos(np.pi / 2 * np.minimum(distances, 1)) ** 2


def increasing(name: str, grid: Any) -> np.ndarray:
    """Return (G,) float64; raise unless finite and increasing."""
    grid = np.asarray(grid, np.float64)
    if grid.ndim != 1 or len(grid) == 0:
        raise ValueError(
            f"{name} must be numbers of shape (G,), G >= 1, got shape {grid.shape}."
        )
    bad = np.flatnonzero(~(np.isfinite(grid[1:]) & (np.diff(grid) > 0)))
    if len(bad) or not np.isfinite(grid[0]):
        j = int(bad[0]) if len(bad) else 0
        raise ValueError(
            f"{name} must be finite and increasing, but goes {grid[j : j + 2].tolist()} at place {j}; sort the times, "
            "and the values with them, and merge values of equal times."
        )
    return grid


def _of_table(
    table: np.ndarray, grid: Any, channels: int, missing: Missing
) -> ObservedCurves:
    if table.ndim == 3:
        if table.shape[1] != channels:
            raise ValueError(
                f"X has {table.shape[1]} channels, (n, channels, G) = {table.shape}, but channels={channels}."
            )
        values = table
    elif table.shape[1] % channels:
        raise ValueError(
            f"X has {table.shape[1]} columns, which channels={channels} does not divide."
        )
    else:
        values = table.reshape(len(table), channels, -1)
    num_points = values.shape[-1]
    if grid is None:
        grid = np.linspace(0, 1, num_points) if num_points > 1 else np.array([0.5])
    grid = increasing("grid", grid)
    if len(grid) != num_points:
        raise ValueError(
            f"grid has {len(grid)} points, but the curves have {num_points} values in each of {channels} channels; "
            "pass one time for each value."
        )
    return _on_grid(grid, values, missing)


def _on_grid(grid: np.ndarray, values: np.ndarray, missing: Missing) -> ObservedCurves:
    """Return one group a channel, of values (n, channels, G)."""
    values = np.array(values, np.float64)
    for i, c in np.argwhere(~np.isfinite(values).all(-1)):
        values[i, c] = _filled(grid, values[i, c], missing, int(i))
    rows = np.arange(len(values))
    return ObservedCurves(
        [[CurvesAtTimes(grid, values[:, c], rows)] for c in range(values.shape[1])],
        len(values),
    )


def _filled(
    grid: np.ndarray, curve: np.ndarray, missing: Missing, row: int
) -> np.ndarray:
    """Fill NaN by monotone cubics between the values, and by the nearest value beyond them."""
    from scipy.interpolate import PchipInterpolator

    present = _present(grid, curve, missing, row)
    if present.sum() == 1:
        return np.full_like(curve, curve[present][0])
    times = grid[present]
    return PchipInterpolator(times, curve[present])(np.clip(grid, times[0], times[-1]))


def _present(
    times: np.ndarray, curve: np.ndarray, missing: Missing, row: int
) -> np.ndarray:
    """Return where there is a value; raise for infinity, forbidden NaN, and a curve without a value."""
    present = ~np.isnan(curve)
    if np.isinf(curve).any() or (missing == "error" and not present.all()):
        place = int(np.flatnonzero(~np.isfinite(curve))[0])
        raise ValueError(
            f"curve {row} of X is {curve[place]} at t={times[place]:.6g}; {REMEDY}, which accepts NaN."
        )
    if not present.any():
        raise ValueError(f"curve {row} of X has no value at all; drop it.")
    return present


def _of_pairs(pairs: Sequence[Any], channels: int, missing: Missing) -> ObservedCurves:
    parts: list[dict[bytes, list[tuple[int, np.ndarray, np.ndarray]]]] = [
        {} for _ in range(channels)
    ]
    for i, curve in enumerate(pairs):
        for c, (times, values) in enumerate(_channels_of(curve, channels, i)):
            times = increasing(f"t of curve {i}", times)
            if values.shape != times.shape:
                raise ValueError(
                    f"curve {i} has {len(times)} times but values of shape {values.shape}; pass tuples (t, x) of one "
                    "value for each time."
                )
            present = _present(times, values, missing, i)
            times, values = times[present], values[present]
            parts[c].setdefault(times.tobytes(), []).append((i, times, values))
    groups = [
        [
            CurvesAtTimes(
                same[0][1],
                np.stack([values for _, _, values in same]),
                np.array([i for i, _, _ in same]),
            )
            for same in by_times.values()
        ]
        for by_times in parts
    ]
    return ObservedCurves(groups, len(pairs))


def _channels_of(
    curve: tuple[Any, ...], channels: int, row: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (t, x) of each channel."""
    if isinstance(curve[0], tuple):
        pairs = [
            (np.asarray(t, np.float64), np.asarray(x, np.float64)) for t, x in curve
        ]
    elif len(curve) == 2:
        times, values = (
            np.asarray(curve[0], np.float64),
            np.asarray(curve[1], np.float64),
        )
        pairs = [
            (times, channel)
            for channel in (values[None] if values.ndim == 1 else values)
        ]
    else:
        raise ValueError(
            f"curve {row} is a tuple of {len(curve)} entries; pass tuples (t, x)."
        )
    if len(pairs) != channels:
        raise ValueError(
            f"curve {row} of X has {len(pairs)} channels, but channels={channels}; set channels to it."
        )
    return pairs


def _of_fda_grid(X: Any, channels: int, missing: Missing) -> ObservedCurves:
    if len(X.grid_points) != 1:
        raise ValueError(
            f"X holds functions of {len(X.grid_points)} variables; encode them by SurfaceCoefficients, from arrays."
        )
    values = np.moveaxis(np.asarray(X.data_matrix, np.float64), -1, 1)
    if values.shape[1] != channels:
        raise ValueError(
            f"X has {values.shape[1]} channels (its codomain), but channels={channels}; set channels to it."
        )
    return _on_grid(increasing("grid_points of X", X.grid_points[0]), values, missing)


def _pairs(X: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (t, x) of each curve of scikit-fda's FDataIrregular."""
    if np.shape(X.points)[1] != 1:
        raise ValueError(
            f"X holds functions of {np.shape(X.points)[1]} variables; pass curves."
        )
    times, values = (
        np.asarray(X.points, np.float64)[:, 0],
        np.asarray(X.values, np.float64),
    )
    cuts = np.asarray(X.start_indices)[1:]
    return [
        (t, x.T)
        for t, x in zip(np.split(times, cuts), np.split(values, cuts), strict=True)
    ]


def _ragged(X: Sequence[Any]) -> bool:
    return (
        len(
            {
                np.shape(curve)[0]
                for curve in X
                if isinstance(curve, list | np.ndarray) and np.ndim(curve) == 1
            }
        )
        > 1
    )


@saved_class
class Interpolation:
    """The spline through all values: cubic, or quintic for derivatives, which then converge as the grid is refined."""

    def __call__(
        self, groups: list[CurvesAtTimes], points: np.ndarray, derivative: int
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
        num_modes: int,
    ) -> "Regression":
        """Learn the law; `noise` is its standard deviation, "auto" learns it too, None is negligible noise."""
        left, right = domain
        length, margin = right - left, MARGIN * (right - left)
        num_cosines = max(LEAST_MODES, 4 * num_modes)
        basis = spaces.Cosine(num_cosines, num_cosines, (left - margin, right + margin))
        pooled = np.concatenate([group.values.ravel() for group in groups])
        deviation = float(np.std(pooled)) or 1.0
        mean = _pooled_mean(groups, basis, length, float(np.mean(pooled)), deviation)
        best = np.inf, LENGTH_SCALES[-1], deviation**2, float(NOISE_RATIOS[0])
        residuals = _residuals(groups, basis, mean, deviation)
        for scale in LENGTH_SCALES:
            spectrum = spaces.spectra.matern(basis, SMOOTHNESS, scale * length)
            best = min(
                best, *_likelihoods(residuals, basis, spectrum, scale, noise, deviation)
            )
        _, scale, variance, ratio = best
        prior = GaussianPrior(
            basis, variance * spaces.spectra.matern(basis, SMOOTHNESS, scale * length)
        )
        return cls(
            prior,
            mean,
            float(np.sqrt(variance * ratio)),
            bool(ratio <= NOISE_RATIOS[0]),
        )

    def __call__(
        self, groups: list[CurvesAtTimes], points: np.ndarray, derivative: int
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


def cells(
    curves: ObservedCurves, domain: tuple[float, float], num_modes: int
) -> np.ndarray:
    """Return edges between which splines of these curves are polynomials and the first modes are resolved."""
    even = np.linspace(*domain, max(2 * num_modes, 64) + 1)
    grid = curves.grid
    return (
        even
        if grid is None
        else np.union1d(even, grid[(grid > domain[0]) & (grid < domain[1])])
    )


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
    prior = GaussianPrior(
        basis, deviation**2 * spaces.spectra.matern(basis, SMOOTHNESS, 0.25 * length)
    )
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
    groups: list[CurvesAtTimes], basis: Any, mean: np.ndarray, deviation: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (functions at the times, standardised residuals (r, G)) of groups spread over the sample."""
    chosen = groups[:: -(-len(groups) // MOST_CURVES)]
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
    count, logdet, energy = 0, np.zeros(len(ratios)), np.zeros(len(ratios))
    for table, values in residuals:
        eigenvalues, energies = _spectral(table * np.sqrt(spectrum), values)
        rest, outside = (
            table.shape[0] - len(eigenvalues),
            max(np.sum(values**2) - np.sum(energies), 0.0),
        )
        variances = eigenvalues[:, None] + ratios
        count += values.size
        logdet += len(values) * (np.log(variances).sum(0) + rest * np.log(ratios))
        energy += (energies[:, None] / variances).sum(0) + outside / ratios
    if noise is None or isinstance(noise, str):  # noqa: SIM108
        variance = np.maximum(energy / count, 1e-12)
    else:
        variance = (noise / deviation) ** 2 / ratios
    scores = energy / variance + count * np.log(variance) + logdet
    return [
        (float(score), scale, float(v) * deviation**2, float(ratio))
        for score, v, ratio in zip(scores, variance, ratios, strict=True)
    ]


def _spectral(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues > 0 of `rows @ rows.T`, and sums of squares of the values (r, G) along their vectors."""
    num_points, num_modes = rows.shape
    gram = rows @ rows.T if num_points <= num_modes else rows.T @ rows
    eigenvalues, vectors = np.linalg.eigh(gram)
    nonzero = eigenvalues > 1e-14 * eigenvalues[-1]
    eigenvalues, vectors = eigenvalues[nonzero], vectors[:, nonzero]
    if num_points <= num_modes:
        return eigenvalues, np.sum((values @ vectors) ** 2, 0)
    return eigenvalues, np.sum(((values @ rows) @ vectors) ** 2, 0) / eigenvalues
