"""`anneal`: global minima by Langevin dynamics at a falling temperature, with SciPy's interface.

    x  <-  x - h g + sqrt(2 h T) xi,      T from hot to cold, then L-BFGS from where each chain ended

At a fixed temperature T = 1 / beta the chains sample exp(-fun / T), whose mean lies about d T / 2 above the minimum,
and never more than (d T / 2) log((e L / M)(b / (d T) + 1)): so a large beta stands for the minimum (Kinoshita and
Suzuki, NeurIPS 2022, Theorem 3, where beta >= (4d / eps) log(e L / M) for a gap of eps). Chains leave a well behind a
barrier B at a rate that falls as exp(-beta B), so that with several wells the time grows exponentially in 1 / eps.
Neither polynomial time nor a global minimum is guaranteed; the result says how many independent chains agree. Measured:
Rastrigin's function with barriers of 2 is solved in d = 10 by 16 x 20,000 steps (0.15 s), where descents from the same
starts fail; with its classical barriers of 20 it is not in d = 5 by 64 x 10^6. `minimize` crosses those;
these chains also take batches of rows.
"""

import math
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, ArrayLike, Float

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.gradients import GradientEstimator
from langevax.optimize import arguments
from langevax.optimize.arguments import (
    BoundsLike,
    Callback,
    Objective,
    Schedule,
    to_position,
)
from langevax.optimize.basins import Basin, Tally, group_ends
from langevax.optimize.landscape import ROUNDINGS, Landscape
from langevax.optimize.local_search import (
    Frame,
    SearchEnds,
    free,
    gradient_at,
    gradients_at,
    local_searches,
)
from langevax.optimize.schedules import Geometric
from langevax.optimize.search import (
    Search,
    SearchState,
    Survey,
    choose_gradient,
    choose_step_size,
    draw,
    equipartition_temperature,
    potentials,
    survey,
    value_at,
)
from langevax.renamed import refuse_former
from langevax.run.options import Run, check_unsaved

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

FEWEST_PLACES = 32
"""Places that are evaluated however few the chains, to estimate the spread of the values."""


class AnnealStatus(IntEnum):
    """Outcomes of the chains."""

    CONVERGED = 0
    DIVERGED = 1
    NOT_REACHED = 2
    STOPPED = 99


