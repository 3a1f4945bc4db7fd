"""`minimize`: global minima by a portfolio of searches with one budget, with SciPy's interface.

With gradients, local searches from everywhere, scans along axes and basin hopping, in the order of cost (`portfolio`);
by values alone, runs of CMA-ES (`evolution`); until few unseen better basins are expected (`basins`). No method can
guarantee a global minimum of a function that it knows at finitely many places; the expected number is what independent
searches support.
"""

from collections.abc import Callable
from contextlib import nullcontext
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.optimize import arguments
from langevax.optimize.arguments import (
    WHOLE_SUM_ROWS,
    BoundsLike,
    Callback,
    Objective,
    Starts,
    to_position,
)
from langevax.optimize.basins import Basin, group_ends
from langevax.optimize.constraints import ConstraintsLike, as_constraints
from langevax.optimize.evolution import Evolution
from langevax.optimize.landscape import GRADIENT_COST, Landscape
from langevax.optimize.local_search import Frame, Place, Places, gradient_at
from langevax.optimize.newton import Polished, polish
from langevax.optimize.penalties import Constrained, Penalties, Refinement
from langevax.optimize.portfolio import Portfolio, Searches
from langevax.optimize.values_only import HostFunction, Workers
from langevax.problems.problem import Problem
from langevax.renamed import refuse_former
from langevax.run.options import Run, check_unsaved
from langevax.run.progress import report_to
from langevax.run.start import is_draw
from langevax.trees import in_double

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult


DRAWN_STARTS = 64
"""Places that a function x0 draws, of which the units of a search are taken."""


class MinimizeStatus(IntEnum):
    """Outcomes of a search."""

    PROMISE_MET = 0
    BUDGET_SPENT = 1
    NOT_REACHED = 2
    UNBOUNDED = 3
    INFEASIBLE = 4
    STOPPED = 99


