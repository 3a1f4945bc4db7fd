"""Coverage of 90 % intervals over many splits of small tables: `python -m benchmarks coverage [--splits 200]`.

Each split holds a fifth of the rows out; the interval of each method at 90 % is made by a fit on the others.
"""

import argparse
import resource
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import ShuffleSplit

from benchmarks.real_tables.report import markdown
from benchmarks.real_tables.tables import TABLES, encoded, load
from langevax.sklearn import MeanFieldRegressor
from langevax.sklearn.intervals import METHODS

NAMES = ("mpg", "crime4", "hitters", "college", "schools", "births")
COVERAGE = 0.9


def main(arguments: Sequence[str] = ()) -> None:
    """Print, by table and method, the mean coverage with its standard error, and the mean width."""
    parser = argparse.ArgumentParser("python -m benchmarks coverage", description=__doc__)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--tables", default=",".join(NAMES))
    options = parser.parse_args(arguments)
    rows = []
    for name in options.tables.split(","):
        covered, widths, seconds = measured(name, options.splits)
        for method in METHODS:
            mean, error = np.mean(covered[method]), np.std(covered[method]) / np.sqrt(options.splits)
            ratio = np.median(seconds["folds"]) / np.median(seconds["none"])
            cells = f"{mean:.3f} +- {error:.3f}", f"{np.mean(widths[method]):.2f}", f"{ratio:.2f}"
            rows.append([name, method, *cells])
            print("  ".join(rows[-1]), flush=True)
    head = ["table", "method", "coverage", "width in deviations", "seconds with folds / without"]
    print(markdown(head, rows))


def measured(name: str, splits: int) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, list[float]]]:
    """Return coverages and widths by method, and processor seconds of fits with folds and without."""
    frame, targets = load(TABLES[name])
    covered: dict[str, list[float]] = {method: [] for method in METHODS}
    widths: dict[str, list[float]] = {method: [] for method in METHODS}
    seconds: dict[str, list[float]] = {"folds": [], "none": []}
    for number, (train, test) in enumerate(ShuffleSplit(splits, test_size=0.2, random_state=0).split(frame)):
        parts = frame.iloc[train].reset_index(drop=True), frame.iloc[test].reset_index(drop=True)
        (X, Z), (y, held) = encoded(*parts), (targets[train], targets[test])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = processor_seconds()
            model = MeanFieldRegressor(random_state=number, progress=False).fit(X, y)
            seconds["folds"].append(processor_seconds() - before)
            if number < 10:
                before = processor_seconds()
                MeanFieldRegressor(random_state=number, progress=False, validation=None).fit(X, y)
                seconds["none"].append(processor_seconds() - before)
        for method in METHODS:
            low, high = model.predict_interval(Z, COVERAGE, method).T
            covered[method].append(float(np.mean((low <= held) & (held <= high))))
            widths[method].append(float(np.mean(high - low) / targets.std()))
    return covered, widths, seconds


def processor_seconds() -> float:
    """Return user and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
