"""Local learning coefficients with known values: `python -m benchmarks learning_coefficient [OPTIONS]`.

Eight parts, all by default, with nothing tuned: `beside` RMSProp-SGLD at as many gradients of rows, our transcription
and devinterp's own (`--devinterp PYTHON`, an interpreter that has it); `gradients` of rows to equal error, against the
best of three step sizes; `monomials` of devinterp's pull request 113, beside its `llc`; `calls` that are repeated, of
its pull request 39; normal `crossings` and reduced-rank regressions of devinterp's tests; `ranks` of reduced-rank
regression; deep linear `networks`; and `coverage` of 95 % intervals over seeds. Exact values are those at this n,
temperature and localization (`cases`, `linear_networks`).

Each estimate is a line of a file, appended; what is there is not run again, and `--report` only prints. All parts take
some 20 CPU minutes, and devinterp several more. The network of a million weights is run by `--largest` alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import langevax as lx
from benchmarks.learning_coefficient import cases, rivals
from benchmarks.learning_coefficient.cases import Coefficient, temperature_of

OUT = Path("out/learning_coefficient.jsonl")
PARTS = (
    "beside",
    "gradients",
    "monomials",
    "calls",
    "crossings",
    "ranks",
    "networks",
    "coverage",
)
SEEDS, SEEDS_OF_GRADIENTS = 100, 6
MEDIUM = {
    "num_samples": 300,
    "num_warmup": 300,
}  # as PyTorch takes as many gradients; of reduced ranks too
SHORT = {
    "num_samples": 100,
    "num_warmup": 100,
}  # as five times as many gradients are taken by others
PLANE = (
    "y = a b x",
    "x^2 y^2",
)  # run at the defaults: with fewer draws chains meet the ends of their valleys too rarely
CALLS, CALL_STEPS = 20, 5_000
OF_CROSSINGS = {"num_samples": 10_000}  # for errors of 1 %
LARGE = 1_000  # weights, above which networks are run shorter than by default
OF_LARGE = {"num_samples": 100, "num_warmup": 100, "num_chains": 2}
COVERAGE_ROWS = 200
COVERED = cases.curve, cases.crossing, cases.quartic, cases.tanh_unit

Record = dict[str, Any]
Task = tuple[str, Callable[[], Record]]
"""A name in the file, and what runs it."""


def estimated(case: Coefficient, n: float, seed: int = 0, **options: Any) -> Record:
    """Estimate a case, with its exact value, at the temperature of n rows."""
    began = time.process_time()
    result = lx.learning_coefficient(
        case.loss,
        case.params,
        case.rows,
        key=jax.random.key(seed),
        temperature=temperature_of(n),
        localization=case.localization,
        run=lx.Run(progress=False),
        **options,
    )
    seconds = time.process_time() - began
    exact = case.exact(result.temperature, result.localization)
    return {
        "case": case.name,
        "value": result.value,
        "error": result.standard_error,
        "exact": exact.value,
        "exact_error": exact.error,
        "threshold": case.threshold,
        "localization": result.localization,
        "parameters": result.num_parameters,
        "evaluations": result.evaluations,
        "seconds": seconds,
        "warnings": list(result.warnings),
    }


def compared() -> list[Coefficient]:
    """Return the four cases of the comparison."""
    network = cases.linear_network((4, 3, 4), 1, 0, localization=10.0)
    return [cases.normal(), cases.curve(), cases.crossing(), network]


def beside(python: str) -> Iterator[Task]:
    """Yield estimates beside those of others from as many gradients."""
    for case in compared():

        def run(case: Coefficient = case) -> Record:
            ours = estimated(case, cases.N, **MEDIUM)
            settings = (
                temperature_of(cases.N),
                ours["localization"],
                ours["evaluations"],
            )
            began = time.process_time()
            ours["transcription"] = rivals.transcription(case, *settings)
            ours["transcription_seconds"] = time.process_time() - began
            ours["devinterp"] = rivals.devinterp(case, *settings, python)
            return ours

        yield f"beside/{case.name}", run


def gradients(seeds: int) -> Iterator[Task]:
    """Yield errors over seeds, and those of RMSProp-SGLD with fewer, as many and more gradients."""
    for case in compared():

        def run(case: Coefficient = case) -> Record:
            options = {} if case.name in PLANE else SHORT
            ours = [estimated(case, cases.N, seed, **options) for seed in range(seeds)]
            evaluations = int(np.mean([line["evaluations"] for line in ours]))
            settings = (
                temperature_of(cases.N),
                ours[0]["localization"],
                evaluations,
                seeds,
            )
            began = time.process_time()
            errors = rivals.errors_by_budget(case, *settings)
            return {
                "case": case.name,
                "evaluations": evaluations,
                "error": float(
                    np.sqrt(np.mean([relative(line) ** 2 for line in ours]))
                ),
                "seconds": sum(line["seconds"] for line in ours),
                "errors": errors,
                "rival_seconds": time.process_time() - began,
            }

        yield f"gradients/{case.name}", run


def monomials(python: str) -> Iterator[Task]:
    """Yield the cases of devinterp's pull request 113, with what its `llc` says."""
    for powers in cases.POWERS:
        case = cases.monomials(powers)

        def run(case: Coefficient = case, powers: Sequence[int] = powers) -> Record:
            return estimated(case, cases.N, **SHORT) | {
                "devinterp": rivals.calibration(powers, python)
            }

        yield f"monomials/{case.name}", run