@refuse_former
def minimize(
    fun: Objective,
    x0: PyTree[ArrayLike] | Callable[[PRNGKey], PyTree],
    *,
    key: PRNGKey,
    bounds: BoundsLike = None,
    constraints: ConstraintsLike = (),
    max_evaluations: int | Literal["auto"] = "auto",
    max_better_basins: float = 0.1,
    use_gradients: bool = True,
    workers: Workers = map,
    callback: Callback = None,
    run: Run = Run(),
) -> "OptimizeResult":
    """Search for the global minimum of `fun` until searches agree on the best, or the budget is spent.

    Args:
        fun: `fun(position) -> scalar`, differentiable by JAX; or a `Problem`, whose potential is minimised.
            Each value of a `FiniteSum` takes all rows: begin with `problem.over(fewer_rows)` where they are many.
        x0: a position, any pytree of one floating dtype, where the first search starts. Or a function
            `key -> position` that draws the starts of all. In float32 a minimum is exact to about 1e-4 of its width;
            pass x0 in float64 (`jax.enable_x64`) for full precision. Whole numbers of Python are floats, as in SciPy;
            an array of integers is refused.
        key: a typed key, `jax.random.key(0)`. The same key gives the same result.
        bounds: `scipy.optimize.Bounds`, or a (lower, upper) for each number of x0, leaf after leaf; None or infinite
            where there is none. Pass them where you can: searches start all over the box.
        constraints: as in SciPy, one or a list of `NonlinearConstraint(c, lb, ub)`, `LinearConstraint(A, lb, ub)` and
            {"type": "ineq", "fun": g} for g(x) >= 0, or "eq" for g(x) = 0. c and g get the position and are
            differentiated by JAX (their jac and hess are not used); an evaluation of `fun` and of all of them is one.
            Penalties lead to basins, which SciPy's SLSQP refines, so that places outside are visited; fun may be NaN
            there. Not with a `Problem` of rows.
        max_evaluations: budget in values of `fun`; a gradient counts as 4 of them. "auto" is 10,000 for each
            coordinate, and less for a sum over many rows.
        max_better_basins: the search ends, with `success`, when the expected number of unseen better basins is at most
            this.
        use_gradients: False takes values only, by runs of CMA-ES (`pip install 'langevax[cma]'`). `fun` gets NumPy
            arrays in float64, and is called as often as `nfev` says. A place where it raises is a failed one, as one
            where it is NaN.
        workers: without gradients, `workers(fun, positions)` computes a batch, as Python's map does: that of a
            pool of threads or processes, or `lambda fun, xs: many(np.stack(list(xs)))` of a vectorised function.
        callback: as in SciPy: `callback(intermediate_result)` with that very name gets an `OptimizeResult` (x, fun,
            nit, nfev, njev), any other one x; StopIteration or True stops. It is called after each batch of searches.
        run: a `langevax.Run`; it saves nothing. A bar shows the share of the budget that is spent, the lowest value,
            and the time left if all of it is.

    Returns:
        A `scipy.optimize.OptimizeResult`. Positions are NumPy arrays in the structure of x0.

        - x, fun, jac: the best minimum, its value and gradient.
        - success: `expected_better_basins` is at most `max_better_basins`, and x is a minimum to rounding. It does not
          say that x is the global one: basins that few of the starts lead to can have been missed (`missable_share`).
          With constraints it also says that `maxcv` is small, and that no end of a search with a lower penalised value
          is left.
        - missable_share: a basin that a smaller share of the starts leads to can have been missed by all of N independent
          searches (with 5 % probability at this share, 3 / N).
        - status: 0; 1 the budget was spent before; 2 x is not a minimum; 3 fun falls without end; 4 no place that
          satisfies the constraints was met; 99 stopped.
        - message: both numbers, what they rest on, and what to do.
        - expected_better_basins: the expected number of unseen better basins, from how often independent searches, or
          runs of hopping and evolution, ended at the best value (Boender and Rinnooy Kan). Basins of one value count
          as one where the best value is not rarer than the next.
        - nit: local searches, or ended runs of CMA-ES, which give no jac. nfev, njev: values and gradients, of a
          finite sum those of single rows.
        - basins: list of `Basin(fun, share, x)`, the distinct minima of the independent local searches and the best,
          best first, at most 100 of them, with their share of those searches.
          With constraints those alone that satisfy them, refined, with `fun` itself.
        - history: dict of arrays over batches of searches: nfev, njev, fun (best so far; with constraints it includes
          penalties, here and in callbacks).
        - maxcv: with constraints, the largest violation at x, in the units of c.

    Raises:
        TypeError, ValueError: an invalid argument, fun or a constraint that is not finite at x0, constant fun.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax.optimize import minimize
        >>> def two_wells(x):
        ...     return jnp.sum((x**2 - 1) ** 2) + 0.3 * jnp.sum(x)
        >>> result = minimize(two_wells, jnp.array([0.9, 0.9]), key=jax.random.key(0), bounds=[(-2.0, 2.0)] * 2)
        >>> result.x.round(2), result.success, result.expected_better_basins <= 0.1
        (array([-1.04, -1.04], dtype=float32), True, True)
    """
    stops = arguments.as_callback(callback)
    checks.typed_key(key)
    check_unsaved(run, "minimize")
    checks.flag("use_gradients", use_gradients)
    checks.positive_int("max_evaluations", max_evaluations, auto=True)
    checks.number("max_better_basins", max_better_basins, positive=True)
    checks.function("workers", workers, "(fun, positions) -> values")
    arguments.as_problem(fun)
    with (
        nullcontext() if use_gradients else jax.enable_x64(),
        report_to(run.progress) as report,
    ):
        start_key, draw_key = random.split(key)
        dtype = None if use_gradients else jnp.float64
        starts = arguments.as_starts(x0, bounds, start_key, DRAWN_STARTS, dtype)
        like = starts.like
        frame = _frame(starts)

        def stop(land: Landscape) -> bool:
            report(
                f"minimize: lowest {land.best_fun:.6g}",
                min(1.0, land.spent / land.budget),
            )
            return stops is not None and stops(_intermediate_result(land, like))

        plain = _on_vectors(fun, like, frame, use_gradients, workers)
        limits = as_constraints(constraints, like, use_gradients)
        land = Landscape(
            plain,
            frame,
            np.random.default_rng(np.asarray(random.key_data(draw_key)).tolist()),
            _budget(max_evaluations, int(plain.size), len(frame.scale)),
            GRADIENT_COST if use_gradients else len(frame.scale) + 1,
            starts=_draws(x0, frame) if is_draw(x0) else None,
            stops=stop,
        )
        refinement = None
        if limits is not None:
            _check_one_row(land.rows)
            refinement = Refinement(land, Penalties(plain, limits, frame))
        kind = Portfolio if use_gradients else Evolution
        searches = kind(land, float(max_better_basins))
        searches.run(_first(starts, land, plain))
        result = _finished(searches, refinement, like)
        if isinstance(plain, HostFunction) and plain.failed:
            result.message += plain.failures
        return result


