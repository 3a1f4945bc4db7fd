"""`minimize`: global minima by a portfolio of searches with one budget, with SciPy's interface.

Local searches from everywhere, scans along axes, basin hopping and CMA-ES, in the order of cost (`portfolio`), until
few unseen better basins are expected (`basins`). No method can guarantee a global minimum of a function that it knows at
finitely many places; the expected number is what independent searches support.
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
from jaxtyping import Array, ArrayLike, Float

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.optimize import arguments
from langevax.optimize.arguments import (
    WHOLE_SUM_ROWS,
    BoundsLike,
    Box,
    Callback,
    Objective,
    to_position,
)
from langevax.optimize.basins import Tally, group_ends
from langevax.optimize.constraints import ConstraintsLike, as_constraints
from langevax.optimize.landscape import GRADIENT_COST, Landscape
from langevax.optimize.local_search import Frame, Place, Places, gradient_at
from langevax.optimize.minima import Basin
from langevax.optimize.newton import Polished, polish
from langevax.optimize.penalties import Constrained, Penalties, Refinement
from langevax.optimize.portfolio import Portfolio
from langevax.optimize.search import draw_with
from langevax.optimize.values_only import FiniteDifferences, as_values
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.problem import Problem
from langevax.renamed import refuse_former
from langevax.run.options import Run, check_unsaved
from langevax.run.progress import report_to

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult


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
    spread: ArrayLike | Literal["auto"] = "auto",
    use_gradients: bool = True,
    callback: Callback = None,
    run: Run = Run(),
) -> "OptimizeResult":
    """Search for the global minimum of `fun` until a better one is unlikely, or the budget is spent.

    Args:
        fun: `fun(position) -> scalar`, differentiable by JAX; or a `Problem`, whose potential is minimised. Of a
            `FiniteSum` of more than 1024 rows, 1024 are drawn for the searches, and all of them taken where they end.
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
        max_evaluations: budget in values of `fun`; a gradient counts as 4 of them, without `use_gradients` as d + 1.
            "auto" is 10,000 for each coordinate, and less for a sum over many rows.
        max_better_basins: the promise. The search ends, with `success`, when the expected number of unseen better basins is
            at most this.
        spread: standard deviation of the starts around x0, > 0, a float or one for each number. "auto" draws uniformly
            between two finite bounds; elsewhere it is |x0|, or 1 where x0 is 0.
        use_gradients: False takes values only, in float64, so that `fun` may be a function of NumPy arrays.
        callback: as in SciPy: `callback(intermediate_result)` with that very name gets an `OptimizeResult` (x, fun,
            nit, nfev, njev), any other one x; StopIteration or True stops. It is called after each batch of searches.
        run: a `langevax.Run`; it saves nothing. A bar shows the share of the budget that is spent, the lowest value,
            and the time left if all of it is.

    Returns:
        A `scipy.optimize.OptimizeResult`. Positions are NumPy arrays in the structure of x0.

        - x, fun, jac: the best minimum, its value and gradient.
        - success: the promise was met: `expected_better_basins` is at most `max_better_basins`, and x is a minimum to
          rounding. It does not say that x is the global one.
          With constraints it also says that `maxcv` is small, and that no end of a search with a lower penalised value
          is left.
        - status: 0; 1 the budget was spent before; 2 x is not a minimum; 3 fun falls without end; 4 no place that
          satisfies the constraints was met; 99 stopped.
        - message: that number, what it rests on, and what to do.
        - expected_better_basins: the expected number of unseen better basins, from how often independent searches, or
          runs of hopping and evolution, ended at the best value (Boender and Rinnooy Kan). Basins of one value count
          as one where the best value is not rarer than the next.
        - nit: local searches. nfev, njev: values and gradients, of a finite sum those of single rows.
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
    checks.not_forked()
    checks.typed_key(key)
    check_unsaved(run, "minimize")
    checks.flag("use_gradients", use_gradients)
    checks.positive_int("max_evaluations", max_evaluations, auto=True)
    checks.number("max_better_basins", max_better_basins, positive=True)
    spread = _checked_spread(spread, x0)
    arguments.as_problem(fun)
    with (
        nullcontext() if use_gradients else jax.enable_x64(),
        report_to(run.progress) as report,
    ):
        start_key, draw_key = random.split(key)
        like, places = _places(x0, start_key, use_gradients)
        box = arguments.as_box(bounds, like)
        arguments.check_inside(places, box)
        frame = _frame(places, box, spread)

        def stop(land: Landscape) -> bool:
            report(
                f"minimize: lowest {land.best_fun:.6g}",
                min(1.0, land.spent / land.budget),
            )
            return stops is not None and stops(_intermediate_result(land, like))

        plain = _on_vectors(fun, like, frame, use_gradients)
        limits = as_constraints(constraints, like, use_gradients)
        rng = np.random.default_rng(np.asarray(random.key_data(draw_key)).tolist())
        problem = plain
        if not use_gradients:
            problem = FiniteDifferences(plain, frame.scale, frame.x_upper)
        d = places.shape[-1]
        land = Landscape(
            problem,
            _coarse(problem, fun, like, rng) if limits is None else problem,
            frame,
            rng,
            _budget(max_evaluations, problem, d),
            GRADIENT_COST if use_gradients else d + 1,
            around=not isinstance(spread, str),
            starts=_draws(x0, frame) if callable(x0) else None,
            stops=stop,
        )
        refinement = None
        if limits is not None:
            _check_one_row(plain)
            refinement = Refinement(
                land, Penalties(plain, limits, frame, use_gradients)
            )
        first = np.atleast_2d(places)[0].astype(np.float64)
        start = (first - np.asarray(frame.center)) / np.asarray(frame.scale)
        _check_start(land, start)
        portfolio = Portfolio(land, float(max_better_basins))
        portfolio.run(np.clip(start, frame.lower, frame.upper))
        if refinement is None or _falls(land):
            return _result(portfolio, polish(land), like)
        outcome = refinement.run(portfolio)
        best = outcome.best
        end = Polished(best.y, best.fun, best.left, best.reached, 0)
        return _constrained(_result(portfolio, end, like), land, outcome, like)