def calls() -> Iterator[Task]:
    """Yield estimates of repeated calls; those of RMSProp-SGLD with baselines of all rows, and of one batch."""
    case, temperature = cases.noisy(), temperature_of(cases.N)

    def ours() -> Record:
        lines = [estimated(case, cases.N, seed, **SHORT) for seed in range(CALLS)]
        return {
            "case": "langevax",
            "estimates": [(line["value"], line["error"]) for line in lines],
        } | {"exact": lines[0]["exact"]}

    def others() -> Record:
        steps, chains = CALL_STEPS, rivals.CHAINS
        values = rivals.of_chains(
            case, temperature, case.localization, steps, CALLS * chains
        ).reshape(CALLS, chains)
        estimates = [rivals.Estimate.of(value, steps)[:2] for value in values]
        return {"case": "RMSProp-SGLD, baseline of all rows", "estimates": estimates}

    def one_batch() -> Record:
        losses = np.asarray(
            jax.vmap(case.loss, (None, 0))(case.params, case.rows), float
        )
        rng = np.random.default_rng(0)
        drawn = [
            rng.choice(losses, rivals.BATCH, replace=False).mean() for _ in range(CALLS)
        ]
        pairs = zip(others()["estimates"], drawn, strict=True)
        shifted = [
            (value + (losses.mean() - baseline) / temperature, error)
            for (value, error), baseline in pairs
        ]
        return {"case": "RMSProp-SGLD, baseline of one batch", "estimates": shifted}

    yield "calls/langevax", ours
    yield "calls/all rows", others
    yield "calls/one batch", one_batch


def of_cases(
    part: str, known: Sequence[Coefficient], n: float, **options: Any
) -> Iterator[Task]:
    """Yield one estimate of each case."""
    for case in known:
        yield f"{part}/{case.name}", lambda case=case: estimated(case, n, **options)


