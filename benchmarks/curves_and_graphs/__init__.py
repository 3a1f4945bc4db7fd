"""What the doors for curves and graphs reach on public data, beside peers under the same splits, in one table.

Published training and test rows (`data`); MUTAG, which has none, by ten stratified folds. Every peer chooses its
settings inside the training rows (`peers`); the doors have their default settings, with what is known of the data.
"""

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.curves_and_graphs.data import DATA_SETS, DataSet
from benchmarks.curves_and_graphs.doors import doors
from benchmarks.curves_and_graphs.peers import Method, peers
from benchmarks.curves_and_graphs.questions import certificates, finer_grids

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Cell:
    """One method on one data set."""

    score: float
    deviation: float | None
    """Over seeds; None where nothing is drawn."""
    seconds: float
    """Of a fit with its predictions, the median."""

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f" ±{self.deviation:.3f}"
        return f"{self.score:.3f}{spread}"


def measure(method: Method, data: DataSet) -> Cell:
    """The method on all splits, by three seeds where it draws."""
    scores, seconds = [], []
    for seed in SEEDS if method.draws else SEEDS[:1]:
        found = []
        for train, test in data.splits:
            (X, y), (X_test, _) = data.take(train), data.take(test)
            began = time.perf_counter()
            predictions = method.predict(X, y, X_test, seed)
            seconds.append(time.perf_counter() - began)
            found.append(data.score(test, predictions))
        scores.append(np.mean(found))
    spread = float(np.std(scores, ddof=1)) if method.draws else None
    return Cell(float(np.mean(scores)), spread, float(np.median(seconds)))


def caption(sets: list[DataSet]) -> str:
    """What the columns are."""
    lines = ["± is the standard deviation over three seeds, where a method draws."]
    for data in sets:
        train, test = data.splits[0][0], np.concatenate([test for _, test in data.splits])
        folds = f" in {len(data.splits)} folds" if len(data.splits) > 1 else ""
        if data.classes:
            largest = np.unique(data.targets[test], return_counts=True)[1].max() / len(test)
            about = f"largest class {largest:.3f}"
        else:
            about = f"sd of the test targets {data.targets[test].std():.3f}"
        lines.append(f"{data.name}: {data.metric}; {len(train)} training rows, {len(test)} of test{folds}, {about}.")
    return "\n".join(lines)


def main() -> None:
    """The table, a row as soon as it is measured; then what fits can be asked."""
    sets = [load() for load in DATA_SETS.values()]
    methods = {data.name: doors(data) | peers(data) for data in sets}
    names = list(dict.fromkeys(name for found in methods.values() for name in found))
    print(caption(sets))
    heads = "".join(f"{f'{data.name} {data.metric}':>26}" for data in sets)
    print(f"\n{'':<42}{heads}   median seconds to fit and predict", flush=True)
    for name in names:
        columns = {data.name: methods[data.name][name] for data in sets if name in methods[data.name]}
        missing = sorted({method.missing for method in columns.values()} - {""})
        note = f"   left out: {'; '.join(missing)}" if missing else ""
        columns = {key: method for key, method in columns.items() if not method.missing}
        if not columns:
            print(f"{name:<42}{note}", flush=True)
            continue
        cells = {data.name: measure(columns[data.name], data) for data in sets if data.name in columns}
        shown = "".join(f"{cells.get(data.name, '')!s:>26}" for data in sets)
        seconds = " / ".join(f"{cells[data.name].seconds:.2g}" if data.name in cells else "-" for data in sets)
        print(f"{name:<42}{shown}   {seconds}{note}", flush=True)
    certificates(sets)
    finer_grids(sets)