def _checked_spread(
    spread: ArrayLike | Literal["auto"], x0: object
) -> ArrayLike | Literal["auto"]:
    if isinstance(spread, list | tuple):
        spread = np.asarray(spread)
    checks.number("spread", spread, positive=True, auto=True)
    if callable(x0) and not isinstance(spread, str):
        raise ValueError(
            f"spread is {spread!r}, but x0 is a function that draws the starts; leave spread out."
        )
    return spread


def _places(
    x0: PyTree[ArrayLike] | Callable[[PRNGKey], PyTree],
    key: PRNGKey,
    use_gradients: bool,
    num_drawn: int = 64,
) -> tuple[PyTree[Array], Float[np.ndarray, "*places d"]]:
    """Return a position that has the structure of all, and x0 as a vector, or `num_drawn` starts that it draws.

    The units of the search follow from these.
    """
    drawn = callable(x0)
    positions = draw_with(x0, key, num_drawn) if drawn else arguments.as_position(x0)
    if not use_gradients:
        positions = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), positions)
    if not drawn:
        return positions, np.asarray(ravel_pytree(positions)[0])
    like = jax.tree.map(lambda leaf: leaf[0], positions)
    arguments.as_position(like)
    return like, np.asarray(jax.vmap(lambda x: ravel_pytree(x)[0])(positions))


def _on_vectors(
    fun: Objective,
    like: PyTree[Array],
    frame: Frame,
    use_gradients: bool,
) -> Problem:
    """Return the problem on vectors, before penalties and finite differences."""
    if not use_gradients:
        return arguments.on_vectors(as_values(fun, like), like)
    problem = arguments.on_vectors(arguments.as_problem(fun), like)
    arguments.check_scalar(problem, frame.center)
    return problem


def _check_one_row(problem: Problem) -> None:
    if int(problem.size) != 1:
        raise ValueError(
            f"constraints are taken with a function, but fun is a problem of {int(problem.size)} rows; pass "
            "fun=problem.potential, which takes all rows for each value."
        )