@refuse_former
def anneal(
    fun: Objective,
    x0: PyTree[ArrayLike] | Callable[[PRNGKey], PyTree],
    *,
    key: PRNGKey,
    bounds: BoundsLike = None,
    num_chains: int = 16,
    num_steps: int = 20_000,
    temperature: float | tuple[float, float] | Schedule | Literal["auto"] = "auto",
    step_size: float | Schedule | Literal["auto"] = "auto",
    gradient: GradientEstimator | Literal["auto"] = "auto",
    callback: Callback = None,
    run: Run = Run(),
) -> "OptimizeResult":
    """Search for the global minimum of `fun` with `num_chains` independent chains.

    Args:
        fun: `fun(position) -> scalar`, differentiable by JAX; or a `Problem`, whose potential is minimised.
        x0: a position, any pytree of one floating dtype: the first chain starts there, the others uniformly between two
            finite bounds, and around it with standard deviation 1 elsewhere. Or a function `key -> position` that draws
            the start of each chain. In float32 a minimum is found to about 1e-4
            of its width; pass x0 in float64 (`jax.enable_x64`) for full precision.
        key: a typed key, `jax.random.key(0)`. The same key gives the same result.
        bounds: `scipy.optimize.Bounds`, or a (lower, upper) for each number of x0, leaf after leaf; None or infinite
            where there is none. Chains are reflected there (`Reflected`), descents respect them.
        num_chains: number of chains; they are independent, so that their agreement is evidence.
        num_steps: of each chain.
        temperature: T, in units of `fun`: the hottest, from which it falls geometrically by a factor of 1000, or a pair
            (hot, cold). "auto" takes sqrt(2 / d) times the spread of `fun` over places drawn like the starts. Or a
            function of the step, such as `Logarithmic`, or optax's schedules.
        step_size: h, in units of position^2 / fun. "auto" is 0.25 / L with L the largest curvature over the starts,
            and chains that diverge end the run. Or a float, or a schedule; the largest that a theorem allows at one
            temperature is a number of `langevax.theory.bounds`.
        gradient: an estimator of `langevax.gradients`; "auto" is `Full`, and `SVRG` for more than 1024 rows.
        callback: as in SciPy, not as in `simulate`: `callback(intermediate_result)` with that very name gets an
            `OptimizeResult` (x, fun, nit, nfev, temperature, x_chains, fun_chains), any other one x; StopIteration or
            True stops. It is called a hundred times.
        run: a `langevax.Run`; it saves nothing.

    Returns:
        A `scipy.optimize.OptimizeResult`. Positions are NumPy arrays in the structure of x0; those of chains have a
        leading axis.

        - x, fun, jac: the best minimum, its value and gradient.
        - success: the chains stayed finite and x is a minimum, its gradient zero to rounding. It does NOT say
          that x is the global minimum: the message says how far chains agree.
        - status: 0; 1 chains diverged; 2 polishing reached no minimum at x; 99 stopped by the callback.
        - message: how far the chains agree, and what to do.
        - nit: steps of each chain. nfev: evaluations of `fun` or its gradient, over all chains and phases; of a finite
          sum each component counts one, a product with the Hessian two.
        - x_chains, fun_chains: where each chain ended, polished. x_starts: where it began.
        - basins: list of `Basin(fun, share, x)`, the distinct minima, best first, with their share of the chains.
        - temperature, step_size: at the last step.
        - history: dict of arrays over the records: nit, nfev, fun (best so far), fun_chains (record, chain).

    Raises:
        TypeError, ValueError: an invalid argument, or fun that is not finite at x0.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax.optimize import anneal
        >>> def two_wells(x):
        ...     return jnp.sum((x**2 - 1) ** 2) + 0.3 * jnp.sum(x)
        >>> result = anneal(two_wells, jnp.array([0.9, 0.9]), key=jax.random.key(0))
        >>> result.x.round(2), result.success, len(result.basins) <= 4
        (array([-1.04, -1.04], dtype=float32), True, True)
    """
    arguments.check_options(num_chains, num_steps, temperature, step_size, gradient)
    stops = arguments.as_callback(callback)
    problem = arguments.as_problem(fun)
    checks.typed_key(key)
    check_unsaved(run, "anneal")
    start_key, curvature_key, run_key = random.split(key, 3)
    number = max(num_chains, FEWEST_PLACES)
    starts = arguments.as_starts(x0, bounds, start_key, number)
    like = starts.like
    problem = arguments.on_vectors(problem, like)
    places = _places(starts, start_key, number)
    chooses_step = isinstance(step_size, str)
    at_starts = survey(problem, places, chooses_step, curvature_key)
    temperature = _choose_temperature(temperature, at_starts, num_steps)
    if isinstance(gradient, str):
        gradient = choose_gradient(problem, num_steps)
    if isinstance(step_size, str):
        step_size = choose_step_size(at_starts, value_at(temperature, 0))

    def stop(state: SearchState, ends: Array) -> bool:
        return stops is not None and stops(
            _intermediate_result(search, state, ends, like)
        )

    search = Search(
        problem,
        at_starts,
        num_chains,
        num_steps,
        step_size,
        temperature,
        gradient,
        starts.box,
        stop,
    )
    search.run(run_key, run)
    return _result(search, like)


def _places(
    starts: arguments.Starts, key: PRNGKey, number: int
) -> Float[Array, "places d"]:
    """Return the places that a function drew, or as many around x0."""
    vectors = jnp.asarray(starts.vectors)
    infinite = jnp.full(vectors.shape[-1], jnp.inf, vectors.dtype)
    lower, upper = starts.box or (-infinite, infinite)
    if not starts.drawn:
        vectors = draw(vectors, jnp.asarray(lower), jnp.asarray(upper), key, number)
    return jnp.clip(vectors, lower, upper)  # by rounding only


