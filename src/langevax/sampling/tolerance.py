"""Draws to a tolerance: chains go on until every mean and every standard deviation is known well enough.

    |error of a mean| / deviation  <=  tolerance,        |relative error of a deviation|  <=  tolerance

for all numbers of the position at once, with 95 % confidence (Bonferroni). The errors are those of Monte Carlo, from the
effective draws of values and of squares: methods with a bias of their step size keep no tolerance. Where tails are so
heavy that means do not settle, quartiles do, in units of the distance between the outer two over that of a normal law.
"""

from itertools import count
from typing import Literal, NamedTuple

import numpy as np
from jax import random
from scipy.stats import norm

from langevax._typing import PRNGKey
from langevax.run.options import Run
from langevax.sampling.samples import Samples
from langevax.sampling.summary_table import of_draws, pareto_shapes
from langevax.sampling.tolerances import CONFIDENCE, MAX_PARETO_K, MAX_RHAT


class ToleranceError(RuntimeError):
    """The tolerance of `sample` was not reached; `samples` are the draws that there are, None where there are none."""

    def __init__(self, message: str, samples: Samples | None = None):
        super().__init__(message)
        self.samples = samples


class DrawErrors(NamedTuple):
    """Bounds on Monte Carlo errors, with simultaneous confidence, and the numbers where they are largest."""

    mean: float
    """Of any mean, in standard deviations."""
    mean_name: str
    standard_deviation: float
    """Of any standard deviation, relative."""
    standard_deviation_name: str

    @classmethod
    def of(cls, samples: Samples) -> "DrawErrors":
        names, values = samples.varying_numbers()
        quantile = norm.isf(
            (1 - CONFIDENCE) / (4 * len(names))
        )  # both sides of all means and deviations
        deviations = values.std((0, 1))
        errors = [of_draws("mcse", values, method=kind) for kind in ("mean", "sd")]
        with np.errstate(divide="ignore", invalid="ignore"):
            bounds = quantile * np.asarray(errors) / deviations
        means, spreads = np.nan_to_num(bounds, nan=np.inf, posinf=np.inf)
        widest = int(np.argmax(means))
        least_known = int(np.argmax(spreads))
        return cls(
            float(means[widest]),
            names[widest],
            float(spreads[least_known]),
            names[least_known],
        )

    @property
    def largest(self) -> float:
        return max(self.mean, self.standard_deviation)

    def __str__(self) -> str:
        return (
            f"the mean of {self.mean_name} is known to {self.mean:.2g} standard "
            f"deviations, and the standard deviation of {self.standard_deviation_name} "
            f"to {self.standard_deviation:.2g} of itself"
        )


class QuartileErrors(NamedTuple):
    """A bound on Monte Carlo errors of all quartiles, with simultaneous confidence, and the number where it is largest."""

    largest: float
    """In standard deviations of a normal law with the same outer quartiles."""
    name: str

    @classmethod
    def of(cls, samples: Samples) -> "QuartileErrors":
        names, values = samples.varying_numbers()
        quartiles = 0.25, 0.5, 0.75
        errors = [
            of_draws("mcse", values, method="quantile", prob=prob) for prob in quartiles
        ]
        low, high = np.quantile(values, (0.25, 0.75), axis=(0, 1))
        scale = (high - low) / (2 * norm.isf(0.25))
        quantile = norm.isf((1 - CONFIDENCE) / (6 * len(names)))
        with np.errstate(divide="ignore", invalid="ignore"):
            bounds = quantile * np.max(errors, axis=0) / scale
        bounds = np.nan_to_num(bounds, nan=np.inf, posinf=np.inf)
        worst = int(np.argmax(bounds))
        return cls(float(bounds[worst]), names[worst])

    def __str__(self) -> str:
        return (
            f"the quartiles of {self.name} are known to {self.largest:.2g} standard "
            "deviations"
        )


def _doubts_of_tails(samples: Samples) -> list[str]:
    """Say of which number mean and standard deviation do not settle."""
    names, values = samples.varying_numbers()
    shapes = np.nan_to_num(pareto_shapes(values))
    worst = int(np.argmax(shapes))
    if not shapes[worst] > MAX_PARETO_K:
        return []
    return [
        (
            f"mean and standard deviation of {names[worst]} do not settle: its tail "
            f"has a Pareto k of {shapes[worst]:.2f} > {MAX_PARETO_K}; pass "
            "tolerance_of='quartiles', or a prior with a lighter tail."
        )
    ]


def draw_to_tolerance(
    samples: Samples,
    tolerance: float,
    of: Literal["moments", "quartiles"] = "moments",
    *,
    key: PRNGKey,
    most_growth: int = 64,
) -> Samples:
    """Return the draws, doubled until they keep the tolerance, or raise ToleranceError with what was reached.

    Args:
        samples, tolerance, of: draws, the largest error, and of what.
        key: of further draws.
        most_growth: draws for each that was asked for, up to which chains go on.
    """
    most = most_growth * samples.draws.shape[1]
    for number in count():
        num_samples = samples.draws.shape[1]
        doubts = samples.doubts()
        if of == "quartiles":
            errors = QuartileErrors.of(samples)
        else:
            errors = DrawErrors.of(samples)
            doubts += _doubts_of_tails(samples)
        if doubts:
            raise ToleranceError(
                f"tolerance={tolerance:g} cannot be kept: {' '.join(doubts)}", samples
            )
        r_hat = samples.max_rhat
        if errors.largest <= tolerance and r_hat <= MAX_RHAT:
            return samples
        if 2 * num_samples > most:
            raise ToleranceError(
                f"tolerance={tolerance:g} was not reached: after {num_samples:,} draws "
                f"of each chain {errors}, at an R-hat of {r_hat:.3f}; pass a larger "
                f"num_samples, of which it draws {most_growth} times as many at most, "
                "or a larger tolerance.",
                samples,
            )
        samples = samples.followed(
            num_samples,
            key=random.fold_in(key, number),
            run=Run(progress=False),
        )
    raise AssertionError  # count() does not end
