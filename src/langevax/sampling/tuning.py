"""Step sizes for `sample`, and what discretisation they cost, measured by halving them.

The bias of a step h shows in the variances of the chain: with variances s^2(h) in coordinates in which the law is
about round,

    bias(h)  =  2 (mean s^2(h) - mean s^2(h/2)) / mean s^2(h/2)

for a scheme of first order, and 4/3 of the difference for one of second order. Averaged over coordinates and chains
this is known to a percent after some hundred effective draws.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax.algorithm import Algorithm
from langevax.problems.problem import Problem
from langevax.run import DivergenceError, simulate

FIRST = {1: 0.1, 2: 0.25}
"""First step tried, by the order of the scheme, in units of 1 / curvature or of its root: on a normal law the explicit
scheme is off by 1 / (1 - h / 2) - 1, five percent."""
TOLERANCE = 0.05  # relative bias of the variance that is put up with
DRAWS, RELAXATIONS = 200, 2.0  # recorded, this many relaxation times of the roundest direction apart in all
HALVINGS = 6


class HalvingReport(NamedTuple):
    """Draws at a step size held against draws at half of it."""

    step_size: float
    variance_bias: float
    """Relative bias of variances at `step_size`, positive where the chain is too hot; extrapolated."""
    standard_error: float
    mean_shift: float
    """Largest change of a coordinate's mean between the two, in standard deviations; holds Monte-Carlo noise too."""
    mean_shift_error: float
    """The Monte-Carlo error of that change, for the same coordinate."""
    evaluations: int

    def __str__(self) -> str:
        return (
            f"at step size {self.step_size:.3g} variances are off by {self.variance_bias:+.1%} "
            f"± {self.standard_error:.1%}, as told by halving it"
        )


def halving(
    make: Callable[[float], Algorithm],
    problem: Problem,
    start: Callable[[Key[Array, ""]], Array],
    num_chains: int,
    step_size: float,
    order: int,
    key: Key[Array, ""],
    draws: int = DRAWS,
) -> HalvingReport:
    """Run at `step_size` and at half of it for the same time and compare."""
    runs, evaluations = [], 0
    spacing = max(1, round(RELAXATIONS / step_size ** (1 if order == 1 else 0.5)))
    for number, factor in enumerate((1, 2)):
        run = simulate(
            make(step_size / factor ** (1 if order == 1 else 2)),
            problem,
            start,
            key=random.fold_in(key, number),
            num_steps=factor * spacing * draws,
            num_chains=num_chains,
            record_every=factor * spacing,
            progress=False,
        )
        runs.append(np.asarray(run.positions, np.float64)[:, draws // 4 :])
        evaluations += run.evaluations
    coarse, fine = (_PerChain.of(x) for x in runs)
    factor = 2.0 if order == 1 else 4 / 3
    ratio = coarse.variance.mean() / fine.variance.mean()
    spread = np.hypot(coarse.relative_error, fine.relative_error)
    shifts, errors = np.abs(coarse.mean - fine.mean), np.hypot(coarse.mean_error, fine.mean_error)
    worst = int(np.argmax(shifts / np.maximum(errors, 1e-30)))
    deviation = np.sqrt(fine.variance[worst])
    return HalvingReport(
        step_size,
        float(factor * (ratio - 1)),
        float(factor * ratio * spread),
        float(shifts[worst] / deviation),
        float(errors[worst] / deviation),
        evaluations,
    )


def tuned(
    make: Callable[[float], Algorithm],
    problem: Problem,
    start: Callable[[Key[Array, ""]], Array],
    num_chains: int,
    curvature: float,
    order: int,
    key: Key[Array, ""],
    tolerance: float = TOLERANCE,
) -> HalvingReport:
    """The largest of FIRST / curvature, half of it, ... whose bias is below `tolerance` or lost in its error."""
    step_size, spent = FIRST[order] / curvature, 0
    report: HalvingReport | None = None
    for number in range(HALVINGS):
        try:
            report = halving(make, problem, start, num_chains, step_size, order, random.fold_in(key, number))
        except DivergenceError:
            step_size /= 2
            continue
        spent += report.evaluations
        if abs(report.variance_bias) < max(tolerance, 2 * report.standard_error):
            break
        if number < HALVINGS - 1:
            step_size /= 2
    if report is None:
        raise ValueError(
            f"chains diverge even at a step size of {2 * step_size:.3g}; pass step_size=, start elsewhere, or check "
            "the density far from its mode."
        )
    return report._replace(evaluations=spent)


class _PerChain(NamedTuple):
    mean: np.ndarray
    mean_error: np.ndarray
    variance: np.ndarray
    relative_error: float

    @staticmethod
    def of(draws: Float[np.ndarray, "chains draws d"]) -> "_PerChain":
        """Errors are those between chains, which are independent."""
        chains = len(draws)
        mean = draws.mean((0, 1))
        square = ((draws - mean) ** 2).mean(1)  # (chain, d)
        variance = square.mean(0)
        each = square.mean(1) / variance.mean()
        mean_error = draws.mean(1).std(0, ddof=1) / np.sqrt(chains)
        return _PerChain(mean, mean_error, variance, float(each.std(ddof=1) / np.sqrt(chains)))
