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
    chains, draws = functions.shape[:2]
    flat = functions.reshape(-1, *functions.shape[2:])
    posterior, prior = (_evaluated(functionals, of) for of in (flat, from_prior))
    values = posterior.reshape(chains, draws, -1)
    table = statistics(list(functionals), values).columns
    low, high = np.quantile(posterior, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0)
    columns = {"mean": table.pop("mean"), "sd": table.pop("sd"), "low": low, "high": high, **table}
    columns |= {"prior_mean": prior.mean(0), "prior_sd": prior.std(0)}
    return SummaryTable(list(functionals), columns).as_frame()


def modes(
    positions: Float[np.ndarray, "chain draw modes"], prior_variances: Float[np.ndarray, " modes"]
) -> "pandas.DataFrame | SummaryTable":
    """Return a row for each coefficient: mean, deviations, and the share of the prior's variance that the data took."""
    spread = positions.std((0, 1))
    prior = np.sqrt(np.asarray(prior_variances, np.float64))
    columns = {"mean": positions.mean((0, 1)), "sd": spread, "prior_sd": prior, "informed": 1 - (spread / prior) ** 2}
    return SummaryTable([str(mode) for mode in range(len(prior))], columns).as_frame()


def _evaluated(functionals: Mapping[str, Functional], functions: np.ndarray) -> Float[np.ndarray, "draw functionals"]:
    columns = []
    for name, functional in functionals.items():
        values = [np.asarray(functional(one), np.float64) for one in functions]
        if values[0].shape != ():
            raise ValueError(
                f"functional {name!r} must return one number, got an array of shape {values[0].shape}; name each of "
                "its numbers."
            )
        column = np.array(values)
        if not np.isfinite(column).all():
            raise ValueError(
                f"functional {name!r} is not finite at {np.mean(~np.isfinite(column)):.0%} of the drawn functions; "
                "return a number for every function of the prior."
            )
        columns.append(column)
    return np.stack(columns, axis=1)