def tasks(part: str, seeds: int, largest: bool, python: str) -> Iterator[Task]:
    """Yield the estimates of a part."""
    if part == "beside":
        yield from beside(python)
    elif part == "gradients":
        yield from gradients(SEEDS_OF_GRADIENTS)
    elif part == "monomials":
        yield from monomials(python)
    elif part == "calls":
        yield from calls()
    elif part == "crossings":
        shapes = [
            cases.linear_network(shape, 1, 1, localization=1.0)
            for shape in cases.SHAPES
        ]
        yield from of_cases(part, cases.crossings(), cases.N, **OF_CROSSINGS)
        yield from of_cases(part, shapes, cases.N, **MEDIUM)
    elif part == "ranks":
        known = [
            cases.linear_network((8, 5, 8), rank, rank, localization=1.0)
            for rank in range(5)
        ]
        yield from of_cases(part, known, cases.N, **MEDIUM)
    elif part == "networks":
        for seed, (widths, rank) in enumerate(cases.networks()):
            if largest or (widths, rank) != cases.LARGEST:
                case = cases.linear_network(widths, rank, seed, cases.NETWORK_ROWS)
                size = sum(layer.size for layer in case.params)
                yield from of_cases(
                    part, [case], cases.NETWORK_ROWS, **OF_LARGE if size > LARGE else {}
                )
    else:
        for make in COVERED:
            case = make(COVERAGE_ROWS)
            for seed in range(seeds):
                yield (
                    f"{part}/{case.name}/{seed}",
                    lambda case=case, seed=seed: estimated(case, COVERAGE_ROWS, seed),
                )


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
        "python -m benchmarks learning_coefficient", description=__doc__
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        metavar="PART",
        help=f"of {PARTS}",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=SEEDS,
        help=f"of each case of the coverage; {SEEDS}",
    )
    parser.add_argument(
        "--largest", action="store_true", help="the network of a million weights too"
    )
    parser.add_argument(
        "--devinterp",
        default=sys.executable,
        metavar="PYTHON",
        help="an interpreter that has it",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="print what the file has, without running anything",
    )
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    done = read(options.out)
    if not options.report:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("a", encoding="utf-8") as file:
            for part in options.only:
                for name, run in tasks(
                    part, options.seeds, options.largest, options.devinterp
                ):
                    if name not in done:
                        done[name] = {"id": name, **run()}
                        file.write(json.dumps(done[name]) + "\n")
                        file.flush()
    for part in options.only:
        if lines := [
            line for name, line in done.items() if name.startswith(f"{part}/")
        ]:
            print(f"\n{part}\n", flush=True)
            TABLES[part](lines)


def row(*cells: Any) -> None:
    """Print a line of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def header(*names: str) -> None:
    """Print the head of a Markdown table."""
    row(*names)
    row(*("---" for _ in names))


def shown(value: float, error: float) -> str:
    """Return an estimate with its error."""
    digits = max(0, 1 - int(np.floor(np.log10(error)))) if error > 0 else 4
    return f"{value:,.{min(digits, 5)}f} ± {error:.1g}"


def relative(line: Record) -> float:
    """Return the relative error of an estimate."""
    return line["value"] / line["exact"] - 1


def print_beside(lines: list[Record]) -> None:
    """Print the comparison."""
    header(
        "case",
        "exact",
        "row gradients",
        "langevax",
        "transcription",
        "devinterp",
        "worst of both / langevax",
    )
    for line in lines:
        others = [
            line["transcription"],
            *([line["devinterp"]] if not isinstance(line["devinterp"], str) else []),
        ]
        off = [abs(other[0] - line["exact"]) for other in others]
        ours = abs(line["value"] - line["exact"])
        cells = [
            f"{shown(*other[:2])} ({other[0] / line['exact'] - 1:+.1%})"
            for other in others
        ]
        cells += [line["devinterp"]] * (len(others) < 2)
        estimate = f"{shown(line['value'], line['error'])} ({relative(line):+.2%})"
        row(
            line["case"],
            f"{line['exact']:.4f}",
            f"{line['evaluations']:,}",
            estimate,
            *cells,
            f"{max(off) / ours:,.0f}",
        )


def print_gradients(lines: list[Record]) -> None:
    """Print errors at multiples of langevax's gradients, and the multiple at which they are equal."""
    columns = [f"at {budget:g}x" for budget in rivals.BUDGETS]
    header(
        "case",
        "row gradients",
        "langevax",
        *columns,
        "gradients to equal error / langevax",
    )
    for line in lines:
        best = np.min(line["errors"], axis=0)
        steps = [
            rivals.STEP_SIZES[index] for index in np.argmin(line["errors"], axis=0)
        ]
        cells = [
            f"{error:.2%} (steps {step:g})"
            for error, step in zip(best, steps, strict=True)
        ]
        row(
            line["case"],
            f"{line['evaluations']:,}",
            f"{line['error']:.2%}",
            *cells,
            equal_error(line["error"], best),
        )


def equal_error(error: float, best: np.ndarray) -> str:
    """Return the first budget of which the best error is as small."""
    reached = np.flatnonzero(best <= error)
    return (
        f"{rivals.BUDGETS[reached[0]]:g}"
        if len(reached)
        else f"more than {rivals.BUDGETS[-1]:g}"
    )