def _budget(
    max_evaluations: int | Literal["auto"],
    problem: Problem,
    dimension: int,
    evaluations: int = 10_000,
) -> float:
    """Return so many evaluations for each coordinate by default, and less of a long sum."""
    if isinstance(max_evaluations, str):
        return evaluations * dimension / max(1, int(problem.size) / WHOLE_SUM_ROWS)
    return max_evaluations


def _draws(
    x0: Callable[[PRNGKey], PyTree], frame: Frame
) -> Callable[[int, np.random.Generator], Places]:
    """Return a function that draws starts, in units of the frame."""

    def starts(number: int, rng: np.random.Generator) -> Places:
        seeds = random.split(random.key(int(rng.integers(2**31))), number)
        vectors = jax.vmap(lambda seed: ravel_pytree(x0(seed))[0])(seeds)
        away = np.asarray(vectors, np.float64) - np.asarray(frame.center)
        return away / np.asarray(frame.scale)

    return starts


def _frame(
    places: Float[np.ndarray, "*places d"],
    box: Box | None,
    spread: ArrayLike | Literal["auto"],
) -> Frame:
    """Return the box of size one, or, without bounds, units of the spread around x0."""
    dtype = places.dtype
    d = places.shape[-1]
    low, high = (
        (np.full(d, -np.inf), np.full(d, np.inf))
        if box is None
        else (side.astype(float) for side in box)
    )
    center = np.atleast_2d(places)[0].astype(float)
    if not isinstance(spread, str):
        if np.shape(spread) not in ((), (d,)):
            raise ValueError(
                f"spread has shape {np.shape(spread)} but x0 has {d} numbers; pass a float, or one for each of them."
            )
        scale = np.broadcast_to(np.asarray(spread, float), (d,))
    elif places.ndim == 2:
        scale = places.std(axis=0, dtype=float)
        scale = np.where(scale > 0, scale, 1)
    else:
        filled = np.isfinite(high - low)
        scale = np.where(
            filled,
            np.where(filled, high - low, 1),
            np.where(center == 0, 1, np.abs(center)),
        )
        center = np.where(filled, np.where(filled, low, 0), center)
    arrays = (center, scale, (low - center) / scale, (high - center) / scale, low, high)
    return Frame(*(jnp.asarray(a, dtype) for a in arrays))


def _coarse(
    problem: Problem,
    fun: Objective,
    like: PyTree[Array],
    rng: np.random.Generator,
) -> Problem:
    """Return the sum over WHOLE_SUM_ROWS rows drawn from a long one, and any other problem itself."""
    if (
        not isinstance(fun, FiniteSum)
        or type(fun) is not FiniteSum
        or fun.max_size <= WHOLE_SUM_ROWS
    ):
        return problem
    if fun.weights is not None or fun.count is not None:
        return problem
    rows = np.sort(rng.choice(fun.max_size, WHOLE_SUM_ROWS, replace=False))
    return arguments.on_vectors(
        fun.over(jax.tree.map(lambda leaf: leaf[rows], fun.data)), like
    )


def _check_start(land: Landscape, start: Place) -> None:
    """Raise where fun or its gradient is not finite at x0; a function x0 may draw such starts."""
    if land.starts is not None:
        return
    place = land.frame.to_x(jnp.asarray(start, land.frame.scale.dtype))
    value = float(land.problem.potential(place))
    slope = float(np.linalg.norm(gradient_at(land.problem, land.frame, start)))
    for name, number in (("fun", value), ("the norm of the gradient of fun", slope)):
        if not np.isfinite(number):
            raise ValueError(
                f"{name} at x0 is {number}; start where fun and its gradient are finite."
            )


def _intermediate_result(land: Landscape, like: PyTree[Array]) -> "OptimizeResult":
    from scipy.optimize import OptimizeResult

    return OptimizeResult(
        x=to_position(land.x(land.best_y), like),
        fun=land.best_fun,
        nit=land.searches,
        nfev=land.nfev,
        njev=land.njev,
    )


