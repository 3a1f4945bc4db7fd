"""`minimize(use_gradients=False)` on the 24 functions of bbob: `python -m benchmarks bbob [OPTIONS]`.

Beside cma with BIPOP restarts, SciPy's dual_annealing, and Nelder-Mead from many places. A target is a distance from
the minimum; 51 of them go from 100 down to 1e-8 (Hansen et al., arXiv:1603.08785). The table is the share of targets
that were reached, over all functions and instances, by calls of the function for each coordinate. Calls are those that
the function sees; a call beyond the budget is an error of the solver. Each run is a line of a file, appended; what is
there is not run again. Needs `coco-experiment` and `cma`, of the group bench.
"""

import argparse
import contextlib
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.optimize as scipy

import langevax as lx

TARGETS = np.logspace(2, -8, 51)
HALF = 5.0
"""Half width of the box."""
COLUMNS = (20, 100, 500, 2_000, 10_000)
"""Calls for each coordinate."""


class Spent(Exception):
    """The budget is spent, or the last target is reached."""


class Counted:
    """A function less its minimum, that counts its calls and notes each that is lower than all before."""

    def __init__(self, problem: Any, lowest: float, budget: int, stops: bool):
        self.problem, self.lowest, self.budget, self.stops = (
            problem,
            lowest,
            budget,
            stops,
        )
        self.calls, self.best = 0, np.inf
        self.gains: list[tuple[int, float]] = []

    def __call__(self, x: np.ndarray) -> float:
        if self.stops and (self.calls >= self.budget or self.best <= TARGETS[-1]):
            raise Spent
        self.calls += 1
        value = float(self.problem(np.asarray(x))) - self.lowest
        if value < self.best:
            self.best = value
            self.gains.append((self.calls, value))
        return value


Solver = Callable[[Counted, np.ndarray, int], Any]


def ours(function: Counted, start: np.ndarray, seed: int) -> Any:
    """Run `minimize`, which stops by its own rule."""
    return lx.minimize(
        function,
        start,
        key=jax.random.key(seed),
        bounds=[(-HALF, HALF)] * len(start),
        max_evaluations=function.budget,
        use_gradients=False,
    )


def bipop(function: Counted, start: np.ndarray, seed: int) -> None:
    """Run cma's BIPOP again and again."""
    import cma  # pyright: ignore[reportMissingImports] - of the group bench

    rng = np.random.default_rng(seed)
    while True:
        options = {"seed": seed + 1, "verbose": -9, "verb_log": 0, "verb_time": 0}
        draw = lambda: rng.uniform(-HALF, HALF, len(start))
        cma.fmin2(function, draw, HALF / 2, options, restarts=9, bipop=True)
        seed += 1000


def dual_annealing(function: Counted, start: np.ndarray, seed: int) -> None:
    """Run SciPy's dual annealing, again and again."""
    box = [(-HALF, HALF)] * len(start)
    scipy.dual_annealing(function, box, x0=start, rng=seed, maxiter=10**7)


def multistart(function: Counted, start: np.ndarray, seed: int) -> None:
    """Run Nelder-Mead from the start, and then from random places."""
    rng = np.random.default_rng(seed)
    box = [(-HALF, HALF)] * len(start)
    while True:
        options = {"xatol": 1e-9, "fatol": 1e-9, "adaptive": True}
        scipy.minimize(
            function, start, method="Nelder-Mead", bounds=box, options=options
        )
        start = rng.uniform(-HALF, HALF, len(start))


OURS = "minimize"
SOLVERS: dict[str, Solver] = {
    OURS: ours,
    "cma BIPOP": bipop,
    "dual_annealing": dual_annealing,
    "Nelder-Mead x many": multistart,
}


