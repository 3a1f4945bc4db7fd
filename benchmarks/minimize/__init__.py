"""`minimize` beside other global optimisers at equal cost: `python -m benchmarks minimize [OPTIONS]`.

25 classical functions (`functions`) of 2 to 50 coordinates, as they are and with rotated axes, 10 seeds; then NIST's
regressions (`nist`). A value costs 1 and a gradient 4, the budget is 5,000 for each coordinate and 50,000 in all,
solved means within 0.001 of the minimum. By default a fixed tenth is run, the first seed of everything; `--full` runs
all of it. Each run is a line of a file, appended; what is there is not run again. `--estimate` runs a sample and prints
the hours of both.

Cost is counted in two ways. To the target: up to the evaluation that first reaches it, for all solvers, which do not
know it; peers are then stopped, `minimize` goes on to its own end, so that its word "unlikely" can be judged. To the
stop: what a user pays, up to where the solver ends by its own rule or the budget is spent; for peers with SciPy's
defaults, in runs of their own (`--solvers "dual_annealing, its own stop" ...`). The constants of the portfolio were
chosen on 12 of the functions; the other 13 are reported apart.
"""

import argparse
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.minimize import constraints
from benchmarks.minimize.functions import (
    DIMENSIONS,
    FUNCTIONS,
    HELD_OUT,
    TUNED,
    instance,
)
from benchmarks.minimize.nist import regressions
from benchmarks.minimize.solvers import (
    OURS,
    PEERS,
    SHGO_COORDINATES,
    STOPPING,
    TRIED,
    Run,
    ours,
    peer,
)

OUT = Path("out/minimize.jsonl")
COST, MOST, TARGET = 5_000, 50_000, 1e-3
SEEDS = 10
TENTH = 1
"""Seeds that are run by default."""
SAMPLED = ("rastrigin", "zakharov")
"""Functions, rotated, whose time stands for that of all: on one most solvers spend the budget, one is easy."""
NIST_COST = 10_000

Record = dict[str, Any]
Task = tuple[str, int, bool, int, str]
"""Function, coordinates, rotated, seed, solver."""


def tasks(
    dimensions: Sequence[int], seeds: int, solvers: Sequence[str]
) -> Iterator[Task]:
    """Yield the runs."""
    for d in dimensions:
        for name in FUNCTIONS:
            for rotated in (False, True):
                for seed in range(seeds):
                    yield from ((name, d, rotated, seed, solver) for solver in solvers)


def one(name: str, d: int, rotated: bool, seed: int, solver: str) -> Run:
    """Run one solver on one function."""
    function, *box = instance(name, d, rotated, seed)
    x0 = np.random.default_rng(seed).uniform(*box)
    limits = {"budget": float(min(COST * d, MOST)), "target": TARGET}
    sides = (box[0], box[1])
    if solver == OURS:
        return ours(function, x0, sides, seed, **limits)
    return peer((PEERS | TRIED | STOPPING)[solver], function, x0, sides, seed, **limits)


def read(path: Path) -> dict[str, Record]:
    """Return the lines of a file by their names."""
    if not path.exists():
        return {}
    return {
        line["id"]: line
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    }