def _basins(portfolio: Portfolio, like: PyTree[Array], most: int = 100) -> list[Basin]:
    land = portfolio.land
    ends = portfolio.multistart.ends
    best = land.best_y[None]
    ys = np.concatenate([ends.y.reshape(-1, best.shape[1]), best])
    fun = np.append(ends.fun, land.best_fun)
    labels, best_ends = group_ends(
        ys, fun, np.append(ends.moved, True), land.difference
    )
    shares = np.bincount(labels[:-1], minlength=len(best_ends)) / max(1, len(ends.fun))
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
    whole = gradient / np.asarray(scale, np.float64)
    return to_position(whole.astype(scale.dtype), like)


def _result(
    portfolio: Portfolio, end: Polished, like: PyTree[Array]
) -> "OptimizeResult":
    from scipy.optimize import OptimizeResult

    land = portfolio.land
    expected = portfolio.expected_better_basins
    is_met = expected <= portfolio.largest_expected
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
        message=_message(portfolio, end, status, expected),
        expected_better_basins=expected,
        nit=land.searches,
        nfev=land.nfev,
        njev=land.njev,
        basins=_basins(portfolio, like),
        history={"nfev": nfev, "njev": njev, "fun": fun},
    )


def _constrained(
    result: "OptimizeResult",
    land: Landscape,
    outcome: Constrained,
    like: PyTree[Array],
    most: int = 100,
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
            for end in outcome.basins[:most]
        ],
    )
    return result


def _infeasible(result: "OptimizeResult", outcome: Constrained, x: Place) -> str:
    best = outcome.best
    where = np.array2string(x, precision=3, threshold=6)
    message = (
        "no place that satisfies the constraints was met; the smallest violation met is "
        f"{best.violation:.3g} (of {best.name}) at x = {where}. They may contradict each other; if not, start "
        "inside of them, pass bounds, or raise max_evaluations."
    )
    stopped = result.status == MinimizeStatus.STOPPED
    return f"{result.message} And {message}" if stopped else message


def _of_constraints(result: "OptimizeResult", outcome: Constrained) -> str:
    best = outcome.best
    message = f"Penalties lead to basins, which SLSQP refines: the largest violation is {best.violation:.2g}"
    if best.violation > 0:
        message += f" (of {best.name}), which lowers fun by about {best.bought:.1g}"
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
    portfolio: Portfolio,
    end: Polished,
    status: MinimizeStatus,
    expected: float,
) -> str:
    """Return why the search ended, how many better basins are expected, what that rests on, and what to do."""
    land = portfolio.land
    if status == MinimizeStatus.UNBOUNDED:
        where = np.array2string(land.x(land.best_y), precision=3, threshold=6)
        return f"fun falls without end: at x = {where} it is {land.best_fun:.3g}; pass bounds."
    names = (
        ("local search", "local searches"),
        ("run of hopping", "runs of hopping"),
        ("evolution", "evolutions"),
    )
    tallies = zip(portfolio.tallies(), names, strict=True)
    evidence = " ".join(
        _agreement(counted, *name) for counted, name in tallies if counted.searches
    )
    number = f"{expected:.2g}" if np.isfinite(expected) else "unknown"
    promise = (
        f"the expected number of unseen better basins is {number} (at most {portfolio.largest_expected:g} was "
        "asked)"
    )
    if status == MinimizeStatus.NOT_REACHED:
        return (
            f"x is not a minimum to rounding: the gradient there has norm {np.linalg.norm(end.gradient):.3g} in units "
            f"of the box. fun may have a kink there, or be too flat for its dtype; try float64. {evidence}"
        )
    if status == MinimizeStatus.STOPPED:
        return f"Stopped by the callback after {land.searches} local searches: {promise}. {evidence}"
    if status == MinimizeStatus.BUDGET_SPENT:
        return (
            f"Spent the {land.budget:,.0f} evaluations before a better basin became unlikely: {promise}. "
            f"{evidence} Raise max_evaluations to be surer."
        )
    return f"A better basin is unlikely: {promise}. {evidence}"


def _agreement(counted: Tally, one: str, many: str) -> str:
    """Return a sentence on how many searches or runs ended at the best value."""
    others = counted.basins - bool(counted.at_best)
    basins = "a worse basin" if others == 1 else f"{others} worse basins"
    rest = f", the others in {basins}" if others else ""
    name = one if counted.searches == 1 else many
    return (
        f"{counted.at_best} of {counted.searches} {name} ended at the best value{rest}."
    )