def _choose_temperature(
    temperature: float | tuple[float, float] | Schedule | Literal["auto"],
    at_starts: Survey,
    num_steps: int,
    cooling: float = 1e-3,
) -> float | Schedule:
    """Return the schedule: by default the coldest temperature is `cooling` times the hottest."""
    if callable(temperature):
        return temperature
    if isinstance(temperature, tuple | list):
        hot, cold = (float(number) for number in temperature)
        return Geometric(hot, cold, num_steps)
    if isinstance(temperature, str):
        hot = equipartition_temperature(at_starts.values, at_starts.places.shape[1])
    else:
        hot = float(temperature)
    if not hot > 0:
        raise ValueError(
            "temperature='auto' is chosen from the spread of fun over the starts, but "
            f"fun is {at_starts.values[0]:.6g} at all of them; pass a temperature, or "
            "an x0 that draws starts farther apart."
        )
    return Geometric(hot, cooling * hot, num_steps)


def _intermediate_result(
    search: Search,
    state: SearchState,
    ends: Array,
    like: PyTree[Array],
) -> "OptimizeResult":
    from scipy.optimize import OptimizeResult

    return OptimizeResult(
        x=to_position(search.best, like),
        fun=search.best_value,
        nit=state.step,
        nfev=state.evaluations,
        temperature=value_at(search.temperature, state.step - 1),
        x_chains=to_position(ends, like),
        fun_chains=state.values,
    )


class _Polished(NamedTuple):
    """The ends of the chains and the best place, after a descent."""

    best: Float[np.ndarray, " d"]
    fun: float
    reached: bool
    ends: Float[np.ndarray, "chains d"]
    values: Float[np.ndarray, " chains"]
    evaluations: int
    basins: list[Basin]
    tally: Tally


def _polished(
    search: Search,
    frame: Frame,
    like: PyTree[Array],
    step_size: float,
) -> _Polished:
    """Descend from the ends of all chains and the best place, and group them into basins.

    A descent begins with a gradient step of the chain's own size, so that it stays in the basin of the chain, whatever
    the scale of x and of fun.
    """
    values = np.asarray(potentials(search.problem, search.positions), np.float64)
    search.update_best(values, search.positions)
    num_chains = len(values)
    starts = np.concatenate([search.positions, search.best[None]])
    slopes = np.linalg.norm(gradients_at(search.problem, frame, starts), axis=1)
    first = step_size * slopes
    ends = local_searches(
        search.problem, frame, starts, len(starts), Landscape.limit, first=first
    )
    best = int(np.argmin(ends.fun))
    difference, distance = _tolerances(search.survey, ends, frame.scale.dtype)
    with np.errstate(invalid="ignore", over="ignore"):  # chains that diverged
        labels, basins = group_ends(
            ends.y, ends.fun, np.ones(len(starts), bool), difference, distance
        )
        at_best = ends.fun[basins] <= ends.fun[best] + difference
    chains = np.bincount(labels[:num_chains], minlength=len(basins))
    in_best = int(chains[at_best].sum())
    worse = int(np.sum(chains[~at_best] > 0))
    x = ends.y.astype(starts.dtype)
    return _Polished(
        x[best],
        float(ends.fun[best]),
        _is_minimum(search, frame, ends, best, step_size),
        x[:num_chains],
        ends.fun[:num_chains],
        search.size * int(ends.evaluations.sum()),
        [
            Basin(float(ends.fun[i]), int(count) / num_chains, to_position(x[i], like))
            for i, count in zip(basins, chains, strict=True)
        ],
        Tally(num_chains, worse + bool(in_best), in_best),
    )


def _is_minimum(
    search: Search,
    frame: Frame,
    ends: SearchEnds,
    best: int,
    step_size: float,
    roundings: float = ROUNDINGS,
) -> bool:
    """Return whether a gradient step gains at most `roundings` of a function with values of the size at the starts.

    Or of its value where the descent began, but not where it ended: a function may be unbounded below.
    """
    y = ends.y[best]
    gradient = gradient_at(search.problem, frame, y)
    inside = np.asarray(free(frame, jnp.asarray(y), jnp.asarray(gradient)))
    size = max(search.survey.size_of_values, abs(float(ends.start_fun[best])))
    gain = step_size * float(np.sum(gradient[inside] ** 2))
    eps = float(np.finfo(frame.scale.dtype).eps)
    return bool(np.isfinite(ends.fun[best])) and gain <= roundings * eps * size


