"""What `minimize` gives back: the ends polished, grouped and put into SciPy's form, and said in words."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array, PyTree

from langevax.optimize import basins
from langevax.optimize.arguments import to_position
from langevax.optimize.basins import Basin, Grouping
from langevax.optimize.descent import Minimum, descend, is_reached, value_and_slope
from langevax.optimize.search import Look, Plan, Search, number_at, potentials

if TYPE_CHECKING:
    import scipy.optimize

CONVERGED, DIVERGED, NOT_REACHED, STOPPED = 0, 1, 2, 99


def so_far(search: Search, look: Look, ends: Array, plan: Plan, like: PyTree) -> "scipy.optimize.OptimizeResult":
    """What a callback is given."""
    from scipy.optimize import OptimizeResult

    return OptimizeResult(
        x=to_position(search.best, like),
        fun=search.best_value,
        nit=look.step,
        nfev=look.evaluations,
        temperature=number_at(plan.temperature, look.step - 1),
        x_chains=to_position(ends, like),
        fun_chains=look.values,
    )


def result(search: Search, plan: Plan, like: PyTree, polish: bool) -> "scipy.optimize.OptimizeResult":
    """Of a search that has ended, however it did."""
    from scipy.optimize import OptimizeResult

    last = max(search.steps - 1, 0)
    temperature, step_size = number_at(plan.temperature, last), number_at(plan.step_size, last)
    ends, values = np.asarray(search.positions), potentials(search.problem, search.positions)
    search.consider(values, search.positions)
    search.evaluations += len(ends) * search.size

    best, found, grouping, reached = value_and_slope(search.problem, search.best, plan.box), [], None, True
    if polish:
        unit = step_size or number_at(plan.step_size, 0)  # a schedule may end at 0
        minima = [descend(search.problem, x, unit, plan.box) for x in (*ends, search.best)]
        search.evaluations += sum(minimum.evaluations for minimum in minima)
        best = min(minima, key=lambda minimum: minimum.fun if np.isfinite(minimum.fun) else np.inf)
        reached = is_reached(best, unit, search.survey.size_of_values)
        ends, values = np.stack([m.x for m in minima[:-1]]), np.array([m.fun for m in minima[:-1]])
        near = basins.tolerances(minima, search.survey.spread_above(best.fun), search.survey.scale)
        grouping = basins.group(minima, len(ends), *near)
        found = _basins(grouping, minima, len(ends), like)
    else:
        search.evaluations += search.size
    status = STOPPED if search.stopped else CONVERGED if reached else NOT_REACHED
    status = DIVERGED if search.diverged_at is not None else status
    return OptimizeResult(
        x=to_position(best.x, like),
        fun=best.fun,
        jac=to_position(best.jac.astype(best.x.dtype), like),
        success=search.diverged_at is None and reached,
        status=status,
        message=_message(search, plan, step_size, best, reached, grouping),
        nit=search.steps,
        nfev=search.evaluations,
        x_chains=to_position(ends, like),
        fun_chains=values,
        x_starts=to_position(search.starts, like),
        basins=found,
        temperature=temperature,
        step_size=step_size,
        gibbs_gap=ends.shape[1] * temperature / 2,
        history=_history(search),
    )


def _basins(grouping: Grouping, minima: list[Minimum], num_chains: int, like: PyTree) -> list[Basin]:
    listed = []
    for members in grouping.members:
        best, share = minima[members[0]], sum(i < num_chains for i in members) / num_chains
        listed.append(Basin(best.fun, share, to_position(best.x, like)))
    return listed


def _history(search: Search) -> dict[str, np.ndarray]:
    looks = search.looks
    return {
        "nit": np.array([look.step for look in looks], int),
        "nfev": np.array([look.evaluations for look in looks], int),
        "fun": np.array([look.best_value for look in looks], float),
        "fun_chains": np.array([look.values for look in looks], float).reshape(len(looks), len(search.starts)),
    }


def _message(
    search: Search, plan: Plan, step_size: float, best: Minimum, reached: bool, grouping: Grouping | None
) -> str:
    """Sentences: how the run ended, whether the step was halved, whether x is a minimum, how far chains agree."""
    said = [f"Finished all {plan.num_steps} steps."]
    if search.stopped:
        said = [f"Stopped by the callback after step {search.steps} of {plan.num_steps}."]
    if search.diverged_at is not None:
        said = [
            f"Chains diverged at step {search.diverged_at} with step_size={step_size:.3g}; pass a smaller one, a lower "
            "temperature, or bounds."
        ]
    if search.halvings:
        times = "once" if search.halvings == 1 else f"{search.halvings} times"
        said.append(f"Chains had diverged with larger steps: step_size was halved {times}, to {step_size:.3g}.")
    if not reached:
        said.append(
            f"Polishing reached no minimum: the gradient at x has norm {np.linalg.norm(best.jac):.3g}. fun may have a "
            "kink there, be unbounded below, or be too flat for its dtype; try bounds, or float64."
        )
    if grouping is None:
        said.append("The ends are as the chains left them; polish=True would descend from them and tell basins apart.")
    else:
        said.append(basins.sentence(grouping, len(search.starts)))
    return " ".join(said)