def _on_vectors(
    fun: Objective,
    like: PyTree[Array],
    frame: Frame,
    use_gradients: bool,
    workers: Workers,
) -> Problem | HostFunction:
    """Return the function of vectors, before penalties; on the host without gradients."""
    if not use_gradients:
        return HostFunction(fun, like, workers)
    if workers is not map:
        raise ValueError(
            "workers compute batches of a function on the host; pass "
            "use_gradients=False, too."
        )
    problem = arguments.on_vectors(arguments.as_problem(fun), like)
    arguments.check_scalar(problem, frame.center)
    return problem


def _finished(
    searches: Searches, refinement: Refinement | None, like: PyTree[Array]
) -> "OptimizeResult":
    """Return the minimum to its last digits, or where it satisfies the constraints."""
    land = searches.land
    if refinement is not None and not _falls(land):
        outcome = refinement.run(searches)
        best = outcome.best
        end = Polished(best.y, best.fun, best.left, best.reached, 0)
        return _constrained(_result(searches, end, like), land, outcome, like)
    if isinstance(searches, Portfolio):
        return _result(searches, polish(land), like)
    # runs of CMA-ES end at minima to rounding
    unknown = np.full(land.dimension, np.nan)
    end = Polished(land.best_y, land.best_fun, unknown, True, 0)
    result = _result(searches, end, like)
    del result["jac"]
    return result


def _budget(
    max_evaluations: int | Literal["auto"],
    rows: int,
    dimension: int,
    evaluations: int = 10_000,
) -> float:
    """Return so many evaluations for each coordinate by default, and fewer of a long sum."""
    if isinstance(max_evaluations, str):
        return evaluations * dimension / max(1, rows / WHOLE_SUM_ROWS)
    return max_evaluations


def _check_one_row(rows: int) -> None:
    if rows != 1:
        raise ValueError(
            "constraints are taken with a function, but fun is a problem of "
            f"{rows} rows; pass fun=problem.potential, which takes all "
            "rows for each value."
        )


def _draws(
    x0: Callable[[PRNGKey], PyTree], frame: Frame
) -> Callable[[int, np.random.Generator], Places]:
    """Return a function that draws starts, in units of the frame."""

    def starts(number: int, rng: np.random.Generator) -> Places:
        seeds = random.split(random.key(int(rng.integers(2**31))), number)
        vectors = jax.vmap(lambda seed: ravel_pytree(x0(seed))[0])(seeds)
        away = in_double(vectors) - np.asarray(frame.center)
        return away / np.asarray(frame.scale)

    return starts


def _frame(starts: Starts) -> Frame:
    """Return the box of size one, or, without bounds, the scale of x0 or of the starts that it draws."""
    places = starts.vectors
    infinite = np.full(places.shape[-1], np.inf)
    low, high = (side.astype(float) for side in starts.box or (-infinite, infinite))
    center = np.atleast_2d(places)[0].astype(float)
    if starts.drawn:
        scale = places.std(axis=0, dtype=float)
        scale = np.where(scale > 0, scale, 1)
    else:
        filled = np.isfinite(high - low)
        scale = np.where(center == 0, 1, np.abs(center))
        scale = np.where(filled, high - low, scale)
        center = np.where(filled, low, center)
    lower = (low - center) / scale
    upper = (high - center) / scale
    arrays = center, scale, lower, upper, low, high
    return Frame(*(jnp.asarray(a, places.dtype) for a in arrays))


