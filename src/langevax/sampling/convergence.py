"""R-hat and effective draws of many numbers at once (Vehtari et al., Bayesian Analysis 2021).

Chains are split into halves. R-hat and the bulk's effective draws are those of normal scores of ranks, R-hat also of
distances from the median; effective draws of the tails are those of the indicators of two quantiles. Numbers are those
of ArviZ, which takes one column at a time: for hundreds of coordinates that takes several times as long.
"""

import numpy as np
from jaxtyping import Float
from scipy.fft import next_fast_len
from scipy.special import ndtri
from scipy.stats import rankdata

Values = Float[np.ndarray, "chain draw m"]
Columns = Float[np.ndarray, "m chain draw"]
Numbers = Float[np.ndarray, " m"]
TAIL = 0.05, 0.95  # quantiles of `ess_tail`
FEWEST = 4  # draws of a chain, of which two make a half


def convergence(values: Values) -> dict[str, Numbers]:
    """Return mean, sd, mcse_mean, ess_bulk, ess_tail and r_hat of each column; sd is that of all draws.

    Of chains of fewer than four draws only mean and sd are numbers. A column that stands still has as many effective
    draws as draws, and an R-hat that is not a number; where each chain stands still elsewhere, R-hat is infinite.

    Example:
        >>> table = convergence(np.random.default_rng(0).normal(size=(4, 500, 2)))
        >>> bool(np.all(table["r_hat"] < 1.01)), bool(np.all(table["ess_bulk"] > 1500))
        (True, True)
    """
    table = {"mean": values.mean((0, 1)), "sd": values.std((0, 1))}
    if values.shape[1] < FEWEST:
        names = ("mcse_mean", "ess_bulk", "ess_tail", "r_hat")
        return table | {name: np.full(values.shape[2], np.nan) for name in names}
    columns = np.ascontiguousarray(np.moveaxis(values, 2, 0))
    halves, tails = split(columns), np.quantile(columns.reshape(len(columns), -1), TAIL, axis=1)
    r_hat, bulk = bulk_convergence(values)
    return table | {
        "mcse_mean": values.std((0, 1), ddof=1) / np.sqrt(effective_draws(halves)),
        "ess_bulk": bulk,
        "ess_tail": np.minimum(*(effective_draws((halves <= tail[:, None, None]).astype(float)) for tail in tails)),
        "r_hat": r_hat,
    }


def bulk_convergence(values: Values) -> tuple[Numbers, Numbers]:
    """Return R-hat, the larger one of draws and of their distances from the median, and the bulk's effective draws."""
    if values.shape[1] < FEWEST:
        return np.full(values.shape[2], np.nan), np.full(values.shape[2], np.nan)
    halves = split(np.ascontiguousarray(np.moveaxis(values, 2, 0)))
    scores = normal_scores(halves)
    distances = np.abs(halves - np.median(halves.reshape(len(halves), -1), axis=1)[:, None, None])
    return np.maximum(_r_hat(scores), _r_hat(normal_scores(distances))), effective_draws(scores)


def split(columns: Columns) -> Columns:
    """Return the halves of the chains, without the draw in the middle of an odd number."""
    half = columns.shape[2] // 2
    return np.concatenate([columns[..., :half], columns[..., columns.shape[2] - half :]], axis=1)


def normal_scores(columns: Columns) -> Columns:
    """Return the normal quantiles of the ranks among all draws of a column."""
    ranks = rankdata(columns.reshape(len(columns), -1), axis=1)
    return ndtri((ranks - 0.375) / (ranks.shape[1] + 0.25)).reshape(columns.shape)


def _r_hat(columns: Columns) -> Numbers:
    num_draws = columns.shape[2]
    within, between = columns.var(2, ddof=1).mean(1), columns.mean(2).var(1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # of chains that stand still
        return np.sqrt((num_draws - 1) / num_draws + between / within)


def effective_draws(columns: Columns) -> Numbers:
    """Return the effective draws of each column's mean.

    Autocorrelations are added in pairs as long as the sums of pairs are positive. These decrease in a reversible chain,
    and are made so (Geyer, Statistical Science 1992).
    """
    num_chains, num_draws = columns.shape[1:]
    total, means = num_chains * num_draws, columns.mean(2, keepdims=True)
    length = next_fast_len(2 * num_draws, real=True)
    power = np.mean(np.abs(np.fft.rfft(columns - means, length, axis=2)) ** 2, axis=1)
    covariances = np.fft.irfft(power, length, axis=1)[:, :num_draws].T / num_draws
    within = covariances[0] * num_draws / (num_draws - 1)
    between = means[..., 0].var(1, ddof=1) if num_chains > 1 else 0.0
    with np.errstate(invalid="ignore"):  # of a column that stands still
        correlations = 1 - (within - covariances) / (covariances[0] + between)
    correlations[0] = 1.0
    last = max((num_draws - 3) // 2, 0)
    pairs = correlations[: 2 * last + 2].reshape(last + 1, 2, -1).sum(1)
    stopped = np.where(np.any(pairs <= 0, axis=0), np.argmax(pairs <= 0, axis=0), last)
    sums = np.where(np.arange(last + 1)[:, None] < stopped, np.minimum.accumulate(pairs), 0.0).sum(0)
    next_even, next_pair = (
        np.take_along_axis(terms, place[None], 0)[0] for terms, place in ((correlations, 2 * stopped), (pairs, stopped))
    )
    following = np.where(next_pair > 0, next_even, np.maximum(next_even, 0.0))
    time = np.maximum(-1 + 2 * sums + following, 1 / np.log10(total))
    stands_still = np.ptp(columns, axis=(1, 2)) < np.finfo(float).resolution
    return np.where(stands_still, total, total / time)
