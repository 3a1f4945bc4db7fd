"""The path of predictive laws from the posterior to smaller shares of Bayes, and the choice on it.

A level starts from the cloud of the level before and moves until its in-sample score has stopped drifting; of very many
rows it does so on some of them first, and then on all. The score of a level is its leave-one-out score; the chosen
share is the largest within one standard error of the best, paired over rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
MANY_ROWS = 10_000
"""Rows beyond which the particles of a level settle on so many of them first."""
MOST_LOG_LIKELIHOODS = 2 * 10**7
"""Of a law (particles x rows), beyond which it has fewer snapshots."""


Weights = float | Float[np.ndarray, " n"]
"""Of rows, in means over them; a number where all are equal."""


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

    def fit_error(self, num_chains: int, weights: Weights = 1.0) -> float:
        """Standard error of the mean of `log_scores`: that over particles that move on their own, and the drift."""
        influences = influences_of(self.log_likelihoods, num_chains, weights)
        return float(np.hypot(np.std(influences) / np.sqrt(num_chains), self.drift))


def influences_of(
    log_likelihoods: Float[np.ndarray, "particle n"],
    num_chains: int,
    weights: Weights = 1.0,
) -> Float[np.ndarray, " chain"]:
    """Return what every chain of snapshots adds to the mean log score, to first order.

    Points of a posterior need not be as many for each chain: the last few are then left out.
    """
    scores = log_mean_exp(log_likelihoods, axis=0)
    ratio = over_rows(np.exp(log_likelihoods - scores), weights)
    rounds = len(ratio) // num_chains
    by_chain = ratio[: rounds * num_chains].reshape(rounds, num_chains)
    return by_chain.mean(axis=0) - 1


def over_rows(
    values: Float[np.ndarray, "*first n"], weights: Weights = 1.0
) -> np.ndarray:
    """Return means over rows, in double precision."""
    values = np.asarray(values, np.float64)
    return np.average(values, axis=-1, weights=np.broadcast_to(weights, values.shape))


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
        self.ends: list[np.ndarray] = []
        self.fits: list[float] = []
        self.influences: list[np.ndarray] = []

    def add(self, points: Float[np.ndarray, "particle d"]) -> None:
        """Add a block that ended at these points."""
        logs = self.problem.log_likelihoods(points)[:, self.weights > 0]
        weights = self.weights[self.weights > 0]
        self.ends.append(points)
        self.fits.append(float(over_rows(log_mean_exp(logs, axis=0), weights)))
        self.influences.append(influences_of(logs, len(points), weights))

    def level(self, cloud: Cloud, bayes_share: float) -> Level:
        """Return the law of the last half of the blocks."""
        count = len(cloud.points)
        most = MOST_LOG_LIKELIHOODS // (count * self.problem.size)
        blocks = evenly_spaced(
            np.arange(len(self.fits))[len(self.fits) // 2 :],
            max(1, min(SNAPSHOTS, most)),
        )
        points = np.concatenate([self.ends[block] for block in blocks])
        logs = self.problem.log_likelihoods(points)
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
        order = np.asarray(random.permutation(key, np.flatnonzero(weights)))
        rows = np.sort(order[:MANY_ROWS])
        chosen = weights[rows]
        few = problem.of_rows(rows, num_particles)
        return cls(few, rows, chosen * weights.sum() / chosen.sum())

    def settled(
        self,
        problem: LawProblem,
        cloud: Cloud,
        bayes_share: float,
        *,
        key: PRNGKey,
    ) -> Cloud:
        """Return the particles of the law on these rows, and the dual of all rows that they have."""
        of_few = np.asarray(cloud.log_means).ravel()[self.rows]
        start = cloud._replace(log_means=jnp.asarray(self.problem.in_blocks(of_few)))
        end, level = run_level(self.problem, start, bayes_share, self.weights, key=key)
        most = max(len(end.points), MOST_LOG_LIKELIHOODS // problem.size)
        points = evenly_spaced(level.points, min(len(level.points), most))
        of_all = log_mean_exp(problem.log_likelihoods(points), axis=0)
        log_means = problem.in_blocks(of_all.astype(points.dtype))
        return end._replace(log_means=jnp.asarray(log_means))


def run_path(
    problem: LawProblem,
    draws: Float[np.ndarray, "draw d"],
    bayes_shares: Sequence[float],
    num_particles: int,
    weights: Float[np.ndarray, " n"] | None = None,
    *,
    key: PRNGKey,
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
            points = evenly_spaced(draws, min(len(draws), SNAPSHOTS * num_particles))
            logs = problem.log_likelihoods(points)
            levels.append(Level(1.0, points, logs, 0.0, 0, 0.0, True))
            continue
        level_key = random.fold_in(key, number)
        if few is not None:
            few_key = random.fold_in(level_key, 1)
            cloud = few.settled(problem, cloud, share, key=few_key)
        cloud, level = run_level(problem, cloud, share, used, key=level_key)
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
    weights: Weights = 1.0
    """Of the rows, in means over them."""

    @classmethod
    def of(
        cls,
        levels: Sequence[Level],
        num_particles: int,
        held_out: Float[np.ndarray, "share n"] | None = None,
        weights: Weights = 1.0,
    ) -> "PredictivePath":
        """Return the curve of the levels; refits, where there are any, replace the closed form in the choice."""
        left_out = [
            leave_one_out(level.log_likelihoods, level.bayes_share, weights)
            for level in levels
        ]
        loo = np.stack([one.scores for one in left_out])
        scores = loo if held_out is None else held_out
        num_chains = [min(num_particles, len(level.points)) for level in levels]
        errors = [
            level.fit_error(count, weights)
            for level, count in zip(levels, num_chains, strict=True)
        ]
        of_levels = {
            name: np.array([getattr(level, name) for level in levels])
            for name in ("bayes_share", "gap", "num_moves", "is_converged")
        }
        return cls(
            **of_levels,
            fit=np.array([over_rows(level.log_scores, weights) for level in levels]),
            fit_error=np.array(errors),
            loo=over_rows(loo, weights),
            held_out=over_rows(
                np.full_like(loo, np.nan) if held_out is None else held_out, weights
            ),
            gain=over_rows(scores - scores[0], weights),
            gain_error=errors_against(0, scores, weights, np.array(errors), errors[0]),
            p_eff=np.array([one.p_eff for one in left_out]),
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
        errors = errors_against(
            best, self.scores, self.weights, self.settled_error, self.fit_error[best]
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


def errors_against(
    place: int,
    scores: Float[np.ndarray, "share n"],
    weights: Weights,
    fit_errors: Float[np.ndarray, " share"],
    error_there: float,
) -> Float[np.ndarray, " share"]:
    """Return the standard errors of the mean scores less that at `place`: of rows, and of both laws' particles.

    Rows that are alike have no spread, so that particles alone would decide between laws that predict them equally.
    """
    of_particles = np.hypot(fit_errors, error_there)
    of_particles[place] = 0
    return np.hypot(paired_error(scores - scores[place], weights), of_particles)


def paired_error(
    differences: Float[np.ndarray, "share n"], weights: Weights = 1.0
) -> Float[np.ndarray, " share"]:
    """Return the standard error of the mean over rows, each of which is one observation whatever its weight."""
    size = differences.shape[1]
    shares = np.broadcast_to(weights, size) / np.sum(np.broadcast_to(weights, size))
    away = differences - over_rows(differences, weights)[:, None]
    return np.sqrt(size / max(size - 1, 1) * (away**2 @ shares**2))


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
        weights = np.broadcast_to(path.weights, path.scores.shape[1])[folds[0]]
        apart = np.abs(over_rows(difference, weights))
        if np.all(apart <= 2 * paired_error(difference, weights)):
            return None
    held_out = np.empty_like(path.scores)
    for fold, rows in enumerate(folds):
        held_out[:, rows] = refit(fold, shares)
    return held_out