def _tolerances(
    survey: Survey,
    ends: SearchEnds,
    dtype: np.dtype[Any],
    near: float = 1e-2,
) -> tuple[float, float]:
    """Return the difference in value and the distance up to which two minima are one.

    The distance is `near` times the scale of the starts, or of the minima where all starts are equal; the difference is
    the square root of the rounding, times the spread of values at the starts.
    """
    best = int(np.argmin(ends.fun))
    lowest = float(ends.fun[best])
    eps = float(np.finfo(dtype).eps)
    scale = survey.scale or float(np.abs(ends.y[best]).max()) or 1.0
    difference = math.sqrt(eps) * survey.spread_above(lowest) + ROUNDINGS * eps * abs(
        lowest
    )
    return difference, near * scale * math.sqrt(ends.y.shape[1])


def _frame(search: Search) -> Frame:
    """Return the units of the function itself."""
    ones = np.ones_like(search.best)
    infinite = np.inf * ones
    lower, upper = search.box or (-infinite, infinite)
    return Frame(*map(jnp.asarray, (0 * ones, ones, lower, upper, lower, upper)))


def _result(search: Search, like: PyTree[Array]) -> "OptimizeResult":
    """Polish the ends of a search, group them into basins, and describe how it ended."""
    from scipy.optimize import OptimizeResult

    history = search.history
    last = max(search.steps - 1, 0)
    temperature = value_at(search.temperature, last)
    step_size = value_at(search.step_size, last)
    unit = step_size or value_at(search.step_size, 0)  # a schedule may end at 0
    frame = _frame(search)
    end = _polished(search, frame, like, unit)
    jac = gradient_at(search.problem, frame, end.best)
    num_chains = len(end.ends)
    if search.diverged_at is not None:
        status = AnnealStatus.DIVERGED
    elif search.stopped:
        status = AnnealStatus.STOPPED
    else:
        status = AnnealStatus.CONVERGED if end.reached else AnnealStatus.NOT_REACHED
    return OptimizeResult(
        x=to_position(end.best, like),
        fun=end.fun,
        jac=to_position(jac.astype(end.best.dtype), like),
        success=search.diverged_at is None and end.reached,
        status=int(status),
        message=_message(search, step_size, end, float(np.linalg.norm(jac))),
        nit=search.steps,
        nfev=search.evaluations + num_chains * search.size + end.evaluations,
        x_chains=to_position(end.ends, like),
        fun_chains=end.values,
        x_starts=to_position(search.starts, like),
        basins=end.basins,
        temperature=temperature,
        step_size=step_size,
        history={
            "nit": np.array([state.step for state in history], int),
            "nfev": np.array([state.evaluations for state in history], int),
            "fun": np.array([state.best_value for state in history], float),
            "fun_chains": np.array([state.values for state in history], float).reshape(
                len(history), num_chains
            ),
        },
    )


def _message(
    search: Search,
    step_size: float,
    end: _Polished,
    slope: float,
) -> str:
    """Return how the run ended, whether x is a minimum, and how far chains agree."""
    sentences = [f"Finished all {search.num_steps} steps."]
    if search.stopped:
        sentences = [
            f"Stopped by the callback after step {search.steps} of {search.num_steps}."
        ]
    if search.diverged_at is not None:
        sentences = [
            (
                f"Chains diverged at step {search.diverged_at} with "
                f"step_size={step_size:.3g}; pass a smaller one, a lower temperature, "
                "or bounds that keep chains where fun and its gradient are numbers."
            )
        ]
    if not end.reached:
        sentences.append(
            f"Polishing reached no minimum: the gradient at x has norm {slope:.3g}. "
            "fun may have a kink there, be unbounded below, or be too flat for its "
            "dtype; try bounds, or float64."
        )
    else:  # basins are those of minima
        sentences.append(end.tally.sentence("chain", "chains"))
        if end.tally.at_best < end.tally.searches or end.tally.searches == 1:
            sentences.append("To be surer, raise num_steps or num_chains.")
    return " ".join(sentences)
