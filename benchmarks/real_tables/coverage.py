"""Coverage of 90 % intervals over many splits of small tables: `python -m benchmarks coverage [OPTIONS]`.

Each split holds a fifth of the rows out; the 90 % interval is made by a fit on the others. Results
are lines of `--out`, one a table and number of a split: the same command goes on where it ended, and prints the table
of all lines. 200 splits of six tables take three and a half hours of CPU time.
"""

import argparse
import json
import resource
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import ShuffleSplit

from benchmarks.real_tables.report import markdown
from benchmarks.real_tables.tables import TABLES, encoded, load
from langevax import Run
from langevax.sklearn import MeanFieldRegressor

NAMES = ("mpg", "crime4", "hitters", "college", "schools", "births")
COVERAGE = 0.9
NUM_TIMED = 10  # splits whose fit is timed without folds as well


def main(arguments: Sequence[str] = ()) -> None:
    """Print, by table, the mean coverage with its standard error, and the mean width."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks coverage", description=__doc__
    )
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--tables", default=",".join(NAMES))
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/coverage.jsonl"),
        help="lines; %(default)s",
    )
    options = parser.parse_args(arguments)
    names = options.tables.split(",")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.touch()
    lines = [
        json.loads(line)
        for line in options.out.read_text(encoding="utf-8").splitlines()
    ]
    done = {(line["table"], line["number"]) for line in lines}
    for number in range(
        options.splits
    ):  # all tables have as many splits, wherever this ends
        for name in names:
            if (name, number) not in done:
                lines.append(measured(name, number, options.splits))
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    print_table([line for line in lines if line["table"] in names])


def print_table(lines: list[dict[str, Any]]) -> None:
    """Print means over splits."""
    rows = []
    for name in dict.fromkeys(line["table"] for line in lines):
        own = [line for line in lines if line["table"] == name]
        without = [
            line["seconds without folds"]
            for line in own
            if line["seconds without folds"] is not None
        ]
        ratio = np.median([line["seconds"] for line in own]) / np.median(without)
        covered = np.array([line["coverage"] for line in own])
        error = covered.std() / np.sqrt(len(own))
        width = np.mean([line["width"] for line in own])
        cells = f"{covered.mean():.3f} ± {error:.3f}", f"{width:.2f}", f"{ratio:.2f}"
        rows.append([name, f"{len(own)}", *cells])
    head = [
        "table",
        "splits",
        "coverage",
        "width in deviations",
        "seconds with folds / without",
    ]
    print(markdown(head, rows))


def measured(name: str, number: int, splits: int) -> dict[str, Any]:
    """Return coverage and width on one split, and processor seconds of fits with folds and without."""
    frame, targets = load(TABLES[name])
    train, test = list(
        ShuffleSplit(splits, test_size=0.2, random_state=0).split(frame)
    )[number]
    parts = (
        frame.iloc[train].reset_index(drop=True),
        frame.iloc[test].reset_index(drop=True),
    )
    (X, Z), (y, held) = encoded(*parts), (targets[train], targets[test])
    line: dict[str, Any] = {
        "table": name,
        "number": number,
        "seconds without folds": None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = processor_seconds()
        model = MeanFieldRegressor(random_state=number, run=Run(progress=False)).fit(
            X, y
        )
        line["seconds"] = processor_seconds() - before
        if number < NUM_TIMED:
            before = processor_seconds()
            MeanFieldRegressor(
                random_state=number, run=Run(progress=False), validation=None
            ).fit(X, y)
            line["seconds without folds"] = processor_seconds() - before
    low, high = model.predict_interval(Z, COVERAGE).T
    line["coverage"] = float(np.mean((low <= held) & (held <= high)))
    line["width"] = float(np.mean(high - low) / targets.std())
    return line


def processor_seconds() -> float:
    """Return user and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
