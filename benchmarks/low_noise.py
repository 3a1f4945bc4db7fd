"""Test errors on functions with little noise and with much, beside peers: `python -m benchmarks low_noise [OPTIONS]`.

A network at its optimum should come close to a smooth function without noise, and fit no noise. Each function draws its
rows and 2,000 new ones, on which 1 - R2 is measured; all methods have their defaults, in one thread. Each fit is a line
of a file, appended; what is there is not run again. A failure is a line with its message, and is run again next time.
"""

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import results
from benchmarks.real_tables import measured
from benchmarks.real_tables.methods import METHODS, OURS, THREADS, Method
from benchmarks.real_tables.tables import Split
from benchmarks.results import Record

OUT = Path("out/low_noise.jsonl")
NEW_ROWS = 2000
Rows = tuple[np.ndarray, np.ndarray]


def smooth(rng: np.random.Generator, n: int) -> Rows:
    """A sine and a product, with a noise of .05."""
    X = rng.normal(size=(n, 3))
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]
    return X, y + 0.05 * rng.normal(size=n)


def additive(rng: np.random.Generator, n: int) -> Rows:
    """Five functions of a column each, one of them with a kink, and an idle column."""
    X = rng.uniform(-1, 1, size=(n, 6))
    y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2 + np.abs(X[:, 2]) + 0.5 * X[:, 3]
    y += np.exp(X[:, 4]) / 2
    return X, y + 0.05 * rng.normal(size=n)


def interaction(rng: np.random.Generator, n: int) -> Rows:
    """Two products that share a column."""
    X = rng.normal(size=(n, 4))
    y = X[:, 0] * X[:, 1] + 0.7 * X[:, 1] * X[:, 2] + X[:, 3]
    return X, y + 0.05 * rng.normal(size=n)


def friedman(rng: np.random.Generator, n: int) -> Rows:
    """Friedman's first function (1991, Annals of Statistics 19) without noise, with five idle columns."""
    X = rng.uniform(size=(n, 10))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    return X, y + 10 * X[:, 3] + 5 * X[:, 4]


def ripple(rng: np.random.Generator, n: int) -> Rows:
    """A wave of the radius, with a noise of .02."""
    X = rng.uniform(-1, 1, size=(n, 2))
    return X, np.cos(7 * np.hypot(*X.T)) + 0.02 * rng.normal(size=n)


def noisy(rng: np.random.Generator, n: int) -> Rows:
    """The function of `smooth` with a noise of 1.5, and three idle columns."""
    X = rng.normal(size=(n, 6))
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]
    return X, y + 1.5 * rng.normal(size=n)


def linear_noisy(rng: np.random.Generator, n: int) -> Rows:
    """A linear law with a noise of 1.2."""
    X = rng.normal(size=(n, 10))
    return X, X @ (1 / np.arange(1, 11)) + 1.2 * rng.normal(size=n)


LOW = (smooth, additive, interaction, friedman, ripple)
NOISY = (noisy, linear_noisy)
FUNCTIONS: dict[str, Callable[[np.random.Generator, int], Rows]] = {
    function.__name__: function for function in LOW + NOISY
}


def drawn(name: str, num_rows: int, seed: int) -> Split:
    """Return training rows of a function, and new ones.

    Example:
        >>> drawn("smooth", 100, 0).shape
        (100, 3)
    """
    rng = np.random.default_rng([seed, num_rows])
    X, y = FUNCTIONS[name](rng, num_rows + NEW_ROWS)
    matrix, targets = (X[:num_rows], X[num_rows:]), (y[:num_rows], y[num_rows:])
    named = [f"x{j}" for j in range(X.shape[1])]
    frame = (
        pd.DataFrame(matrix[0], columns=named),
        pd.DataFrame(matrix[1], columns=named),
    )
    return Split("regression", frame, matrix, targets)


def xrfm(split: Split) -> Any:
    """The default kernel machine that learns features by recursion, through pytabkit."""
    import pytabkit

    importlib.import_module("xrfm")  # pytabkit imports it only when it fits
    return pytabkit.XRFM_D_Regressor(**_settings())


def tabm(split: Split) -> Any:
    """The default of TabM, through pytabkit."""
    import pytabkit

    return pytabkit.TabM_D_Regressor(**_settings())


def _settings() -> dict[str, Any]:
    return {"device": "cpu", "random_state": 0, "verbosity": 0, "n_threads": THREADS}


