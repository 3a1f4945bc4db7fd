"""`minimize`: global minima by Langevin dynamics whose temperature falls, with SciPy's habits.

    x  <-  x - h g + sqrt(2 h T) xi,      T from hot to cold, then L-BFGS-B from where each chain ended

At a fixed temperature T = 1 / beta the chains sample exp(-fun / T), whose mean lies about d T / 2 above the minimum,
and never more than (d T / 2) log((e L / M)(b / (d T) + 1)): so a large beta stands for the minimum (Kinoshita and
Suzuki, NeurIPS 2022, Theorem 3, where beta >= (4d / eps) log(e L / M) for a gap of eps). How soon a chain gets there is
another matter: from a well behind a barrier B it comes at a rate that falls as exp(-beta B), so that with several wells
the time grows exponentially in 1 / eps. Neither polynomial time nor a global minimum is promised here; what is given
instead is how many independent chains agree. Measured: Rastrigin's function with barriers of 2 is solved in d = 10 by
16 x 20,000 steps (0.15 s), where descents from the same starts fail; with its classical barriers of 20 it is not in
d = 5 by 64 x 10^6. Where wells are that deep and coordinates few, `scipy.optimize.dual_annealing` is the better tool.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array

from langevax.gradients import SVRG, GradientEstimator
from langevax.optimize import arguments, outcome, starts
from langevax.optimize.schedules import COOLING, Geometric, Logarithmic, equipartition_temperature
from langevax.optimize.search import Look, Plan, Search, default_estimator, tuned_step_size
from langevax.theory.bounds import theorem_step_size
from langevax.theory.lsi import Target

if TYPE_CHECKING:
    import scipy.optimize

NUM_CHAINS, NUM_STEPS = 16, 20_000


def minimize(
    fun: Any,
    x0: Any,
    *,
    key: Any,
    bounds: Any = None,
    num_chains: int = NUM_CHAINS,
    num_steps: int = NUM_STEPS,
    temperature: Any = None,
    schedule: str | None = "anneal",
    step_size: Any = "tuned",
    constants: Target | None = None,
    accuracy: float | None = None,
    gradient: GradientEstimator | None = None,
    spread: Any = None,
    polish: bool = True,
    callback: Callable[..., Any] | None = None,
    progress: bool | None = None,
) -> "scipy.optimize.OptimizeResult":
    """Look for the global minimum of `fun` with `num_chains` independent chains.

    Args:
        fun: `fun(position) -> scalar`, differentiable by JAX; or a `Problem`, whose potential is minimised. Of a
            `FiniteSum` of more than 1024 rows SVRG takes minibatches.
        x0: a position, any pytree of one floating dtype: the first chain starts there, the others around it. Or a
            function `key -> position`, drawn anew for each chain. In float32 a minimum is found to about 1e-4 of
            its width; x0 in float64 (`jax.enable_x64`) goes to the end.
        key: an int seed, or a typed key. The same key gives the same result.
        bounds: `scipy.optimize.Bounds`, or a (lower, upper) for each number of x0, leaf after leaf; None or infinite
            where there is none. Chains are reflected there (`Reflected`), L-BFGS-B respects them.
        num_chains: chains that never meet, so that where they agree says something.
        num_steps: of each chain.
        temperature: T, in units of `fun`. With schedule="anneal" the hottest, or a pair (hot, cold); with
            "logarithmic" that of the first step; with None the only one, 1 / beta. None chooses the hottest as
            sqrt(2 / d) times the spread of `fun` over places drawn like the starts: at that temperature `fun`
            fluctuates as much. A function of the step (such as optax's schedules) is taken as it is.
        schedule: "anneal" falls geometrically, by a factor of 1000 unless told; "logarithmic" as 1 / log(2 + step);
            None keeps one temperature: the ends are draws from exp(-fun / T).
        step_size: h, in units of position^2 / fun. "tuned" is 0.25 / L with L the largest curvature over the starts,
            and is halved, up to ten times, where chains diverge. A float or a schedule is kept. "theorem" is the
            largest that Kinoshita and Suzuki allow (with full gradients, Chewi) at the one temperature of
            schedule=None, without bounds.
        constants: for "theorem", smoothness and log-Sobolev constant, see `langevax.theory.lsi`.
        accuracy: for "theorem", the divergence KL(chain || Gibbs law) to stay below in the end; None: any.
        gradient: an estimator of `langevax.gradients`; None: `Full`, or `SVRG` where rows are many.
        spread: standard deviation of the starts around x0, a float or one for each number. None starts uniformly
            where both bounds are finite, and with 1.0 elsewhere. 0.0 starts all chains at x0.
        polish: descend from the end of each chain, and from the best place seen, by L-BFGS-B.
        callback: as in SciPy: `callback(intermediate_result)` with that very name gets an `OptimizeResult` (x, fun,
            nit, nfev, temperature, x_chains, fun_chains), any other one x; StopIteration or True stops. It is called a
            hundred times.
        progress: show a progress line; None shows it on a terminal.

    Returns:
        A `scipy.optimize.OptimizeResult`. Positions are NumPy arrays in the structure of x0; "chains" have a first
        axis more.

        - x, fun, jac: the best that was found, its value and gradient.
        - success: the chains stayed finite and x is a minimum, its gradient zero to rounding (without `polish`: they
          stayed finite). It does NOT say that x is the global minimum: the message says how far chains agree.
        - status: 0; 1 chains diverged; 2 polishing reached no minimum at x; 99 stopped by the callback.
        - message: how far the chains agree, halved steps, and what to do, in words.
        - nit: steps of each chain. nfev: evaluations of `fun` or its gradient, of all chains and phases; of a finite
          sum each component counts one, a product with the Hessian two.
        - x_chains, fun_chains: where each chain ended, polished. x_starts: where it began.
        - basins: list of `Basin(fun, share, x)`, the distinct minima, best first; share is that of the chains. Empty
          without `polish`.
        - temperature, step_size: at the last step. gibbs_gap: d T / 2, by how much chains at that temperature lie above
          their minimum before they are polished; an estimate, for minima that are round inside the bounds.
        - history: dict of arrays over the looks: nit, nfev, fun (best so far), fun_chains (look, chain).

    Raises:
        TypeError, ValueError: a mistake in an argument, or a gradient that is NaN where chains came; the message names
            the argument, the value and the remedy.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> from langevax.optimize import minimize
        >>> def two_wells(x):
        ...     return jnp.sum((x**2 - 1) ** 2) + 0.3 * jnp.sum(x)
        >>> found = minimize(two_wells, jnp.array([0.9, 0.9]), key=0)
        >>> found.x.round(2), found.success, len(found.basins) <= 4
        (array([-1.04, -1.04], dtype=float32), True, True)
    """
    arguments.check_numbers(num_chains, num_steps, temperature, schedule, step_size, gradient, spread)
    by_theorem = isinstance(step_size, str) and step_size == "theorem"
    if by_theorem and (schedule is not None or callable(temperature) or bounds is not None):
        raise ValueError("step_size='theorem' is for one temperature and no bounds; pass schedule=None, temperature=.")
    follow = arguments.as_callback(callback)
    problem, key = arguments.as_problem(fun), arguments.as_key(key)
    start_key, curvature_key, run_key = random.split(key, 3)

    drawn, number = callable(x0), max(num_chains, starts.MIN_PLACES)
    if drawn and spread is not None:
        raise ValueError(f"spread is {spread!r}, but x0 is a function that draws the starts; leave spread out.")
    positions = starts.draw_with(x0, start_key, number) if drawn else arguments.as_position(x0)
    like = jax.tree.map(lambda a: a[0], positions) if drawn else positions
    arguments.as_position(like)
    problem = arguments.on_vectors(problem, like)
    box = arguments.as_box(bounds, like)
    places = jax.vmap(arguments.to_vector)(positions) if drawn else arguments.to_vector(positions)
    arguments.check_inside("x0", np.asarray(places), box)
    if not drawn:
        places = starts.draw(places, spread, box, start_key, number)
    places = places if box is None else jnp.clip(places, *box)  # by rounding only
    tuned = isinstance(step_size, str) and not by_theorem
    survey = starts.look(problem, places, tuned, curvature_key, "x0 draws" if drawn else "x0")

    size = places.shape[1]
    temperature = _temperature(temperature, schedule, survey, size, num_steps)
    hottest = float(np.asarray(temperature(0) if callable(temperature) else temperature))
    estimator = gradient or default_estimator(problem, num_steps)
    if by_theorem:
        if gradient is None and isinstance(estimator, SVRG):
            root = math.isqrt(int(problem.size))
            estimator = SVRG(root, root)  # what the theorem takes
        step_size = _theorem_step(estimator, constants, hottest, int(problem.size), accuracy)
    step_size = tuned_step_size(survey, hottest) if tuned else step_size
    plan = Plan(step_size, temperature, estimator, box, num_steps, tuned, progress)

    def report(look: Look, ends: Array) -> bool:
        assert follow is not None
        state = outcome.so_far(search, look, ends, plan, like)
        try:
            answer = follow(state)
        except StopIteration:
            return True
        return isinstance(answer, bool | np.bool_) and bool(answer)

    search = Search(problem, survey, num_chains, None if follow is None else report)
    plan = search.run(plan, run_key)
    return outcome.result(search, plan, like, polish)


def _theorem_step(
    gradient: GradientEstimator, constants: Target | None, temperature: float, size: int, accuracy: float | None
) -> float:
    named: dict[str, Any] = {name: getattr(gradient, name, None) for name in ("batch_size", "period")}
    named |= {"replace": getattr(gradient, "replace", False), "accuracy": accuracy}
    return theorem_step_size(type(gradient).__name__, constants, temperature, size, **named)


def _temperature(temperature: Any, schedule: str | None, survey: starts.Survey, size: int, num_steps: int) -> Any:
    """A number or a schedule of the step."""
    if callable(temperature) or schedule is None:
        return temperature
    if isinstance(temperature, tuple | list):
        hot, cold = (float(number) for number in temperature)
        return Geometric(hot, cold, num_steps)
    hot = equipartition_temperature(survey.values, size) if temperature is None else float(temperature)
    if not hot > 0:
        raise ValueError(
            "temperature=None is chosen from the spread of fun over the starts, but fun is "
            f"{survey.values[0]:.6g} at all of them; pass a temperature, or a larger spread."
        )
    if schedule == "logarithmic":
        return Logarithmic(hot * float(np.log(2)))
    return Geometric(hot, COOLING * hot, num_steps)
