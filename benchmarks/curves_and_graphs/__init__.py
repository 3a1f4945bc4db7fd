"""The estimators for curves and graphs on public data, beside peers on the same splits, in one table.

Published training and test rows (`data`); MUTAG, which has none, by ten stratified folds. Every peer chooses its
settings inside the training rows (`peers`); ours have their default settings, with what is known of the data. Then:
between which bounds the optima lie, and whether a finer grid changes them.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from sklearn.pipeline import make_pipeline

import langevax.sklearn
from benchmarks.curves_and_graphs.data import DATA_SETS, DataSet
from benchmarks.curves_and_graphs.peers import Method, encoder, peers
from langevax.sklearn import (
    MeanFieldClassifier,
    MeanFieldRegressor,
    RandomConvolutions,
)

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
        by_split = []
        for train, test in data.splits:
            (X, y), (X_test, _) = data.take(train), data.take(test)
            began = time.perf_counter()
            predictions = method.predict(X, y, X_test, seed)
            seconds.append(time.perf_counter() - began)
            by_split.append(data.score(test, predictions))
        scores.append(np.mean(by_split))
    spread = float(np.std(scores, ddof=1)) if method.draws else None
    return Cell(float(np.mean(scores)), spread, float(np.median(seconds)))


def caption(sets: list[DataSet]) -> str:
    """Return the caption of the columns."""
    lines = ["± is the standard deviation over three seeds, where a method draws."]
    for data in sets:
        train, test = (
            data.splits[0][0],
            np.concatenate([test for _, test in data.splits]),
        )
        folds = f" in {len(data.splits)} folds" if len(data.splits) > 1 else ""
        if data.classes:
            largest = np.unique(data.targets[test], return_counts=True)[1].max() / len(
                test
            )
            about = f"largest class {largest:.3f}"
        else:
            about = f"sd of the test targets {data.targets[test].std():.3f}"
        lines.append(
            f"{data.name}: {data.metric}; {len(train)} training rows, {len(test)} of test{folds}, {about}."
        )
    return "\n".join(lines)


def main() -> None:
    """The table, a row as soon as it is measured; then certificates and finer grids."""
    sets = [load() for load in DATA_SETS.values()]
    methods = {data.name: estimators(data) | peers(data) for data in sets}
    names = list(
        dict.fromkeys(name for by_name in methods.values() for name in by_name)
    )
    print(caption(sets))
    heads = "".join(f"{f'{data.name} {data.metric}':>26}" for data in sets)
    print(f"\n{'':<42}{heads}   median seconds to fit and predict", flush=True)
    for name in names:
        columns = {
            data.name: methods[data.name][name]
            for data in sets
            if name in methods[data.name]
        }
        missing = sorted({method.missing for method in columns.values()} - {""})
        note = f"   left out: {'; '.join(missing)}" if missing else ""
        columns = {key: method for key, method in columns.items() if not method.missing}
        if not columns:
            print(f"{name:<42}{note}", flush=True)
            continue
        cells = {
            data.name: measure(columns[data.name], data)
            for data in sets
            if data.name in columns
        }
        shown = "".join(f"{cells.get(data.name, '')!s:>26}" for data in sets)
        seconds = " / ".join(
            f"{cells[data.name].seconds:.2g}" if data.name in cells else "-"
            for data in sets
        )
        print(f"{name:<42}{shown}   {seconds}{note}", flush=True)
    certificates(sets)
    finer_grids(sets)


def estimators(data: DataSet) -> dict[str, Method]:
    """The estimator for such data, and the estimator for tables behind the same encoder."""
    kind = "Functional" if data.kind == "curves" else "Graph"
    name = f"{kind}MeanField{'Classifier' if data.classes else 'Regressor'}"

    def direct(part: Any) -> Any:
        def predict(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
            model = getattr(langevax.sklearn, name)(part, random_state=seed)
            return model.fit(X, y).predict(X_test)

        return predict

    def pipeline(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        scaling = "global" if data.kind == "curves" else "columns"
        network = MeanFieldClassifier if data.classes else MeanFieldRegressor
        model = make_pipeline(
            encoder(data), network(scaling=scaling, random_state=seed)
        )
        return model.fit(X, y).predict(X_test)

    methods = {
        "mean-field estimator": Method(direct(encoder(data)), draws=True),
        "mean-field network behind the encoder": Method(pipeline, draws=True),
    }
    if data.kind == "curves":
        patterns = RandomConvolutions(**data.known)
        methods["mean-field estimator, convolutions"] = Method(
            direct(patterns), draws=True
        )
    return methods


FINER = 4


def certificates(sets: list[DataSet]) -> None:
    """The certificate of each estimator's fit on the first training rows, and its CPU seconds."""
    print(
        f"\n{'certificates':<20}{'interval':>20}{'of what the prior leaves':>26}{'seconds':>9}   trustworthy"
    )
    for data in sets:
        model = _fitted(data)
        certificate = model.estimator_.certificate(random_state=0)
        interval = f"[{certificate.lower_bound:.5f}, {certificate.upper_bound:.5f}]"
        print(
            f"{data.name:<20}{interval:>20}{certificate.unknown_share:>26.3f}{certificate.cpu_seconds:>9.1f}   "
            f"{certificate.trustworthy}",
            flush=True,
        )


def finer_grids(sets: list[DataSet]) -> None:
    """Test curves on a grid four times as fine, by cubic splines: what changes in the outputs of a fit on the old."""
    print(
        f"\n{'grid refined':<20}{'largest change of an output, in their standard deviation':>60}"
    )
    for data in sets:
        if data.kind != "curves":
            continue
        model, (X, _) = _fitted(data), data.take(data.splits[0][1])
        grid = model.encoder_.grid_
        fine = np.linspace(grid[0], grid[-1], FINER * (len(grid) - 1) + 1)
        outputs = model.outputs(X)
        finer = [(fine, x) for x in CubicSpline(grid, X.T)(fine).T]
        change = model.outputs(finer) - outputs
        print(
            f"{data.name:<20}{np.abs(change).max() / outputs.std():>60.4f}", flush=True
        )


def _fitted(data: DataSet) -> Any:
    kind = "Functional" if data.kind == "curves" else "Graph"
    estimator = getattr(
        langevax.sklearn,
        f"{kind}MeanField{'Classifier' if data.classes else 'Regressor'}",
    )
    return estimator(encoder(data), random_state=0).fit(*data.take(data.splits[0][0]))