def _first(starts: Starts, land: Landscape, plain: Problem | HostFunction) -> Place:
    """Return x0 in units of the frame; raise where fun or its gradient is not finite there.

    A function x0 may draw such starts.
    """
    frame = land.frame
    x0 = np.atleast_2d(starts.vectors)[0].astype(np.float64)
    start = (x0 - np.asarray(frame.center)) / np.asarray(frame.scale)
    if not starts.drawn:
        if isinstance(plain, HostFunction):
            value = plain.at(land.x(start))
            if not np.isfinite(value):
                raise ValueError(f"fun at x0 is {value}; start where it is finite.")
            land.nfev += land.rows
            land.spent += 1
            if land.problem is plain:
                land.update(start[None], np.array([value]))
            land.note()
            return start
        assert isinstance(land.problem, Problem)
        value = float(land.problem.potential(jnp.asarray(land.x(start))))
        slope = float(np.linalg.norm(gradient_at(land.problem, frame, start)))
        if not (np.isfinite(value) and np.isfinite(slope)):
            raise ValueError(
                f"fun at x0 is {value} and the norm of its gradient {slope}; start "
                "where both are finite."
            )
    return np.clip(start, land.lower, land.upper)


def _intermediate_result(land: Landscape, like: PyTree[Array]) -> "OptimizeResult":
    from scipy.optimize import OptimizeResult

    return OptimizeResult(
        x=to_position(land.x(land.best_y), like),
        fun=land.best_fun,
        nit=land.searches,
        nfev=land.nfev,
        njev=land.njev,
    )


def _basins(searches: Searches, like: PyTree[Array], most: int = 100) -> list[Basin]:
    land = searches.land
    ends = searches.independent
    best = land.best_y[None]
    met = ends.y.reshape(-1, best.shape[1])
    ys = np.concatenate([met, best])
    fun = np.append(ends.fun, land.best_fun)
    moved = np.append(ends.moved, True)
    labels, best_ends = group_ends(ys, fun, moved, land.difference)
    counts = np.bincount(labels[:-1], minlength=len(best_ends))
    shares = counts / max(1, len(ends.fun))
    return [
        Basin(float(fun[i]), float(share), to_position(land.x(ys[i]), like))
        for i, share in list(zip(best_ends, shares, strict=True))[:most]
    ]


def _falls(land: Landscape, far: float = 1e6) -> bool:
    """Return whether the lowest place is infinitely low, or `far` units away along a coordinate without bounds."""
    free = ~np.isfinite(land.upper - land.lower)
    return not np.isfinite(land.best_fun) or bool(
        np.any(np.abs(land.best_y[free]) > far)
    )


def _jac(land: Landscape, gradient: Place, like: PyTree[Array]) -> PyTree[np.ndarray]:
    """Return a gradient in units of the frame as one in those of the user."""
    scale = land.frame.scale
    whole = gradient / in_double(scale)
    return to_position(whole.astype(scale.dtype), like)


def _result(searches: Searches, end: Polished, like: PyTree[Array]) -> "OptimizeResult":
    from scipy.optimize import OptimizeResult

    land = searches.land
    expected = min(counted.expected_better for counted, *_ in searches.tallies())
    is_met = expected <= searches.largest_expected
    falls = _falls(land)
    if falls:
        status = MinimizeStatus.UNBOUNDED
    elif land.stopped:
        status = MinimizeStatus.STOPPED
    elif not end.reached:
        status = MinimizeStatus.NOT_REACHED
    else:
        status = MinimizeStatus.PROMISE_MET if is_met else MinimizeStatus.BUDGET_SPENT
    nfev, njev, fun = map(np.array, zip(*land.history, strict=True))
    return OptimizeResult(
        x=to_position(land.x(land.best_y), like),
        fun=land.best_fun,
        jac=_jac(land, end.gradient, like),
        success=end.reached and is_met and not falls,
        status=int(status),
        message=_message(searches, end, status, expected),
        expected_better_basins=expected,
        missable_share=searches.tallies()[0][0].missable_share,
        nit=land.searches,
        nfev=land.nfev,
        njev=land.njev,
        basins=_basins(searches, like),
        history={"nfev": nfev, "njev": njev, "fun": fun},
    )


