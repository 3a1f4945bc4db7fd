"""The path of predictive laws from the posterior to smaller shares of Bayes, and the choice on it.

A level starts from the cloud of the level before and moves until its in-sample score has stopped drifting. The score of
a level is its leave-one-out score; the chosen share is the largest within one standard error of the best, paired over
rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float

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
MOST_LOG_LIKELIHOODS = 2 * 10**7
"""Of a law (particles x rows), beyond which it has fewer snapshots."""

PerRow = Float[np.ndarray, " n"]
PerShare = Float[np.ndarray, " share"]
Weights = float | PerRow
"""Of rows, in means over them; a number where all are equal."""


@dataclass(frozen=True)
class Level:
    """A law on the path: its particles, which are snapshots of the last half of the moves, and what they score."""

    posterior_share: float
    points: Float[np.ndarray, "particle d"]
    log_likelihoods: Float[np.ndarray, "particle n"]
    num_moves: int = 0
    drift: float = 0.0
    """Change of the mean of `log_scores` between the middle of the level and its end."""
    is_converged: bool = True

    @property
    def log_scores(self) -> PerRow:
        """log z_i, in sample."""
        return log_mean_exp(self.log_likelihoods, 0)

    def fit_error(self, num_particles: int, weights: Weights = 1.0) -> float:
        """Standard error of the mean of `log_scores`: that over particles that move on their own, and the drift."""
        num_chains = min(num_particles, len(self.points))
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


class Block(NamedTuple):
    """Positions of particles at the end of a block of moves, and their scores on the rows in use."""

    points: Float[np.ndarray, "particle d"]
    fit: float
    influences: Float[np.ndarray, " particle"]

    @classmethod
    def of(
        cls,
        problem: LawProblem,
        points: np.ndarray,
        weights: PerRow,
    ) -> "Block":
        used = weights > 0
        logs = problem.log_likelihoods(points)[:, used]
        fit = float(over_rows(log_mean_exp(logs, axis=0), weights[used]))
        return cls(points, fit, influences_of(logs, len(points), weights[used]))


def run_level(
    problem: LawProblem,
    cloud: Cloud,
    posterior_share: float,
    weights: PerRow,
    *,
    key: PRNGKey,
    fewest: int = 8,
    most: int = 32,
) -> tuple[Cloud, Level]:
    """Move the particles until fit and dual of the rows in use have settled, and return cloud and law.

    The drift of the mean log score between the middle of the level and its end has the standard error of the paired
    changes of single particles. A level ends where the drift is below two of them, and where the Fenchel-Young gap of
    the dual against its own fixed point is at most a few times that of a dual which only has the noise of so many
    particles, Var(r_i) / (2 N) a row; after `fewest` to `most` blocks of moves.
    """
    dtype = cloud.points.dtype
    blocked = jnp.asarray(problem.in_blocks(weights.astype(dtype)))
    factor = jnp.asarray(square_root_of_covariance(np.asarray(cloud.points)))
    cloud = cloud.at_new_level()
    blocks: list[Block] = []
    while True:
        cloud = advance(
            problem,
            cloud,
            jnp.asarray(posterior_share, dtype),
            blocked,
            factor,
            random.fold_in(key, len(blocks)),
        )
        blocks.append(Block.of(problem, np.asarray(cloud.points), weights))
        if len(blocks) < fewest:
            continue
        level = _level(problem, blocks, cloud, posterior_share, weights)
        if level.is_converged or len(blocks) == most:
            return cloud, level


def _level(
    problem: LawProblem,
    blocks: list[Block],
    cloud: Cloud,
    posterior_share: float,
    weights: PerRow,
    small: float = 0.001,
    many_noises: float = 4,
) -> Level:
    """Return the law of the last half of the blocks, settled where drift and gap are in the noise or `small`, in nats."""
    later = blocks[len(blocks) // 2 :]
    late = np.stack([block.points for block in later])
    count = late.shape[1]
    most = MOST_LOG_LIKELIHOODS // (count * problem.size)
    points = np.concatenate(evenly_spaced(late, max(1, min(SNAPSHOTS, most))))
    logs = problem.log_likelihoods(points)
    drift, error = _drift(blocks)
    dual = np.asarray(cloud.log_means).ravel()[: problem.size]
    gap, noise = _gap_and_noise(logs, dual, weights, count)
    is_settled = drift <= max(2 * error, small) and gap <= max(
        many_noises * noise, small
    )
    num_moves = len(blocks) * MOVES_PER_BLOCK
    return Level(posterior_share, points, logs, num_moves, drift, is_settled)


def _drift(blocks: list[Block]) -> tuple[float, float]:
    """Return the drift between the middle and the end, and its error by paired changes of particles."""
    middle = len(blocks) // 2
    early = blocks[middle : middle + middle // 2]
    late = blocks[len(blocks) - middle // 2 :]
    fits, influences = (
        [np.mean([getattr(block, name) for block in half], 0) for half in (early, late)]
        for name in ("fit", "influences")
    )
    change = influences[1] - influences[0]
    drift = abs(float(fits[1] - fits[0]))
    return drift, float(np.std(change) / np.sqrt(len(change)))


def _gap_and_noise(
    logs: Float[np.ndarray, "particle n"],
    log_means: PerRow,
    weights: PerRow,
    count: int,
) -> tuple[float, float]:
    """Return the mean of u - 1 - log u, u_i = z_i exp(-log_means_i), and what independent particles make it."""
    used = weights > 0
    fit = log_mean_exp(logs[:, used], 0)
    excess = fit - log_means[used].astype(np.float64)
    ratios = np.exp(logs[:, used] - fit, dtype=np.float64)
    variance = np.mean(ratios**2, axis=0) - 1
    share = weights[used] / weights.sum()
    gap = float(share @ (np.expm1(excess) - excess))
    return gap, float(share @ np.minimum(variance, count)) / (2 * count)


def evenly_spaced(
    points: Float[np.ndarray, "draw d"], count: int
) -> Float[np.ndarray, "particle d"]:
    """Return this many of the draws."""
    places = np.linspace(0, len(points) - 1, count)
    return points[places.round().astype(int)]


def run_path(
    problem: LawProblem,
    draws: Float[np.ndarray, "draw d"],
    posterior_shares: Sequence[float],
    num_particles: int,
    weights: PerRow | None = None,
    *,
    key: PRNGKey,
) -> list[Level]:
    """Return the laws at these shares, the largest first; without weights the first is made of the draws themselves."""
    points = evenly_spaced(draws, num_particles)
    used = problem.row_weights if weights is None else weights
    cloud = first_cloud(
        problem, points, log_mean_exp(problem.log_likelihoods(points), 0)
    )
    levels = []
    for number, share in enumerate(posterior_shares):
        if share == 1 and weights is None:
            points = evenly_spaced(draws, min(len(draws), SNAPSHOTS * num_particles))
            levels.append(Level(1.0, points, problem.log_likelihoods(points)))
            continue
        level_key = random.fold_in(key, number)
        cloud, level = run_level(problem, cloud, share, used, key=level_key)
        levels.append(level)
    return levels


def held_out_scores(
    problem: LawProblem,
    draws: Float[np.ndarray, "draw d"],
    posterior_shares: Sequence[float],
    num_particles: int,
    rows: np.ndarray,
    *,
    key: PRNGKey,
) -> Float[np.ndarray, "share row"]:
    """Return the log scores of `rows` under the laws of all other rows."""
    weights = problem.row_weights
    weights[rows] = 0
    levels = run_path(problem, draws, posterior_shares, num_particles, weights, key=key)
    return np.stack([level.log_scores[rows] for level in levels])


def cross_validated(
    problem: LawProblem,
    draws: Float[np.ndarray, "draw d"],
    posterior_shares: Sequence[float],
    num_particles: int,
    num_folds: int,
    *,
    key: PRNGKey,
) -> Float[np.ndarray, "share n"]:
    """Return the log scores of all rows, each under the laws of the rows of all other folds."""
    scores = np.empty((len(posterior_shares), problem.size))
    order = np.asarray(random.permutation(key, problem.size))
    for fold in range(num_folds):
        rows = order[fold::num_folds]
        one_key = random.fold_in(key, fold)
        scores[:, rows] = held_out_scores(
            problem, draws, posterior_shares, num_particles, rows, key=one_key
        )
    return scores


@dataclass(frozen=True, repr=False)
class PredictivePath:
    """The misspecification curve: scores of the laws against their share of Bayes, in nats a row.

    Flat means that the model is right, as far as the prediction of single rows can show it.
    """

    many_parameters = 5
    """Fewer rows than this for each effective parameter make the closed form unsafe."""

    posterior_share: PerShare
    fit: PerShare
    """Mean log score of the training rows, in sample."""
    fit_error: PerShare
    """Its standard error over particles."""
    loo: PerShare
    """Mean leave-one-out log score, in closed form."""
    gain: PerShare
    """Over Bayes, of the scores that the choice was made by."""
    gain_error: PerShare
    """Standard error of `gain`: paired over rows, and that over particles."""
    p_eff: PerShare
    """Effective number of parameters."""
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
            leave_one_out(level.log_likelihoods, level.posterior_share, weights)
            for level in levels
        ]
        loo = np.stack([one.scores for one in left_out])
        scores = loo if held_out is None else held_out
        errors = np.array([level.fit_error(num_particles, weights) for level in levels])
        of_levels = {
            name: np.array([getattr(level, name) for level in levels])
            for name in ("posterior_share", "num_moves", "is_converged")
        }
        return cls(
            **of_levels,
            fit=np.array([over_rows(level.log_scores, weights) for level in levels]),
            fit_error=errors,
            loo=over_rows(loo, weights),
            gain=over_rows(scores - scores[0], weights),
            gain_error=errors_against(0, scores, weights, errors, errors[0]),
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
    def settled_error(self) -> PerShare:
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
                [f"posterior_share {share:g}" for share in self.posterior_share], table
            )
        )


def errors_against(
    place: int,
    scores: Float[np.ndarray, "share n"],
    weights: Weights,
    fit_errors: PerShare,
    error_there: float,
) -> PerShare:
    """Return the standard errors of the mean scores less that at `place`: of rows, and of both laws' particles.

    Rows that are alike have no spread, so that particles alone would decide between laws that predict them equally.
    """
    of_particles = np.hypot(fit_errors, error_there)
    of_particles[place] = 0
    return np.hypot(paired_error(scores - scores[place], weights), of_particles)


def paired_error(
    differences: Float[np.ndarray, "share n"], weights: Weights = 1.0
) -> PerShare:
    """Return the standard error of the mean over rows, each of which is one observation whatever its weight."""
    size = differences.shape[1]
    shares = np.broadcast_to(weights, size) / np.sum(np.broadcast_to(weights, size))
    away = differences - over_rows(differences, weights)[:, None]
    return np.sqrt(size / max(size - 1, 1) * (away**2 @ shares**2))
