"""The solvers of the table, each with one budget: a value costs 1, a gradient with its value 4."""

import contextlib
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize as scipy

import langevax as lx
from benchmarks.minimize.exchange import replica_exchange
from langevax.optimize import landscape

GRADIENT = 4
SHGO_COORDINATES = 5
"""Of more, shgo's triangulation takes minutes for a function, and it is not run."""


class Run(NamedTuple):
    """Result of one run."""

    fun: float
    """Lowest value that was computed."""
    hit: float | None
    """Cost until the target was first reached; None where it was not."""
    likely: bool | None = None
    """True where the solver said that a better minimum is unlikely."""
    seconds: float = 0.0
    """Of all processors."""
    stop: float | None = None
    """Cost until the solver stopped by its own rule; None where it was not left to it."""


class Lockstep:
    """Counts what the searches of `minimize` cost, evaluation by evaluation, until they reach the target.

    The lanes of a batch take their steps together, and the step that reaches the target is paid for by all of them. It
    is one of a batch that has ended, which is run again with lower limits.
    """

    def __init__(self, target: float):
        self.target, self.cost, self.hit = target, 0.0, None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count what is computed meanwhile."""
        search, values = landscape.local_searches, landscape.values

        def counted_search(
            problem: Any, frame: Any, starts: Any, lanes: int, limit: int, *others: Any
        ) -> Any:
            ends = search(problem, frame, starts, lanes, limit, *others)
            if self.hit is None and ends.fun.min() <= self.target:
                missed, reached = 0, int(ends.evaluations.max())
                while reached - missed > 1:
                    middle = (missed + reached) // 2
                    short = search(problem, frame, starts, lanes, middle, *others)
                    lowest = short.fun.min() if middle > 1 else ends.start_fun.min()
                    missed, reached = (
                        (missed, middle) if lowest <= self.target else (middle, reached)
                    )
                self.hit = self.cost + GRADIENT * int(
                    np.minimum(ends.evaluations, reached).sum()
                )
            self.cost += GRADIENT * int(ends.evaluations.sum())
            return ends

        def counted_values(problem: Any, frame: Any, places: Any) -> Any:
            fun = values(problem, frame, places)
            if self.hit is None and np.any(fun <= self.target):
                self.hit = self.cost + 1 + int(np.argmax(fun <= self.target))
            self.cost += len(places)
            return fun

        with (
            mock.patch.object(landscape, "local_searches", counted_search),
            mock.patch.object(landscape, "values", counted_values),
        ):
            yield


class Spent(Exception):
    """The budget is spent, or the target is reached."""


@eqx.filter_jit
def _value_and_gradient(function: Any, x: Any) -> tuple[Any, Any]:
    return jax.value_and_grad(function)(x)


class Metered:
    """A function that counts, and stops its solver where the target is reached or the budget is spent."""

    def __init__(
        self, function: Any, budget: float, target: float, beyond: bool = False
    ):
        self.function, self.budget, self.target, self.beyond = (
            function,
            budget,
            target,
            beyond,
        )
        self.cost, self.lowest, self.hit = 0.0, np.inf, None
        self._in_jax = jax.tree.map(jnp.asarray, function)

    def value(self, x: np.ndarray) -> float:
        """Return a value."""
        self.cost += 1
        return self._checked(float(self.function(np.asarray(x, float))))

    def both(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return a value and its gradient."""
        self.cost += GRADIENT
        value, gradient = _value_and_gradient(self._in_jax, x)
        return self._checked(float(value)), np.array(gradient)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Return a gradient alone, where SciPy asks for it beside the value."""
        self.cost += GRADIENT - 1
        return np.array(_value_and_gradient(self._in_jax, x)[1])

    def _checked(self, value: float) -> float:
        self.lowest = min(self.lowest, value)
        if self.hit is None and self.lowest <= self.target:
            self.hit = self.cost
        if (self.hit is not None and not self.beyond) or self.cost >= self.budget:
            raise Spent
        return value


Search = Callable[[Metered, np.ndarray, np.ndarray, np.ndarray, int], None]


def dual_annealing(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """SciPy's, with gradients in its local searches, until the budget is spent."""
    local = {
        "method": "L-BFGS-B",
        "jac": function.gradient,
        "bounds": list(zip(low, high, strict=True)),
    }
    options: dict[str, Any] = {
        "maxiter": 10**6,
        "maxfun": 10**8,
        "minimizer_kwargs": local,
    }
    scipy.dual_annealing(
        function.value, list(zip(low, high, strict=True)), x0=x0, rng=seed, **options
    )