MEASURED = {
    OURS: METHODS[OURS],
    "catboost": METHODS["catboost"],
    "xrfm": Method("xRFM", xrfm),
    "realmlp": METHODS["realmlp"],
    "tabm": Method("TabM", tabm),
    "mlp": METHODS["mlp"],
    "gp": METHODS["gp"],
}
"""By the name on the command line, ours first."""
BESIDE = ("catboost", "xrfm", "realmlp", "tabm")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks low_noise", description=__doc__
    )
    parser.add_argument("--functions", nargs="+", choices=FUNCTIONS, default=FUNCTIONS)
    parser.add_argument("--rows", nargs="+", type=int, default=[200, 400, 1000])
    parser.add_argument("--seeds", type=int, default=5, help="how many; 5")
    parser.add_argument(
        "--methods", nargs="+", choices=MEASURED, default=[OURS, *BESIDE]
    )
    results.add_options(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] = ()) -> None:
    """Fit what is missing in the file, then print a table of it as Markdown."""
    options = parsed(arguments)
    if not options.report:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        results.append(options.out, records(options))
    print(printed(read(options.out), options))


def read(path: Path) -> list[Record]:
    """Return the last record of each fit."""
    return results.last(path, _fit_of)


def _fit_of(record: Record) -> tuple[Any, ...]:
    return tuple(record[key] for key in ("function", "rows", "seed", "method"))


def records(options: argparse.Namespace) -> Iterator[Record]:
    """Yield the fits that the file lacks; first seeds of all functions come first."""
    done = {_fit_of(record) for record in read(options.out) if "error" not in record}
    absent: set[str] = set()
    fits = [
        {"function": name, "rows": num_rows, "seed": seed, "method": method}
        for num_rows in options.rows
        for seed in range(options.seeds)
        for method in options.methods
        for name in options.functions
    ]
    for fit in fits:
        if _fit_of(fit) in done or fit["method"] in absent:
            continue
        try:
            record = fit | scored(fit)
        except ModuleNotFoundError as error:
            absent.add(fit["method"])
            print(
                f"{fit['method']} is left out: {error.name} is not installed",
                file=sys.stderr,
            )
            continue
        except Exception as error:  # one failed fit must not end all
            traceback.print_exc()
            record = fit | {"error": f"{type(error).__name__}: {error}"[:300]}
        yield record
        print(record, file=sys.stderr, flush=True)


def scored(fit: Record) -> Record:
    """Return the share of the new rows' variance that a method leaves, its seconds, and what langevax says of its fit."""
    data = drawn(fit["function"], fit["rows"], fit["seed"])
    record = measured(MEASURED[fit["method"]], data)
    measures = ("cpu_s", "fit_s", "temperature", "num_steps", "converged", "warnings")
    return {"left": 1 - record["r2"]} | {
        key: record[key] for key in measures if key in record
    }


def printed(records: list[Record], options: argparse.Namespace) -> str:
    """Return the table: a line for each function and number of rows, two columns for each method."""
    labels = [MEASURED[method].label for method in options.methods]
    lines = [
        "| function | rows | " + " | ".join(f"{label} | s" for label in labels) + " |",
        "|---|---|" + "---|---|" * len(labels),
    ]
    for name in options.functions:
        for num_rows in options.rows:
            cells = [
                cell([r for r in records if _fit_of(r)[:2] == (name, num_rows)], method)
                for method in options.methods
            ]
            lines.append(f"| {name} | {num_rows:,} | " + " | ".join(cells) + " |")
    lines.append("")
    lines += [
        f"{label} was not run: its package is missing, or its fits failed."
        for method, label in zip(options.methods, labels, strict=True)
        if not any(r["method"] == method and "left" in r for r in records)
    ]
    return "\n".join(lines)


def cell(records: list[Record], method: str) -> str:
    """Return the mean of 1 - R2 with its standard error over seeds, and the median of processor seconds.

    Example:
        >>> fits = [{"method": "mlp", "left": left, "cpu_s": 1.0} for left in (0.1, 0.3)]
        >>> cell(fits, "mlp")
        '0.2000 ± 0.1000 | 1.0'
    """
    fits = [r for r in records if r["method"] == method and "left" in r]
    if not fits:
        return "- | -"
    left = np.array([r["left"] for r in fits])
    error = f" ± {left.std(ddof=1) / len(left) ** 0.5:.4f}" if len(left) > 1 else ""
    return f"{left.mean():.4f}{error} | {np.median([r['cpu_s'] for r in fits]):.1f}"
