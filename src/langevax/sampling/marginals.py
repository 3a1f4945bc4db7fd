"""Laws of numbers computed from drawn functions, and of their coefficients, beside those under the prior."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from langevax import checks
from langevax.sampling.summary_table import SummaryTable, statistics

if TYPE_CHECKING:
    import pandas

Functional = Callable[[np.ndarray], Any]
Functions = Float[np.ndarray, "chain draw *grid"]


def marginals(
    functions: Functions,
    from_prior: Float[np.ndarray, "draw *grid"],
    functionals: Mapping[str, Functional],
    coverage: float,
) -> "pandas.DataFrame | SummaryTable":
    """Return a row for each functional: its statistics over draws, an interval, and mean and deviation by the prior."""
    if not isinstance(functionals, Mapping) or not functionals:
        raise TypeError(
            f"functionals must be a dict from names to functions of one drawn function, got "
            f"{checks.shown(functionals)}; pass for example {{'largest': np.max}}."
        )
    for name, functional in functionals.items():
        checks.function(f"functionals[{name!r}]", functional, "function -> number")
    chains, draws = functions.shape[:2]
    if chains * draws < 2:
        raise ValueError(
            f"positions must hold at least two draws, got {chains} chains of {draws}; pass draws.positions."
        )
    flat = functions.reshape(-1, *functions.shape[2:])
    posterior = _evaluated(functionals, flat, "drawn functions")
    prior = _evaluated(functionals, from_prior, "functions of the prior")
    values = posterior.reshape(chains, draws, -1)
    table = statistics(list(functionals), values).columns
    low, high = np.quantile(posterior, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0)
    columns = {
        "mean": table.pop("mean"),
        "sd": table.pop("sd"),
        "low": low,
        "high": high,
        **table,
    }
    columns |= {"prior_mean": prior.mean(0), "prior_sd": prior.std(0)}
    return SummaryTable(list(functionals), columns).as_frame()


def modes(
    positions: Float[np.ndarray, "chain draw modes"],
    prior_variances: Float[np.ndarray, " modes"],
) -> "pandas.DataFrame | SummaryTable":
    """Return a row for each coefficient: mean, deviations, and the share of the prior's variance that the data took."""
    if (
        positions.ndim != 3
        or positions.shape[2] != len(prior_variances)
        or positions.shape[0] * positions.shape[1] < 2
    ):
        raise ValueError(
            f"positions must be at least two draws (chain, draw, {len(prior_variances)}), got shape {positions.shape}; "
            "pass draws.positions."
        )
    checks.finite("positions", positions, remedy="pass draws without missing numbers")
    spread, prior = (
        positions.std((0, 1)),
        np.sqrt(np.asarray(prior_variances, np.float64)),
    )
    columns = {
        "mean": positions.mean((0, 1)),
        "sd": spread,
        "prior_sd": prior,
        "informed": 1 - (spread / prior) ** 2,
    }
    return SummaryTable([str(mode) for mode in range(len(prior))], columns).as_frame()


def _evaluated(
    functionals: Mapping[str, Functional], functions: np.ndarray, words: str
) -> Float[np.ndarray, "draw functionals"]:
    """Return the numbers of each function, which functionals see in float64: sums of float32 would round."""
    columns, wide = [], np.asarray(functions, np.float64)
    for name, functional in functionals.items():
        column = np.array([_number(name, functional, one) for one in wide])
        if missing := np.count_nonzero(~np.isfinite(column)):
            raise ValueError(
                f"functional {name!r} is not finite at {missing:,} of {len(column):,} {words}; return a number for "
                "each of them."
            )
        columns.append(column)
    return np.stack(columns, axis=1)


def _number(name: str, functional: Functional, function: np.ndarray) -> float:
    try:
        value = functional(function)
    except Exception as error:
        error.add_note(f"raised by functional {name!r} at one of the drawn functions")
        raise
    number = np.asarray(value)
    if number.shape != () or number.dtype.kind not in "biuf" or np.ma.is_masked(value):
        raise ValueError(
            f"functional {name!r} must return one real number, got {checks.shown(value)}."
        )
    return float(number)