def differential_evolution(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """SciPy's, again and again."""
    while True:
        scipy.differential_evolution(
            function.value, list(zip(low, high, strict=True)), rng=seed, polish=False
        )
        seed += 1000


def basinhopping(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """SciPy's, with a step of a tenth of the box and gradients."""
    local = {
        "method": "L-BFGS-B",
        "jac": True,
        "bounds": list(zip(low, high, strict=True)),
    }
    width = float(np.mean(high - low)) / 10
    scipy.basinhopping(
        function.both, x0, niter=10**6, stepsize=width, minimizer_kwargs=local, rng=seed
    )


def shgo(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """SciPy's with gradients and 32 to 128 Sobol points, which it triangulates: for minutes in ten coordinates."""
    if len(x0) > SHGO_COORDINATES:
        return
    for number in (32, 64, 128):
        box = list(zip(low, high, strict=True))
        options: dict[str, Any] = {
            "minimizer_kwargs": {"method": "L-BFGS-B"},
            "options": {"jac": function.gradient},
        }
        scipy.shgo(function.value, box, n=number, sampling_method="sobol", **options)


def multistart(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """L-BFGS-B from x0 and then from random places, as often as the budget allows."""
    rng = np.random.default_rng(seed)
    while True:
        scipy.minimize(
            function.both,
            x0,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
        )
        x0 = rng.uniform(low, high)


def cma_es(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """The package cma: restarts with a population that doubles, in a box of size one."""
    import cma  # pyright: ignore[reportMissingImports] - not a dependency

    population = 4 + int(3 * np.log(len(x0)))
    rng, start = np.random.default_rng(seed), (x0 - low) / (high - low)
    while True:
        options = {
            "seed": seed + 1,
            "verbose": -9,
            "popsize": population,
            "bounds": [0, 1],
            "verb_log": 0,
        }
        strategy = cma.CMAEvolutionStrategy(start, 0.3, options)
        while not strategy.stop():
            places = strategy.ask()
            strategy.tell(
                places, [function.value(low + (high - low) * y) for y in places]
            )
        start, population, seed = rng.uniform(size=len(x0)), 2 * population, seed + 1000


PEERS: dict[str, Search] = {
    "dual_annealing": dual_annealing,
    "differential_evolution": differential_evolution,
    "basinhopping": basinhopping,
    "shgo": shgo,
    "L-BFGS-B x many": multistart,
} | ({"CMA-ES": cma_es} if find_spec("cma") else {})
TRIED: dict[str, Search] = {"replica exchange": replica_exchange}
"""Run where they are named: a part that `minimize` does without."""
OURS = "minimize"


def dual_annealing_once(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """SciPy's defaults: 1,000 iterations."""
    local = {
        "method": "L-BFGS-B",
        "jac": function.gradient,
        "bounds": list(zip(low, high, strict=True)),
    }
    options: dict[str, Any] = {"minimizer_kwargs": local}
    scipy.dual_annealing(
        function.value, list(zip(low, high, strict=True)), x0=x0, rng=seed, **options
    )


def basinhopping_once(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """SciPy's default of 100 hops, with a step of a tenth of the box and gradients."""
    local = {
        "method": "L-BFGS-B",
        "jac": True,
        "bounds": list(zip(low, high, strict=True)),
    }
    width = float(np.mean(high - low)) / 10
    scipy.basinhopping(
        function.both, x0, stepsize=width, minimizer_kwargs=local, rng=seed
    )


def differential_evolution_once(
    function: Metered, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """SciPy's defaults, without its last descent by differences."""
    scipy.differential_evolution(
        function.value, list(zip(low, high, strict=True)), rng=seed, polish=False
    )


STOPPING: dict[str, Search] = {
    "dual_annealing, its own stop": dual_annealing_once,
    "basinhopping, its own stop": basinhopping_once,
    "differential_evolution, its own stop": differential_evolution_once,
}
"""The peers as their users call them, who do not know the target: they end by their own rule, or spend the budget."""


def peer(
    search: Search,
    function: Any,
    x0: np.ndarray,
    box: tuple[np.ndarray, np.ndarray],
    seed: int,
    **limits: float,
) -> Run:
    """Run one of PEERS until the target is reached or the budget is spent, one of STOPPING until it stops."""
    beyond, began = search in STOPPING.values(), time.process_time()
    metered = Metered(function, limits["budget"], limits["target"], beyond)
    with contextlib.suppress(Spent):
        search(metered, x0, *box, seed)
    stop = min(metered.cost, limits["budget"]) if beyond else None
    return Run(metered.lowest, metered.hit, None, time.process_time() - began, stop)


def ours(
    function: Any,
    x0: np.ndarray,
    box: tuple[np.ndarray, np.ndarray] | None,
    seed: int,
    **limits: float,
) -> Run:
    """Run `minimize` to its own end; where it refuses a plateau, it has solved nothing and promised nothing."""
    began, meter = time.process_time(), Lockstep(limits["target"])
    try:
        with meter.watching():
            result = lx.minimize(
                jax.tree.map(
                    lambda leaf: leaf if isinstance(leaf, str) else jnp.asarray(leaf),
                    function,
                ),
                jnp.asarray(x0),
                key=jax.random.key(seed),
                bounds=None if box is None else list(zip(*box, strict=True)),
                max_evaluations=int(limits["budget"]),
            )
    except ValueError as error:
        if "pass bounds where it is not constant" not in str(error):
            raise
        return Run(
            float(function(x0)), None, False, time.process_time() - began, meter.cost
        )
    stop = float(result.nfev + (GRADIENT - 1) * result.njev)
    return Run(
        result.fun,
        meter.hit,
        bool(result.expected_better_basins <= 0.1),
        time.process_time() - began,
        stop,
    )