def print_monomials(lines: list[Record]) -> None:
    """Print estimates and devinterp's beside coefficients."""
    header(
        "case",
        "coefficient",
        "langevax",
        "off",
        "loss gradients",
        "devinterp",
        "off",
        "loss gradients",
    )
    for line in lines:
        cells = [
            shown(line["value"], line["error"]),
            f"{line['value'] / line['threshold'] - 1:+.2%}",
        ]
        other = line["devinterp"]
        if isinstance(other, str):
            others = [other, "", ""]
        else:
            others = [
                shown(*other[:2]),
                f"{other[0] / line['threshold'] - 1:+.1%}",
                f"{other[2]:,}",
            ]
        row(
            line["case"],
            f"{line['threshold']:g}",
            *cells,
            f"{line['evaluations'] // 2:,}",
            *others,
        )


def print_calls(lines: list[Record]) -> None:
    """Print how far calls differ, beside the errors that they state."""
    exact = next((line["exact"] for line in lines if "exact" in line), float("nan"))
    header(
        "estimate",
        "calls",
        "mean",
        "exact",
        "spread of calls",
        "mean stated error",
        "spread / stated",
    )
    for line in lines:
        values, errors = np.transpose(line["estimates"])
        spread, stated = float(np.std(values, ddof=1)), float(np.mean(errors))
        numbers = (
            f"{np.mean(values):.3f}",
            f"{exact:.3f}",
            f"{spread:.2g}",
            f"{stated:.2g}",
            f"{spread / stated:.2g}",
        )
        row(line["case"], len(values), *numbers)


def print_known(lines: list[Record]) -> None:
    """Print estimates beside exact values and thresholds."""
    header(
        "case",
        "d",
        "threshold",
        "exact at this n",
        "estimate",
        "off",
        "in errors",
        "CPU s",
        "warnings",
    )
    for line in lines:
        off = (line["value"] - line["exact"]) / np.hypot(
            line["error"], line["exact_error"]
        )
        exact = (
            shown(line["exact"], line["exact_error"])
            if line["exact_error"]
            else f"{line['exact']:.5f}"
        )
        row(
            line["case"],
            f"{line['parameters']:,}",
            f"{line['threshold']:,.4g}",
            exact,
            shown(line["value"], line["error"]),
            f"{relative(line):+.2%}",
            f"{off:+.1f}",
            f"{line['seconds']:.0f}",
            len(line["warnings"]),
        )
    off = [abs(relative(line)) for line in lines]
    bias = [abs(line["exact"] / line["threshold"] - 1) for line in lines]
    total = [abs(line["value"] / line["threshold"] - 1) for line in lines]
    print(
        f"\n{len(lines)} cases: median error {np.median(off):.2%}, largest {max(off):.2%}; of the exact values against "
        f"the thresholds, at infinite n, {np.median(bias):.1%} and {max(bias):.0%}; of the estimates against these "
        f"{np.median(total):.1%} and {max(total):.0%}."
    )


def coverage_of(lines: list[Record]) -> int:
    """Return how many intervals of 95 % hold the exact value."""
    return sum(
        abs(line["value"] - line["exact"]) < 1.96 * line["error"] for line in lines
    )


def print_coverage(lines: list[Record]) -> None:
    """Print how many intervals hold the exact value."""
    header(
        "case",
        "exact",
        "seeds",
        "covered by 95 %",
        "root mean square of errors / standard error",
        "mean width",
    )
    for name in dict.fromkeys(line["case"] for line in lines):
        chosen = [line for line in lines if line["case"] == name]
        scores = np.array(
            [(line["value"] - line["exact"]) / line["error"] for line in chosen]
        )
        width = np.mean([2 * 1.96 * line["error"] / line["exact"] for line in chosen])
        spread = float(np.sqrt(np.mean(scores**2)))
        row(
            name,
            f"{chosen[0]['exact']:.4f}",
            len(chosen),
            coverage_of(chosen),
            f"{spread:.2f}",
            f"{width:.1%}",
        )


TABLES: dict[str, Callable[[list[Record]], None]] = {
    "beside": print_beside,
    "gradients": print_gradients,
    "monomials": print_monomials,
    "calls": print_calls,
    "crossings": print_known,
    "ranks": print_known,
    "networks": print_known,
    "coverage": print_coverage,
}
