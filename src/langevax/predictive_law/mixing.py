"""Mixing distributions of latent parameters on a grid: maximum likelihood as the limit of a weak entropy.

Rows x_i have parameters theta_i of their own, drawn from a law q. With c_i the number of times that row i occurs and
q_0 a law of the points,

    minimise  -sum_i c_i log sum_k q_k p(x_i | theta_k) + entropy KL(q || q_0)

is the law at a share of 0 of Bayes where entropy is 1, and tends to the nonparametric maximum likelihood estimate
(Kiefer and Wolfowitz 1956; on a grid Koenker and Mizera 2014) where it tends to 0. Newton's steps on the dual follow
the optimum from a large entropy down. For any q, with n = sum_i c_i, the log likelihood of no law on the points is
above that of q by more than n log max_k (1 / n) sum_i c_i p_ik / z_i, by Jensen's inequality.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from langevax import checks
from langevax._typing import PyTree
from langevax.predictive_law.dual import exact_tilt
from langevax.problems.blocks import tree_as_rows
from langevax.renamed import refuse_former


@dataclass(frozen=True, repr=False)
class MixingDistribution:
    """A law on points of the parameters, from which each row has drawn its own."""

    support: PyTree[np.ndarray]
    """The points."""
    masses: Float[np.ndarray, " point"]
    """Of each point; they add up to 1."""
    log_likelihood: float
    """sum_i c_i log sum_k q_k p(x_i | theta_k), in nats."""
    shortfall: float
    """Nats by which the log likelihood of another law on these points may be higher, at most."""
    entropy: float
    num_rows: float
    """Copies counted."""
    row_log_likelihood: Callable[[Any, Any], Any]

    def __repr__(self) -> str:
        below = f"at most {self.shortfall:.2g} nats below that of any law on these {len(self.masses):,} points"
        lines = [
            f"log likelihood {self.log_likelihood:.3f} of {self.num_rows:,.0f} rows, {below}"
        ]
        if self._single is not None:
            groups = zip(*self.groups(), strict=True)
            lines += [f"{mass:7.2%} around {mean:.4g}" for mean, mass in groups]
        return "\n".join(lines)

    @property
    def _single(self) -> np.ndarray | None:
        """Points of one parameter; None where they have several numbers."""
        first, *others = jax.tree.leaves(self.support)
        return None if others or np.ndim(first) != 1 else np.asarray(first, np.float64)

    def groups(self, least: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
        """Return means and masses of the groups of one parameter, which have a tenth of their height between them.

        Groups of at most the `least` mass are left out. Raises ValueError for points of several numbers.
        """
        points = self._single
        if points is None:
            raise ValueError(
                "groups are those of one parameter, but support has several; use support and masses."
            )
        from scipy.signal import find_peaks

        order = np.argsort(points)
        masses = self.masses[order]
        lowest = np.finfo(float).tiny
        logs = np.log(np.maximum(masses, lowest))
        valley = np.log(10)
        edges = np.pad(logs, 1, constant_values=np.log(lowest) - valley)
        peaks = find_peaks(edges, prominence=valley)[0] - 1
        valleys = [a + int(np.argmin(logs[a:b])) for a, b in itertools.pairwise(peaks)]
        starts = [0, *valleys]
        sums = np.add.reduceat(masses, starts)
        means = np.add.reduceat(masses * points[order], starts) / sums
        return means[sums > least], sums[sums > least]

    def posterior(self, new: PyTree) -> Float[np.ndarray, "row point"]:
        """Return the probability of each point for each row, by Bayes' theorem with this law as the prior."""
        logs = self._weighted(new)
        return np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))

    @refuse_former
    def posterior_mean(self, new: PyTree) -> PyTree[np.ndarray]:
        """Return E[theta | row] for each row, the best guess of its own parameter in squared error.

        That of a function of the parameter is `posterior(new)` times its values at the points.
        """
        probabilities = self.posterior(new)
        return jax.tree.map(
            lambda a: np.tensordot(probabilities, np.asarray(a), axes=1), self.support
        )

    def log_score(self, new: PyTree) -> Float[np.ndarray, " row"]:
        """Return log sum_k q_k p(row | theta_k) of new rows."""
        return np.logaddexp.reduce(self._weighted(new), axis=1)

    def _weighted(self, new: PyTree) -> Float[np.ndarray, "row point"]:
        with np.errstate(divide="ignore"):
            logs = _table(self.row_log_likelihood, self.support, new, "new").T + np.log(
                self.masses
            )
        if np.isneginf(logs).all(axis=1).any():
            row = int(np.argmax(np.isneginf(logs).all(axis=1)))
            raise ValueError(
                f"row {row} of new is impossible at all points; pass a wider support when fitting."
            )
        return logs


