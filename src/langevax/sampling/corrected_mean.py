"""The mean of a chain's draws corrected by variables of known mean, its error, and what it depends on.

Regression on such variables leaves less noise, and their own means check the chains (Mira, Solgi, Imparato, Statistics
and Computing 2013).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.sampling.coefficient import MAX_EXCESS
from langevax.sampling.summary_table import of_draws

Draws = Float[np.ndarray, "chain draw"]


class CorrectedMean(NamedTuple):
    """The mean of the draws by their regression on variables of mean zero, where that has the smaller error."""

    draws: Draws
    """Corrected."""
    error: float
    excess: float
    """The largest mean of a variable of mean zero, in its standard errors."""

    @classmethod
    def of(
        cls,
        draws: Draws,
        controls: Float[np.ndarray, "chain draw k"],
        draws_per_control: int = 25,
        stretches: Sequence[int] = (5, 2, 1),
    ) -> "CorrectedMean":
        """Regress on as many controls as there are effective draws for.

        Args:
            draws, controls: of the chains.
            draws_per_control: effective ones, fewer than which would fit noise.
            stretches: numbers of stretches of each chain, between which errors are taken; excursions that are rare
                show between long ones alone.
        """
        deviations = controls.std((0, 1))
        controls = controls[..., deviations > 0] / deviations[deviations > 0]
        excesses = [
            abs(float(a.mean())) / standard_error_of(a)
            for a in np.moveaxis(controls, 2, 0)
        ]
        excess = max(excesses, default=0.0)
        plain = max(standard_error_of(draws), _error_of_halves(draws))
        effective = effective_draws_of(draws)
        controls = controls[
            ..., : int(effective / draws_per_control) if effective > 0 else 0
        ]
        if (
            excess > MAX_EXCESS
        ):  # errors are too small by about as much, and coefficients are fitted to what was missed
            return cls(draws, plain * excess / MAX_EXCESS, excess)
        if not controls.shape[2]:
            return cls(draws, plain, excess)
        corrected = draws - controls @ _coefficients(draws, controls)
        error = standard_error_of(corrected)
        shift = abs(float((corrected - draws).mean()))
        error = max(error, *(_jackknife(draws, controls, count) for count in stretches))
        if (
            shift > MAX_EXCESS * plain
        ):  # rare by chance: the coefficients may be those of a part of the law
            error = max(error, shift / 2)
        return (
            cls(corrected, error, excess)
            if error < plain
            else cls(draws, plain, excess)
        )


def _coefficients(
    draws: Float[np.ndarray, "..."],
    controls: Float[np.ndarray, "... k"],
    collinear: float = 1e-3,
) -> Float[np.ndarray, " k"]:
    """Return those of the regression; singular values below `collinear` of the largest differ by rounding."""
    flat = controls.reshape(-1, controls.shape[-1])
    return np.linalg.lstsq(
        flat - flat.mean(0), draws.ravel() - draws.mean(), rcond=collinear
    )[0]


def _error_of_halves(draws: Draws) -> float:
    """Return the standard error of the mean from those of the halves of chains."""
    means = [half.mean() for chain in draws for half in np.array_split(chain, 2)]
    return float(np.std(means, ddof=1)) / math.sqrt(len(means))


def _jackknife(
    draws: Draws,
    controls: Float[np.ndarray, "chain draw k"],
    count: int,
) -> float:
    """Return the error of the corrected mean, that of the coefficients included, by leaving out stretches of chains."""
    cut = draws.shape[1] // count
    used = cut * count
    y = draws[:, :used].reshape(-1, cut)
    x = controls[:, :used].reshape(len(y), cut, -1)
    estimates = []
    for i in range(len(y)):
        rest_y = np.delete(y, i, 0)
        rest_x = np.delete(x, i, 0)
        estimates.append(
            float(np.mean(rest_y - rest_x @ _coefficients(rest_y, rest_x)))
        )
    return math.sqrt((len(y) - 1) * float(np.var(estimates)))


def localization_effect(
    trace: Draws,
    penalty: Draws,
) -> tuple[float, float]:
    """Return by how much the mean of the trace falls with the logarithm of the localization, and its standard error.

    penalty is gamma / 2 |w - w*|^2, and d/dlog(gamma) E f = -Cov(f, penalty).
    """
    products = (trace - trace.mean()) * (penalty - penalty.mean())
    return float(products.mean()), standard_error_of(products)


def standard_error_of(draws: Draws) -> float:
    return float(of_draws("mcse", draws))


def effective_draws_of(draws: Draws) -> float:
    return float(of_draws("ess", draws))


def r_hat_of(draws: Draws) -> float:
    return float(of_draws("rhat", draws))