def main(arguments: Sequence[str] = ()) -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks minimize", description=__doc__
    )
    parser.add_argument(
        "--full", action="store_true", help="all seeds; --estimate prints the hours"
    )
    parser.add_argument(
        "--dimensions", nargs="+", type=int, default=DIMENSIONS, metavar="D"
    )
    choices = [OURS, *PEERS, *TRIED, *STOPPING]
    parser.add_argument(
        "--solvers", nargs="+", default=[OURS, *PEERS], choices=choices, metavar="NAME"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="print what the file has, without running anything",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="run a sample, and print the hours of the rest",
    )
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    done = read(options.out)
    if options.report:
        return report(
            done,
            [
                name
                for name in tasks(options.dimensions, SEEDS, choices)
                if identity(name) in done
            ],
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    names = list(
        tasks(options.dimensions, SEEDS if options.full else TENTH, options.solvers)
    )
    with (
        options.out.open("a", encoding="utf-8") as file,
        jax.enable_x64(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")

        def record(name: str, run: Run) -> None:
            done[name] = {"id": name, **run._asdict()}
            file.write(json.dumps(done[name]) + "\n")
            file.flush()

        for task in sample(names) if options.estimate else names:
            if identity(task) not in done:
                record(identity(task), one(*task))
        if options.estimate:
            return estimate(done, options.dimensions, options.solvers)
        for problem in regressions():
            for start, x0 in enumerate(problem.starts, 1):
                name = f"NIST/{problem.name}/{start}"
                if name not in done and OURS in options.solvers:
                    limits = {
                        "budget": NIST_COST * len(x0),
                        "target": problem.sum_of_squares * (1 + 1e-6),
                    }
                    record(name, ours(problem, np.array(x0), None, 0, **limits))
    return report(done, [name for name in names if identity(name) in done])


def identity(task: Task) -> str:
    """Return the name of a run in the file."""
    return "/".join(map(str, task))


def sample(names: Sequence[Task]) -> list[Task]:
    """Return the runs whose time stands for that of all."""
    return [name for name in names if name[0] in SAMPLED and name[2:4] == (True, 0)]


def estimate(
    done: dict[str, Record], dimensions: Sequence[int], solvers: Sequence[str]
) -> None:
    """Print the processor hours of all functions, by the mean of the runs in the file."""
    print(f"| coordinates | {' | '.join(solvers)} | hours of the tenth | of --full |")
    print("|---|" + "---|" * (len(solvers) + 2))
    total = 0.0
    for d in dimensions:
        seconds = []
        for solver in solvers:
            runs = [
                done[identity(name)]
                for name in tasks([d], SEEDS, [solver])
                if identity(name) in done
            ]
            seconds.append(float(np.mean([run["seconds"] for run in runs])))
        hours = sum(seconds) * 2 * len(FUNCTIONS) * TENTH / 3600
        total += hours
        cells = " | ".join(f"{value:.1f} s" for value in seconds)
        print(f"| {d} | {cells} | {hours:.2f} | {hours * SEEDS / TENTH:.1f} |")
    print(
        f"processor hours, without NIST: {total:.2f} by default, {total * SEEDS / TENTH:.1f} with --full"
    )


def constrained(arguments: Sequence[str] = ()) -> None:
    """Print the table of problems with constraints (`constraints`)."""
    constraints.main(arguments)


def report(done: dict[str, Record], names: Sequence[Task]) -> None:
    """Print solved runs, ratios of cost, and how often "unlikely" was right, of the runs in the file.

    A row of the table counts the runs that all solvers have which have any there; ratios are of what both have run.
    """
    runs = {name: done[identity(name)] for name in names}
    solvers = [
        solver
        for solver in (OURS, *PEERS, *TRIED)
        if any(name[-1] == solver for name in names)
    ]
    print(
        f"shgo is not run beyond {SHGO_COORDINATES} coordinates, and solves nothing there"
    )
    print(f"| | coordinates | runs | {' | '.join(solvers)} |")
    print("|---|---|---|" + "---|" * len(solvers))
    for rotated in (False, True):
        for group, functions in (("chosen on", TUNED), ("held out", HELD_OUT)):
            for d in dict.fromkeys(name[1] for name in names):
                rows = [
                    name
                    for name in names
                    if name[0] in functions and name[1:3] == (d, rotated)
                ]
                of = {
                    solver: {name[:4] for name in rows if name[-1] == solver}
                    for solver in solvers
                }
                common = (
                    set.intersection(*(cases for cases in of.values() if cases))
                    if rows
                    else set()
                )
                cells = [
                    str(
                        sum(runs[(*case, solver)]["hit"] is not None for case in common)
                    )
                    if of[solver]
                    else "-"
                    for solver in solvers
                ]
                label = f"{'rotated' if rotated else 'plain'}, {group}"
                print(f"| {label} | {d} | {len(common)} | {' | '.join(cells)} |")
    for solver in [*solvers, *STOPPING]:
        kind, to = ("stop", "the stop") if solver in STOPPING else ("hit", "the target")
        both = [
            (runs[name], runs[(*name[:-1], OURS)])
            for name in names
            if name[-1] == solver != OURS and (*name[:-1], OURS) in runs
        ]
        ratios = [
            mine[kind] / theirs[kind]
            for theirs, mine in both
            if theirs["hit"] and mine["hit"]
        ]
        if ratios:
            cells = ", ".join(
                f"{q:.2f}" for q in np.quantile(ratios, [0.25, 0.5, 0.75])
            )
            solved = [
                sum(run["hit"] is not None for run in side)
                for side in zip(*both, strict=True)
            ]
            print(
                f"evaluations to {to}, minimize over {solver}, where both solve ({len(ratios)} of {len(both)}; "
                f"{solved[1]} and {solved[0]} solved): quartiles {cells}"
            )
    mine = [run for name, run in runs.items() if name[-1] == OURS]
    likely = [run for run in mine if run["likely"]]
    right = sum(run["fun"] <= TARGET for run in likely)
    print(
        f'"A better basin is unlikely" was said in {len(likely)} of {len(mine)} runs, and right in {right}'
    )
    misses = sorted(
        {
            f"{n[0]} {n[1]}{' rotated' if n[2] else ''}"
            for n in names
            if n[-1] == OURS and runs[n]["hit"] is None
        }
    )
    print(f"not solved by minimize: {', '.join(misses) or '-'}")
    for start in (1, 2):
        certified = [(p, done.get(f"NIST/{p.name}/{start}")) for p in regressions()]
        solved = [p.name for p, run in certified if run and p.solved(run["fun"])]
        missed = [p.name for p, run in certified if run and not p.solved(run["fun"])]
        print(
            f"NIST from start {start}: {len(solved)} of {len(solved) + len(missed)}; missed: {', '.join(missed) or '-'}"
        )