def mixing_distribution(
    log_likelihood: Callable[[Any, Any], Any],
    data: PyTree,
    support: PyTree,
    *,
    counts: ArrayLike | None = None,
    log_prior: Callable[[Any], Any] | None = None,
    entropy: float = 1e-3,
) -> MixingDistribution:
    """Return the law on `support` from which the rows' own parameters were drawn, by maximum likelihood.

    For many rows with a parameter each (rates of policies, abilities of players, effects of genes), of which the law
    is as unknown as they are. `posterior_mean` is the empirical Bayes estimate of each. Deterministic, in double
    precision.

    Args:
        log_likelihood: `log_likelihood(point, row)`, as `predictive` takes it.
        data: rows, an array or a pytree of arrays with one leading axis.
        support: points of the parameters with one leading axis, such as `jnp.linspace(0, 6, 601)`. Time grows with the
            square of the smaller of points and rows, times the larger.
        counts: how often each row occurs, positive; 1 by default.
        log_prior: of a point, up to a constant, the law at a large entropy; uniform by default.
        entropy: weight of KL(q || prior) in nats; 0.001 by default, which is maximum likelihood up to `shortfall`.

    Returns:
        `MixingDistribution`: `.masses`, `.groups()`, `.posterior_mean(new)`, `.log_score(new)`.

    Raises:
        TypeError, ValueError: an invalid argument; a row that is impossible at all points; too large a table.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> accidents, policies = jnp.arange(8), jnp.array([7840, 1317, 239, 42, 14, 4, 4, 1])
        >>> poisson = lambda rate, count: jax.scipy.stats.poisson.logpmf(count, rate)
        >>> rates = jnp.linspace(0, 6, 301)
        >>> law = langevax.predictive_law.mixing_distribution(poisson, accidents, rates, counts=policies)
        >>> round(law.log_likelihood, 1), [round(float(rate), 1) for rate in law.posterior_mean(accidents)[:3]]
        (-5340.7, [0.2, 0.4, 0.5])

        Simar, Annals of Statistics 1976, has these accidents.
    """
    checks.function("log_likelihood", log_likelihood, "(point, row)")
    checks.function("log_prior", log_prior, "(point)", optional=True)
    checks.number("entropy", entropy, positive=True)
    logs = _table(log_likelihood, support, data, "data")
    num_points, num_rows = logs.shape
    repeats = np.ones(num_rows) if counts is None else _repeats(counts, num_rows)
    largest = logs.max(axis=0)
    if np.isneginf(largest).any():
        raise ValueError(
            f"row {int(np.argmin(largest))} of data is impossible at all points of support; pass a wider support."
        )
    prior = np.zeros(num_points)
    if log_prior is not None:
        prior = _log_prior(log_prior, support, num_points)
    prior = prior - np.logaddexp.reduce(prior)
    ratios = np.exp(logs - largest)
    total = repeats.sum()
    masses = _masses(ratios, prior, repeats, entropy)
    outputs = masses @ ratios
    slack = float(np.max(ratios @ (repeats / outputs))) / total
    return MixingDistribution(
        jax.tree.map(np.asarray, support),
        masses,
        float(repeats @ (np.log(outputs) + largest)),
        float(total * np.log(max(1.0, slack))),
        float(entropy),
        float(total),
        log_likelihood,
    )


def _repeats(counts: ArrayLike, num_rows: int) -> Float[np.ndarray, " row"]:
    repeats = checks.real_array("counts", counts)
    if repeats.shape != (num_rows,) or not np.all((repeats > 0) & np.isfinite(repeats)):
        raise ValueError(
            f"counts must be a positive number for each of {num_rows} rows; drop rows that do not occur."
        )
    return repeats


def _log_prior(
    log_prior: Callable[[Any], Any], support: PyTree, num_points: int
) -> Float[np.ndarray, " point"]:
    with jax.enable_x64():
        prior = np.asarray(jax.vmap(log_prior)(jax.tree.map(_wide, support)), float)
    if prior.shape != (num_points,) or not np.all(np.isfinite(prior)):
        raise ValueError(
            "log_prior must return a finite scalar at every point; leave out points without density."
        )
    return prior


def _masses(
    ratios: np.ndarray,
    log_prior: np.ndarray,
    repeats: np.ndarray,
    entropy: float,
    hot: float = 4.0,
    cooling: float = 0.77,
) -> np.ndarray:
    """Return the optimum's masses, followed from an entropy `hot` times the number of rows, by a factor a step."""
    now = hot * repeats.sum()
    tilt = repeats / now / (np.exp(log_prior) @ ratios)
    while True:
        now = max(entropy, now)
        tilt, masses = exact_tilt(ratios, log_prior, tilt, repeats / now)
        if now == entropy:
            return masses
        now *= cooling


def _table(
    log_likelihood: Callable,
    support: PyTree,
    data: PyTree,
    name: str,
    most: int = 2**27,
) -> Float[np.ndarray, "point row"]:
    """Return the log likelihood of every row at every point, in double precision: at most so many numbers, 1 GB."""
    support = checks.arrays("support", support)
    rows = tree_as_rows(name, data)
    checks.finite("support", support, remedy="pass finite points")
    num_points = checks.leading_axis("support", support)
    num_rows = checks.leading_axis(name, rows)
    if num_points * num_rows > most:
        raise ValueError(
            f"{num_points:,} points of support and {num_rows:,} rows make too large a table; merge equal rows by "
            "counts, or pass fewer points."
        )

    def one(point: Any, row: Any) -> Any:
        return checks.scalar(
            "log_likelihood",
            log_likelihood(point, row),
            "sum over the entries of a row",
        )

    with jax.enable_x64(), jax.numpy_dtype_promotion("standard"):
        points, wide = (jax.tree.map(_wide, tree) for tree in (support, rows))
        logs = np.asarray(
            jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(points, wide),
            np.float64,
        )
    if np.isnan(logs).any() or np.isposinf(logs).any():
        point, row = np.argwhere(np.isnan(logs) | np.isposinf(logs))[0]
        raise ValueError(
            f"log_likelihood is {logs[point, row]} at point {point} of support and row {row} of {name}; return a "
            "finite number, or -inf where the row is impossible."
        )
    return logs


def _wide(array: ArrayLike) -> jax.Array:
    """Return numbers in double precision; whole numbers stay whole."""
    array = np.asarray(array)
    return jnp.asarray(
        array, np.float64 if np.issubdtype(array.dtype, np.floating) else array.dtype
    )
