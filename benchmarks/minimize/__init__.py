"""`minimize` beside other global optimisers at equal cost: `python -m benchmarks minimize [OPTIONS]`.

25 classical functions (`functions`) of 2 to 50 coordinates, as they are and with rotated axes, 10 seeds; then NIST's
regressions (`nist`). A value costs 1 and a gradient 4, the budget is 5,000 for each coordinate, solved means within
0.001 of the minimum. By default a fixed part is run, that of two and ten coordinates with one seed; `--full` runs all
of it, in hours. Each run is a line of a file, appended; what is there is not run again.

Peers stop where they reach the target, which they do not know; `minimize` goes on to its own end, so that its word
"unlikely" can be judged. The constants of the portfolio were chosen on 12 of the functions; the other 13 are reported
apart.
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
from benchmarks.minimize.functions import DIMENSIONS, FUNCTIONS, HELD_OUT, TUNED, instance
from benchmarks.minimize.nist import regressions
from benchmarks.minimize.solvers import OURS, PEERS, SHGO_COORDINATES, Run, ours, peer

OUT = Path("out/minimize.jsonl")
COST, TARGET = 5_000, 1e-3
SEEDS = 10
PART = (2, 10)
"""Coordinates of the part that is run by default, with one seed."""
NIST_COST = 10_000

Record = dict[str, Any]


def tasks(dimensions: Sequence[int], seeds: int, solvers: Sequence[str]) -> Iterator[tuple[str, int, bool, int, str]]:
    """Yield (function, coordinates, rotated, seed, solver)."""
    for d in dimensions:
        for name in FUNCTIONS:
            for rotated in (False, True):
                for seed in range(seeds):
                    yield from ((name, d, rotated, seed, solver) for solver in solvers)


def one(name: str, d: int, rotated: bool, seed: int, solver: str) -> Run:
    """Run one solver on one function."""
    function, *box = instance(name, d, rotated, seed)
    x0 = np.random.default_rng(seed).uniform(*box)
    limits = {"budget": float(COST * d), "target": TARGET}
    sides = (box[0], box[1])
    if solver == OURS:
        return ours(function, x0, sides, seed, **limits)
    return peer(PEERS[solver], function, x0, sides, seed, **limits)


def read(path: Path) -> dict[str, Record]:
    """Return the lines of a file by their names."""
    if not path.exists():
        return {}
    return {line["id"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def main(arguments: Sequence[str] = ()) -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser("python -m benchmarks minimize", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all coordinates and seeds, which takes hours")
    parser.add_argument("--dimensions", nargs="+", type=int, default=None, metavar="D")
    parser.add_argument("--solvers", nargs="+", default=[OURS, *PEERS], choices=[OURS, *PEERS], metavar="NAME")
    parser.add_argument("--report", action="store_true", help="print what the file has, without running anything")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    dimensions = options.dimensions or (DIMENSIONS if options.full else PART)
    done = read(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a", encoding="utf-8") as file, jax.enable_x64(), warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def record(identity: str, run: Run) -> None:
            done[identity] = {"id": identity, **run._asdict()}
            file.write(json.dumps(done[identity]) + "\n")
            file.flush()

        names = list(tasks(dimensions, SEEDS if options.full else 1, options.solvers))
        for task in [] if options.report else names:
            identity = "/".join(map(str, task))
            if identity not in done:
                record(identity, one(*task))
        for problem in [] if options.report else regressions():
            for start, x0 in enumerate(problem.starts, 1):
                identity = f"NIST/{problem.name}/{start}"
                if identity not in done and OURS in options.solvers:
                    limits = {"budget": NIST_COST * len(x0), "target": problem.sum_of_squares * (1 + 1e-6)}
                    record(identity, ours(problem, np.array(x0), None, 0, **limits))
    report(done, names)


def constrained(arguments: Sequence[str] = ()) -> None:
    """Print the table of problems with constraints (`constraints`)."""
    constraints.main(arguments)


def report(done: dict[str, Record], names: Sequence[tuple[str, int, bool, int, str]]) -> None:
    """Print solved runs, ratios of cost, and how often "unlikely" was right, where all solvers have run."""
    solvers = list(dict.fromkeys(name[-1] for name in names))
    complete = {name[:4] for name in names if all("/".join(map(str, (*name[:4], s))) in done for s in solvers)}
    names = [name for name in names if name[:4] in complete]
    runs = {name: done["/".join(map(str, name))] for name in names}
    print(f"shgo is not run beyond {SHGO_COORDINATES} coordinates, and solves nothing there")
    print(f"| | coordinates | runs | {' | '.join(solvers)} |")
    print("|---|---|---|" + "---|" * len(solvers))
    for rotated in (False, True):
        for group, functions in (("chosen on", TUNED), ("held out", HELD_OUT)):
            for d in dict.fromkeys(name[1] for name in names):
                rows = [name for name in names if name[0] in functions and name[1:3] == (d, rotated)]
                solved = [sum(runs[r]["hit"] is not None for r in rows if r[-1] == solver) for solver in solvers]
                number = len(rows) // len(solvers)
                label = f"{'rotated' if rotated else 'plain'}, {group}"
                print(f"| {label} | {d} | {number} | {' | '.join(map(str, solved))} |")
    for solver in (solver for solver in solvers if solver != OURS and OURS in solvers):
        pairs = [(runs[name]["hit"], runs[(*name[:-1], OURS)]["hit"]) for name in names if name[-1] == solver]
        both = [mine / theirs for theirs, mine in pairs if theirs and mine]
        quartiles = np.quantile(both, [0.25, 0.5, 0.75]) if both else [np.nan] * 3
        cells = ", ".join(f"{q:.2f}" for q in quartiles)
        print(f"evaluations of minimize over those of {solver}, where both solve ({len(both)}): quartiles {cells}")
    mine = [runs[name] for name in names if name[-1] == OURS]
    likely = [run for run in mine if run["likely"]]
    right = sum(run["fun"] <= TARGET for run in likely)
    print(f'"A better basin is unlikely" was said in {len(likely)} of {len(mine)} runs, and right in {right}')
    misses = sorted(
        {f"{n[0]} {n[1]}{' rotated' if n[2] else ''}" for n in names if n[-1] == OURS and not runs[n]["hit"]}
    )
    print(f"not solved by minimize: {', '.join(misses)}")
    for start in (1, 2):
        certified = [(p, done.get(f"NIST/{p.name}/{start}")) for p in regressions()]
        solved = [p.name for p, run in certified if run and p.solved(run["fun"])]
        missed = [p.name for p, run in certified if run and not p.solved(run["fun"])]
        print(
            f"NIST from start {start}: {len(solved)} of {len(solved) + len(missed)}; missed: {', '.join(missed) or '-'}"
        )
