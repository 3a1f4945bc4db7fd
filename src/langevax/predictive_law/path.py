"""The path of predictive laws from the posterior to smaller shares of Bayes, and the choice on it.

A level starts from the cloud of the level before and moves until its in-sample score has stopped drifting; of very many
rows it does so on some of them first, and then on all. The score of a level is its leave-one-out score; the chosen
share is the largest within one standard error of the best, paired over rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float, Int

from langevax._typing import PRNGKey
from langevax.log_weights import log_mean_exp
from langevax.predictive_law.cloud import (
    MOVES_PER_BLOCK,
    Cloud,
    advance,
    first_cloud,
    square_root_of_covariance,
)
from langevax.predictive_law.law_problem import LawProblem
from langevax.predictive_law.leave_one_out import leave_one_out
from langevax.sampling.summary_table import SummaryTable

SNAPSHOTS = 4
"""Of every particle, which make up a law."""
SMALL_LAW_DRIFT = 0.001
"""Nats a row, of drift and of the gap, that are small whatever their noise."""
EQUAL = np.ones(1)
"""Weights of rows that have none."""
MANY_ROWS = 10_000
"""Rows beyond which the particles of a level settle on so many of them first."""
MOST_LOG_LIKELIHOODS = 2 * 10**7
"""Of a law (particles x rows), beyond which it has fewer snapshots."""


@dataclass(frozen=True)
class Level:
    """A law on the path: its particles, which are snapshots of the last half of the moves, and what they score."""

    bayes_share: float
    points: Float[np.ndarray, "particle d"]
    log_likelihoods: Float[np.ndarray, "particle n"]
    gap: float
    """Fenchel-Young gap of the dual against its own fixed point, nats a row."""
    num_moves: int
    drift: float
    """Change of the mean of `log_scores` between the middle of the level and its end."""
    is_converged: bool

    @property
    def log_scores(self) -> Float[np.ndarray, " n"]:
        """log z_i, in sample."""
        return log_mean_exp(self.log_likelihoods, 0)

    def fit_error(
        self, num_chains: int, weights: Float[np.ndarray, " weight"] = EQUAL
    ) -> float:
        """Standard error of the mean of `log_scores`: that over particles that move on their own, and the drift."""
        spread = np.std(
            _influences(self.log_likelihoods, num_chains, weights)
        ) / np.sqrt(num_chains)
        return float(np.hypot(spread, self.drift))


def _influences(
    log_likelihoods: Float[np.ndarray, "particle n"],
    num_chains: int,
    weights: Float[np.ndarray, " weight"],
) -> Float[np.ndarray, " chain"]:
    """Return what every chain of snapshots adds to the mean log score, to first order.

    Points of a posterior need not be as many for each chain: the last few are then left out.
    """
    ratio = over_rows(
        np.exp(log_likelihoods - log_mean_exp(log_likelihoods, 0)), weights
    )
    return (
        ratio[: len(ratio) // num_chains * num_chains]
        .reshape(-1, num_chains)
        .mean(axis=0)
        - 1
    )


def over_rows(
    values: Float[np.ndarray, "*first n"], weights: Float[np.ndarray, " weight"]
) -> np.ndarray:
    """Return means over rows, in double precision."""
    if len(weights) == 1:
        return np.asarray(np.mean(values, axis=-1, dtype=np.float64))
    return np.asarray(np.asarray(values, np.float64) @ (weights / weights.sum()))


def bayes_level(problem: LawProblem, points: Float[np.ndarray, "particle d"]) -> Level:
    """Return the posterior draws as the law with share 1."""
    return Level(1.0, points, problem.log_likelihoods(points), 0.0, 0, 0.0, True)


def run_level(
    problem: LawProblem,
    cloud: Cloud,
    bayes_share: float,
    weights: Float[np.ndarray, " n"],
    *,
    key: PRNGKey,
    fewest: int = 8,
    most: int = 32,
) -> tuple[Cloud, Level]:
    """Move the particles until fit and dual of the rows in use have settled, and return cloud and law.

    The drift of the mean log score between the middle of the level and its end has the standard error of the paired
    changes of single particles. A level ends where the drift is below two of them, and where the gap of the dual is at
    most a few times that of a dual which only has the noise of so many particles, (1-a)/2 Var(r_i) / N a row; after
    `fewest` to `most` blocks of moves.
    """
    dtype = cloud.points.dtype
    blocked = jnp.asarray(problem.in_blocks(weights.astype(dtype)))
    factor = jnp.asarray(square_root_of_covariance(np.asarray(cloud.points)))
    cloud = cloud.at_new_level()
    trail = _Trail(problem, weights)
    while True:
        cloud = advance(
            problem,
            cloud,
            jnp.asarray(bayes_share, dtype),
            blocked,
            factor,
            random.fold_in(key, len(trail.fits)),
        )
        trail.add(np.asarray(cloud.points))
        if len(trail.fits) < fewest:
            continue
        level = trail.level(cloud, bayes_share)
        if level.is_converged or len(trail.fits) == most:
            return cloud, level


class _Trail:
    """Blocks of a level: where particles were, and what the law of each block scored on the rows in use."""

    many_noises = 4
    """Of the gap that the dual of a converged law may have."""

    def __init__(self, problem: LawProblem, weights: Float[np.ndarray, " n"]):
        self.problem = problem
        self.weights = weights
        self.used = weights > 0
        in_use = weights[self.used]
        self.in_use = EQUAL if np.ptp(in_use) == 0 else in_use
        self.ends: list[np.ndarray] = []
        self.fits: list[float] = []
        self.influences: list[np.ndarray] = []
        self.tables: dict[int, np.ndarray] = {}
        """Log likelihoods of the blocks that may still be snapshots, where few."""

    def add(self, points: Float[np.ndarray, "particle d"]) -> None:
        """Add a block that ended at these points."""
        logs = self.problem.log_likelihoods(points)
        few = logs[:, self.used]
        self.tables.pop(len(self.fits) // 2 - 1, None)
        if self._num_snapshots(len(points)) == SNAPSHOTS:
            self.tables[len(self.fits)] = logs
        self.ends.append(points)
        self.fits.append(float(over_rows(log_mean_exp(few, 0), self.in_use)))
        self.influences.append(_influences(few, len(points), self.in_use))

    def _num_snapshots(self, count: int) -> int:
        return max(
            1, min(SNAPSHOTS, MOST_LOG_LIKELIHOODS // (count * self.problem.size))
        )

    def level(self, cloud: Cloud, bayes_share: float) -> Level:
        """Return the law of the last half of the blocks."""
        count = len(cloud.points)
        last = len(self.fits) - 1
        places = np.linspace(len(self.fits) // 2, last, self._num_snapshots(count))
        chosen = np.unique(places.round().astype(int))
        points = np.concatenate([self.ends[index] for index in chosen])
        logs = np.concatenate([self._table(index) for index in chosen])
        drift, error = self._drift()
        dual = np.asarray(cloud.log_means).ravel()[: self.problem.size]
        gap, noise = _gap_and_noise(logs, dual, self.weights, count)
        is_converged = drift <= max(2 * error, SMALL_LAW_DRIFT) and gap <= max(
            self.many_noises * noise, SMALL_LAW_DRIFT
        )
        return Level(
            bayes_share,
            points,
            logs,
            (1 - bayes_share) * gap,
            len(self.fits) * MOVES_PER_BLOCK,
            drift,
            is_converged,
        )

    def _table(self, index: int) -> np.ndarray:
        if index in self.tables:
            return self.tables[index]
        return self.problem.log_likelihoods(self.ends[index])

    def _drift(self) -> tuple[float, float]:
        """Return the drift between the middle and the end, and its error by paired changes of particles."""
        size = len(self.fits)
        middle = len(self.fits) // 2
        early = slice(middle, middle + middle // 2)
        late = slice(size - middle // 2, size)
        drift = abs(float(np.mean(self.fits[late]) - np.mean(self.fits[early])))
        changes = np.mean(self.influences[late], axis=0)
        changes = changes - np.mean(self.influences[early], axis=0)
        return drift, float(np.std(changes) / np.sqrt(len(changes)))


def _gap_and_noise(
    logs: Float[np.ndarray, "particle n"],
    log_means: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    count: int,
) -> tuple[float, float]:
    """Return the mean of u - 1 - log u, u_i = z_i exp(-log_means_i), and what independent particles make it."""
    used = weights > 0
    fit = log_mean_exp(logs[:, used], 0)
    excess = fit - log_means[used].astype(np.float64)
    variance = np.mean(np.exp(logs[:, used] - fit, dtype=np.float64) ** 2, axis=0) - 1
    share = weights[used] / weights.sum()
    return float(share @ (np.expm1(excess) - excess)), float(
        share @ np.minimum(variance, count)
    ) / (2 * count)


def evenly_spaced(
    points: Float[np.ndarray, "draw d"], count: int
) -> Float[np.ndarray, "particle d"]:
    """Return this many of the draws."""
    return points[np.linspace(0, len(points) - 1, count).round().astype(int)]


class FewRows(NamedTuple):
    """Rows drawn from many, with a weight that makes them stand for all: on these a level costs less to settle."""

    problem: LawProblem
    rows: Int[np.ndarray, " few"]
    weights: Float[np.ndarray, " few"]

    @classmethod
    def of(
        cls,
        problem: LawProblem,
        weights: Float[np.ndarray, " n"],
        num_particles: int,
        *,
        key: PRNGKey,
    ) -> "FewRows":
        """Draw `MANY_ROWS` of the rows with weight."""
        rows = np.sort(
            np.asarray(random.permutation(key, np.flatnonzero(weights)))[:MANY_ROWS]
        )
        chosen = weights[rows]
        return cls(
            problem.of_rows(rows, num_particles),
            rows,
            chosen * weights.sum() / chosen.sum(),
        )

    def settled(
        self,
        problem: LawProblem,
        cloud: Cloud,
        bayes_share: float,
        *,
        key: PRNGKey,
    ) -> Cloud:
        """Return the particles of the law on these rows, and the dual of all rows that they have."""
        of_all = np.asarray(cloud.log_means).ravel()
        dtype = cloud.points.dtype
        start = cloud._replace(
            log_means=jnp.asarray(self.problem.in_blocks(of_all[self.rows]))
        )
        end, level = run_level(self.problem, start, bayes_share, self.weights, key=key)
        points = evenly_spaced(
            level.points,
            min(
                len(level.points),
                max(len(end.points), MOST_LOG_LIKELIHOODS // problem.size),
            ),
        )
        log_means = log_mean_exp(problem.log_likelihoods(points), 0).astype(dtype)
        return end._replace(log_means=jnp.asarray(problem.in_blocks(log_means)))


def run_path(
    problem: LawProblem,
    draws: Float[np.ndarray, "draw d"],
    bayes_shares: Sequence[float],
    num_particles: int,
    weights: Float[np.ndarray, " n"] | None = None,
    *,
    key: PRNGKey,
    report: Callable[[Level], None] = lambda level: None,
) -> list[Level]:
    """Return the laws at these shares, the largest first; without weights the first is made of the draws themselves."""
    points = evenly_spaced(draws, num_particles)
    used = problem.row_weights if weights is None else weights
    cloud = first_cloud(
        problem, points, log_mean_exp(problem.log_likelihoods(points), 0)
    )
    few = (
        FewRows.of(problem, used, num_particles, key=key)
        if np.count_nonzero(used) > MANY_ROWS
        else None
    )
    levels = []
    for number, share in enumerate(bayes_shares):
        if share == 1 and weights is None:
            level = bayes_level(
                problem,
                evenly_spaced(draws, min(len(draws), SNAPSHOTS * num_particles)),
            )
        else:
            level_key = random.fold_in(key, number)
            if few is not None:
                cloud = few.settled(
                    problem, cloud, share, key=random.fold_in(level_key, 1)
                )
            cloud, level = run_level(problem, cloud, share, used, key=level_key)
        report(level)
        levels.append(level)
    return levels


def held_out_scores(
    problem: LawProblem,
    draws: Float[np.ndarray, "draw d"],
    bayes_shares: Sequence[float],
    num_particles: int,
    rows: np.ndarray,
    *,
    key: PRNGKey,
) -> Float[np.ndarray, "share row"]:
    """Return the log scores of `rows` under the laws of all other rows."""
    weights = problem.row_weights
    weights[rows] = 0
    levels = run_path(problem, draws, bayes_shares, num_particles, weights, key=key)
    return np.stack([level.log_scores[rows] for level in levels])


@dataclass(frozen=True, repr=False)
class PredictivePath:
    """The misspecification curve: scores of the laws against their share of Bayes, in nats a row.

    Flat means that the model is right, as far as the prediction of single rows can show it.
    """

    many_parameters = 5
    """Fewer rows than this for each effective parameter are confirmed by refits."""

    bayes_share: Float[np.ndarray, " share"]
    fit: Float[np.ndarray, " share"]
    """Mean log score of the training rows, in sample."""
    fit_error: Float[np.ndarray, " share"]
    """Its standard error over particles."""
    loo: Float[np.ndarray, " share"]
    """Mean leave-one-out log score, in closed form."""
    held_out: Float[np.ndarray, " share"]
    """Mean log score of rows that refits left out; nan where nothing was refitted."""
    gain: Float[np.ndarray, " share"]
    """Over Bayes, of the scores that the choice was made by."""
    gain_error: Float[np.ndarray, " share"]
    """Standard error of `gain`: paired over rows, and that over particles."""
    p_eff: Float[np.ndarray, " share"]
    """Effective number of parameters."""
    gap: Float[np.ndarray, " share"]
    """Of the dual against its own fixed point; it says nothing of modes that no particle has visited."""
    num_moves: np.ndarray
    is_converged: np.ndarray
    scores: Float[np.ndarray, "share n"]
    """Of every row, those that the choice was made by."""
    weights: Float[np.ndarray, " weight"] = field(default_factory=lambda: EQUAL)
    """Of the rows, in means over them; a single one where all are equal."""

    @classmethod
    def of(
        cls,
        levels: Sequence[Level],
        num_particles: int,
        held_out: Float[np.ndarray, "share n"] | None = None,
        weights: Float[np.ndarray, " weight"] = EQUAL,
    ) -> "PredictivePath":
        """Return the curve of the levels; refits, where there are any, replace the closed form in the choice."""
        left_out = [
            leave_one_out(level.log_likelihoods, level.bayes_share, weights)
            for level in levels
        ]
        loo = np.stack([one.scores for one in left_out])
        scores = loo if held_out is None else held_out
        errors = np.array(
            [
                level.fit_error(min(num_particles, len(level.points)), weights)
                for level in levels
            ]
        )
        return cls(
            bayes_share=np.array([level.bayes_share for level in levels]),
            fit=np.array([over_rows(level.log_scores, weights) for level in levels]),
            fit_error=errors,
            loo=over_rows(loo, weights),
            held_out=np.full(len(levels), np.nan)
            if held_out is None
            else over_rows(held_out, weights),
            gain=over_rows(scores - scores[0], weights),
            gain_error=_errors_against_bayes(scores, errors, weights),
            p_eff=np.array([one.p_eff for one in left_out]),
            gap=np.array([level.gap for level in levels]),
            num_moves=np.array([level.num_moves for level in levels]),
            is_converged=np.array([level.is_converged for level in levels]),
            scores=scores,
            weights=weights,
        )

    @property
    def chosen(self) -> int:
        """Index of the largest share whose score is within one standard error of the best.

        The noise of particles is part of that error, unless the law of the share has not settled: it would be chosen
        for how little is known of it.
        """
        means = over_rows(self.scores, self.weights)
        best = int(np.argmax(means))
        of_particles = np.hypot(self.settled_error, self.fit_error[best])
        errors = np.hypot(
            paired_error(self.scores - self.scores[best], self.weights), of_particles
        )
        return int(np.argmax(means[best] - means <= errors))

    @property
    def settled_error(self) -> Float[np.ndarray, " share"]:
        """`fit_error` of the laws that have settled, 0 of the others, whose noise excuses nothing."""
        return np.where(self.is_converged, self.fit_error, 0)

    @property
    def has_many_parameters(self) -> bool:
        """True where the chosen law has too few rows for each effective parameter to rely on the closed form."""
        return bool(
            self.p_eff[self.chosen] > self.scores.shape[1] / self.many_parameters
        )

    def __repr__(self) -> str:
        columns = ("gain", "gain_error", "loo", "fit", "p_eff", "num_moves")
        table = {name: np.asarray(getattr(self, name)) for name in columns}
        return repr(
            SummaryTable(
                [f"bayes_share {share:g}" for share in self.bayes_share], table
            )
        )


@runtime_checkable
class FittedLaw(Protocol):
    """A law with the path on which it was chosen."""

    @property
    def bayes_share(self) -> float: ...

    @property
    def path(self) -> PredictivePath: ...

    @property
    def points(self) -> Float[np.ndarray, "particle d"]: ...

    @property
    def problem(self) -> LawProblem: ...


def _errors_against_bayes(
    scores: Float[np.ndarray, "share n"],
    fit_errors: Float[np.ndarray, " share"],
    weights: Float[np.ndarray, " weight"],
) -> Float[np.ndarray, " share"]:
    """Return the standard errors of the mean scores less that of Bayes: of rows, and of both laws' particles.

    Rows that are alike have no spread, so that particles alone would decide between laws that predict them equally.
    """
    of_particles = np.hypot(fit_errors, fit_errors[0])
    of_particles[0] = 0
    return np.hypot(paired_error(scores - scores[0], weights), of_particles)


def paired_error(
    differences: Float[np.ndarray, "share n"],
    weights: Float[np.ndarray, " weight"] = EQUAL,
) -> Float[np.ndarray, " share"]:
    """Return the standard error of the mean over rows, each of which is one observation whatever its weight."""
    size = differences.shape[1]
    return np.sqrt(size / (size - 1) * _variances(differences, weights))


def _variances(
    differences: Float[np.ndarray, "share n"], weights: Float[np.ndarray, " weight"]
) -> Float[np.ndarray, " share"]:
    """Return the variance of the mean over rows, less the factor of a sample's mean."""
    shares = np.broadcast_to(weights, differences.shape[1])
    away = differences - over_rows(differences, weights)[:, None]
    return away**2 @ (shares / shares.sum()) ** 2


def confirmed(
    path: PredictivePath,
    refit: Callable[[int, Sequence[float]], Float[np.ndarray, "share row"]],
    folds: Sequence[np.ndarray],
) -> Float[np.ndarray, "share n"] | None:
    """Return held-out scores of all rows where the closed form cannot be relied on; None where it can.

    It cannot where the chosen law has more effective parameters than a fifth of the rows, or where the gain over Bayes
    on a held-out fold differs by more than two standard errors. `refit(fold, shares)` returns the scores of a fold.
    """
    chosen = path.chosen
    shares = path.bayes_share.tolist()
    if not path.has_many_parameters:
        if chosen == 0:
            return None
        scores = refit(0, [shares[0], *shares[1 : chosen + 1]])
        formula = path.scores[chosen, folds[0]] - path.scores[0, folds[0]]
        difference = (scores[-1] - scores[0] - formula)[None]
        weights = path.weights if len(path.weights) == 1 else path.weights[folds[0]]
        if abs(over_rows(difference, weights)[0]) <= 2 * np.sqrt(
            _variances(difference, weights)[0]
        ):
            return None
    held_out = np.empty_like(path.scores)
    for fold, rows in enumerate(folds):
        held_out[:, rows] = refit(fold, shares)
    return held_out