def lowest_value(problem: Any) -> float:
    """Return the minimum of a function of the suite, which tells where it is in a file of the working directory."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        problem._best_parameter("print")
        (file,) = Path().iterdir()
        return float(problem(np.loadtxt(file)))


def one(problem: Any, lowest: float, budget: int, solver: str) -> dict[str, Any]:
    """Run one solver on one function; the start is drawn in the box."""
    function_id, dimension, instance = problem.id_triple
    rng = np.random.default_rng([function_id, dimension, instance])
    start = rng.uniform(-HALF, HALF, dimension)
    function = Counted(problem, lowest, budget, stops=solver != OURS)
    began, result = time.process_time(), None
    with contextlib.suppress(Spent):
        result = SOLVERS[solver](function, start, instance)
    said: dict[str, Any] = {}
    if result is not None:
        said = {"success": bool(result.success), "nfev": int(result.nfev)}
    return {
        "id": f"{problem.id}/{budget}/{solver}",
        "dimension": dimension,
        "solver": solver,
        "calls": function.calls,
        "best": function.best,
        "gains": function.gains,
        "seconds": time.process_time() - began,
        **said,
    }


def share_reached(runs: Sequence[dict[str, Any]], calls: int) -> float:
    """Return the share of all targets that the runs had reached after so many calls for each coordinate."""
    best = [
        min((value for at, value in run["gains"] if at <= calls * run["dimension"]))
        for run in runs
    ]
    return float(np.mean(np.array(best)[:, None] <= TARGETS))


def report(runs: Sequence[dict[str, Any]], budget: int) -> None:
    """Print the shares by dimension and calls, and whether the words of `minimize` were right."""
    columns = [calls for calls in COLUMNS if calls < budget] + [budget]
    print(f"| d | solver | {' | '.join(f'{calls:,} d' for calls in columns)} | CPU s |")
    print("|---|---|" + "---|" * (len(columns) + 1))
    for dimension in dict.fromkeys(run["dimension"] for run in runs):
        for solver in SOLVERS:
            group = [
                run
                for run in runs
                if run["dimension"] == dimension and run["solver"] == solver
            ]
            if group:
                shares = [f"{share_reached(group, calls):.3f}" for calls in columns]
                seconds = np.mean([run["seconds"] for run in group])
                cells = " | ".join(shares)
                print(f"| {dimension} | {solver} | {cells} | {seconds:.1f} |")
    mine = [run for run in runs if "success" in run]
    said = [run for run in mine if run["success"]]
    right = sum(run["best"] <= 1e-3 for run in said)
    exact = sum(run["calls"] == run["nfev"] for run in mine)
    print(
        f"minimize said success in {len(said)} of {len(mine)} runs, within 1e-3 of the "
        f"minimum in {right}; nfev was the number of calls in {exact}"
    )


def main(arguments: Sequence[str] = ()) -> None:
    """Run what is missing, then print the table."""
    import cocoex  # pyright: ignore[reportMissingImports] - of the group bench

    parser = argparse.ArgumentParser("python -m benchmarks bbob", description=__doc__)
    parser.add_argument("--dimensions", nargs="+", type=int, default=[2, 5])
    parser.add_argument("--instances", type=int, default=2, help="the first so many")
    parser.add_argument(
        "--calls", type=int, default=2_000, help="budget for each coordinate"
    )
    parser.add_argument(
        "--solvers", nargs="+", default=list(SOLVERS), choices=SOLVERS, metavar="NAME"
    )
    parser.add_argument("--out", type=Path, default=Path("out/bbob.jsonl"))
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.touch()
    lines = options.out.read_text(encoding="utf-8").splitlines()
    done = {run["id"]: run for run in map(json.loads, lines)}
    dimensions = ",".join(map(str, options.dimensions))
    suite = cocoex.Suite(
        "bbob", f"instances:1-{options.instances}", f"dimensions:{dimensions}"
    )
    runs = []
    with options.out.open("a", encoding="utf-8") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for problem in suite:
            budget, lowest = options.calls * problem.dimension, lowest_value(problem)
            for solver in options.solvers:
                name = f"{problem.id}/{budget}/{solver}"
                if name not in done:
                    done[name] = one(problem, lowest, budget, solver)
                    file.write(json.dumps(done[name]) + "\n")
                    file.flush()
                runs.append(done[name])
    report(runs, options.calls)