def _constrained(
    result: "OptimizeResult",
    land: Landscape,
    outcome: Constrained,
    like: PyTree[Array],
) -> "OptimizeResult":
    """Return the result with the place that satisfies the constraints, its value, and what can be said of it."""
    best = outcome.best
    x = land.x(best.y)
    if not best.feasible:
        result.message = _infeasible(result, outcome, x)
        if result.status != MinimizeStatus.STOPPED:
            result.status = int(MinimizeStatus.INFEASIBLE)
    else:
        if outcome.left and result.status == MinimizeStatus.PROMISE_MET:
            result.status = int(MinimizeStatus.BUDGET_SPENT)
        result.message = _of_constraints(result, outcome)
    result.update(
        x=to_position(x, like),
        fun=best.fun,
        jac=_jac(land, best.gradient, like),
        success=bool(result.success and best.feasible and not outcome.left),
        maxcv=best.violation,
        basins=[
            Basin(end.fun, end.share, to_position(land.x(end.y), like))
            for end in outcome.basins
        ],
    )
    return result


def _shown(x: Place) -> str:
    return np.array2string(x, precision=3, threshold=6)


def _infeasible(result: "OptimizeResult", outcome: Constrained, x: Place) -> str:
    best = outcome.best
    message = (
        "no place that satisfies the constraints was met; the smallest violation met "
        f"is {best.violation:.3g} (of {best.name}) at x = {_shown(x)}. They may "
        "contradict each other; if not, start inside of them, pass bounds, or raise "
        "max_evaluations."
    )
    stopped = result.status == MinimizeStatus.STOPPED
    return f"{result.message} And {message}" if stopped else message


def _of_constraints(result: "OptimizeResult", outcome: Constrained) -> str:
    best = outcome.best
    message = (
        "Penalties lead to basins, which SLSQP refines: the largest violation is "
        f"{best.violation:.2g}"
    )
    if best.violation > 0:
        message += f" (of {best.name})"
    message += ". "
    if outcome.left:
        message += f"{outcome.left} ends of searches that may be better were not refined; raise max_evaluations. "
    message += f"{result.message} Basins are counted on fun with its penalties."
    if result.status == MinimizeStatus.BUDGET_SPENT:
        message += " The rest of max_evaluations is reserved for refining."
    if result.status == MinimizeStatus.NOT_REACHED:
        message += (
            " The gradient is that of fun with the multipliers of the constraints."
        )
    return message


def _message(
    searches: Searches,
    end: Polished,
    status: MinimizeStatus,
    expected: float,
) -> str:
    """Return why the search ended, how many better basins are expected, what that rests on, and what to do."""
    land = searches.land
    if status == MinimizeStatus.UNBOUNDED:
        where = _shown(land.x(land.best_y))
        return (
            f"fun falls without end: at x = {where} it is {land.best_fun:.3g}; pass "
            "bounds."
        )
    tallies = searches.tallies()
    evidence = " ".join(
        counted.sentence(*name) for counted, *name in tallies if counted.searches
    )
    evidence += (
        " Basins to which less than "
        f"{tallies[0][0].missable_share:.2%} of the starts lead can have been missed."
    )
    number = f"{expected:.2g}" if np.isfinite(expected) else "unknown"
    promise = (
        f"the expected number of unseen better basins is {number} (at most "
        f"{searches.largest_expected:g} was asked)"
    )
    if status == MinimizeStatus.NOT_REACHED:
        return (
            "x is not a minimum to rounding: the gradient there has norm "
            f"{np.linalg.norm(end.gradient):.3g} in units of the box. fun may have a "
            f"kink there, or be too flat for its dtype; try float64. {evidence}"
        )
    if status == MinimizeStatus.STOPPED:
        return (
            f"Stopped by the callback after {land.searches} local searches: {promise}. "
            f"{evidence}"
        )
    if status == MinimizeStatus.BUDGET_SPENT:
        return (
            f"Spent the {land.budget:,.0f} evaluations before searches agreed on the "
            f"best basin: {promise}. {evidence} Raise max_evaluations to be surer."
        )
    return f"Searches agree on the best basin: {promise}. {evidence}"
