"""What is measured of the library, each part on one table."""

import copy
import time
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from benchmarks.low_noise import drawn
from benchmarks.real_tables.tables import TABLES, encoded, load, task_of
from benchmarks.results import Record
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor
from langevax.sklearn.row_effects import Without

Array = NDArray[Any]
Parts = tuple[Array, Array, Array, Array]

ROWS, SEEDS = 40, 8
MOST_ROWS = 400
"""Of training; all others are predicted."""
COVERAGE = 0.9
LEAST_PREDICTIONS = 2000
MOST_SPLITS = 25
WRONG = 0.05
LISTED = 0.1


@cache
def table(name: str) -> tuple[Any, Array, bool]:
    """Return columns, targets, and whether these are classes."""
    loaders = {
        "diabetes": (datasets.load_diabetes, False),
        "breast cancer": (datasets.load_breast_cancer, True),
        "iris": (datasets.load_iris, True),
        "wine": (datasets.load_wine, True),
    }
    if name in loaders:
        function, classes = loaders[name]
        return *function(return_X_y=True), classes
    real = TABLES[name]
    return *load(real), task_of(real) == "classification"


def split(name: str, seed: int) -> Parts:
    """Return columns and targets of at least a fifth of the rows, after those of the others: (X, y, X_new, y_new)."""
    X, y, classes = table(name)
    size = min(MOST_ROWS, round(0.8 * len(y)))
    kind = StratifiedShuffleSplit if classes else ShuffleSplit
    splitter = kind(1, train_size=size, random_state=seed)
    train, new = next(splitter.split(np.empty((len(y), 1)), y))
    if isinstance(X, np.ndarray):
        return X[train], y[train], X[new], y[new]
    columns = encoded(X.iloc[train], X.iloc[new])
    return columns[0], y[train], columns[1], y[new]


def fitted(X: Array, y: Array, classes: bool) -> tuple[Any, float]:
    """Return a network by default settings, and its CPU seconds."""
    began = time.process_time()
    model = (MeanFieldClassifier if classes else MeanFieldRegressor)(random_state=0)
    return model.fit(X, y), time.process_time() - began


def trained(model: Any, rows: Any = (), seed: int = 0) -> Any:
    """Return the network trained again without rows, by the model's settings and a seed."""
    seeded = copy.copy(model).set_params(random_state=seed)
    return Without(seeded, np.asarray(rows, int)).refit()


def relative(error: Array, true: Array) -> float:
    """Return the root mean square of an error over that of the truth."""
    return float(np.sqrt(np.mean(error**2) / np.mean(true**2)))


def spread_over(sizes: Array, number: int) -> Array:
    """Return the places of rows spread over the quantiles, the largest included."""
    order = np.argsort(sizes, kind="stable")
    return order[np.linspace(0, len(order) - 1, number).round().astype(int)]


def rows(name: str) -> Record:
    """Compare own changes and residuals of 40 rows with those of trainings without each."""
    classes = table(name)[2]
    X, y, X_new, y_new = split(name, 0)
    model, seconds = fitted(X, y, classes)
    began = time.process_time()
    left = model.leave_one_out()
    left_seconds = time.process_time() - began
    places = spread_over(left.changes, min(ROWS, len(y)))
    predicted = np.array(
        [model.influence(X[[i]], of_outputs=True)[0, i] for i in places]
    )
    predicted_new = np.moveaxis(model.influence(X_new, of_outputs=True), 1, 0)[places]
    bases = [trained(model, seed=seed) for seed in range(SEEDS)]
    own, elsewhere, losses, refit_seconds = [], [], [], 0.0
    for i in places:
        began = time.process_time()
        refits = [trained(model, [i], seed) for seed in range(SEEDS)]
        refit_seconds += time.process_time() - began
        pairs = list(zip(refits, bases, strict=True))
        at = X[[i]]
        own.append([one.outputs(at)[0] - base.outputs(at)[0] for one, base in pairs])
        elsewhere.append(
            [one.outputs(X_new) - base.outputs(X_new) for one, base in pairs]
        )
        losses.append(np.mean([own_loss(one, X[i], y[i]) for one in refits]))
    own, elsewhere = np.array(own), np.array(elsewhere)  # (rows, seeds, ...)
    true = own.mean(axis=1)
    sure = ~left.unsure[places]
    record = {
        "n": len(y),
        "classes": classes,
        "converged": bool(model.converged_),
        "score": float(model.score(X_new, y_new)),
        "share": left.effective_parameters / len(y),
        "reason": left.reason,
        "unsure": float(np.mean(left.unsure)),
        "own": relative(predicted - true, true),
        "noise": relative(own.std(axis=1, ddof=1) / SEEDS**0.5, true),
        "elsewhere": relative(
            predicted_new - elsewhere.mean(axis=1), elsewhere.mean(axis=1)
        ),
        "elsewhere_noise": relative(
            elsewhere.std(axis=1, ddof=1) / SEEDS**0.5, elsewhere.mean(axis=1)
        ),
        "loss": float(np.mean(losses)),
        "fit_seconds": seconds,
        "seconds": left_seconds,
        "refit_seconds": refit_seconds / (SEEDS * len(places)),
    }
    if sure.any() and classes:
        record["own_sure"] = relative((predicted - true)[sure], true[sure])
    if not classes:
        residuals = left.residuals[places] - (true - predicted) * float(
            np.squeeze(model.target_scale_)
        )
        error = left.residuals[places] - residuals
        record["residuals"] = relative(error, residuals)
        record["correlation"] = float(
            np.corrcoef(left.residuals[places], residuals)[0, 1]
        )
    else:
        probabilities = left.predictions[
            places, np.searchsorted(model.classes_, y[places])
        ]
        record["loss_predicted"] = float(
            -np.log(np.maximum(probabilities, 1e-9)).mean()
        )
    return record


def own_loss(model: Any, x: Array, y: Any) -> float:
    """Return the square, or the log loss, at one row."""
    if hasattr(model, "classes_"):
        place = int(np.searchsorted(model.classes_, y))
        return float(-np.log(max(model.predict_proba(x[None])[0, place], 1e-9)))
    return float((model.predict(x[None])[0] - y) ** 2)


def tenth(name: str) -> Record:
    """Compare outputs at new rows without a tenth of the rows with those of a training without them."""
    classes = table(name)[2]
    X, y, X_new, _ = split(name, 0)
    model, _ = fitted(X, y, classes)
    rows = np.random.default_rng(0).permutation(len(y))[: len(y) // 10]
    left_out = model.without(rows)
    predicted = left_out.predict(X_new)
    outputs = [predictions(trained(model, rows, seed), X_new) for seed in (0, 1)]
    noise = np.sqrt(np.mean((outputs[0] - outputs[1]) ** 2) / 2)
    moved = np.sqrt(np.mean((outputs[0] - predictions(model, X_new)) ** 2))
    error = np.sqrt(np.mean((predicted - outputs[0]) ** 2))
    share = model.leave_one_out().effective_parameters / len(y)
    return {
        "share": share,
        "trustworthy": left_out.trustworthy,
        "reason": left_out.reason,
        "noises": float(error / noise),
        "moved": float(moved / noise),
    }


def predictions(model: Any, X: Array) -> Array:
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)


def intervals(name: str) -> Record:
    """Cover new rows by both methods, over as many splits as 2,000 predictions need."""
    classes = table(name)[2]
    methods = ("jackknife+", "cv+")
    hits: dict[str, list[Array]] = {m: [] for m in methods}
    widths: dict[str, list[Array]] = {m: [] for m in methods}
    ratios, refused, number = [], 0, 0
    for seed in range(MOST_SPLITS):
        X, y, X_new, y_new = split(name, seed)
        model, seconds = fitted(X, y, classes)
        for method in methods:
            began = time.process_time()
            try:
                inside, width = covered(model, X_new, y_new, method)
            except ValueError:
                refused += 1
                break
            hits[method].append(inside)
            widths[method].append(width)
            if method == "jackknife+":
                ratios.append(1 + (time.process_time() - began) / seconds)
        number += len(y_new)
        if number >= LEAST_PREDICTIONS:
            break
    record: Record = {"predictions": number, "splits": seed + 1, "refused": refused}
    for method in methods:
        if hits[method]:
            record[f"covered {method}"] = float(np.concatenate(hits[method]).mean())
            record[f"width {method}"] = float(np.concatenate(widths[method]).mean())
    if ratios:
        record["cost"] = float(np.median(ratios))
    return record


def covered(model: Any, X: Array, y: Array, method: str) -> tuple[Array, Array]:
    """Return which targets are inside, and widths or sizes."""
    if hasattr(model, "classes_"):
        sets = model.predict_set(X, coverage=COVERAGE, method=method)
        return sets[np.arange(len(y)), np.searchsorted(model.classes_, y)], sets.sum(1)
    low, high = model.predict_interval(X, coverage=COVERAGE, method=method).T
    return (low <= y) & (y <= high), high - low


def labels(name: str) -> Record:
    """Plant 5 % wrong labels, and count those among the first tenth of the list of residuals."""
    X, y, _, _ = split(name, 0)
    rng = np.random.default_rng(0)
    kinds = np.unique(y)
    wrong = rng.permutation(len(y))[: round(WRONG * len(y))]
    planted = y.copy()
    for i in wrong:
        planted[i] = rng.choice(kinds[kinds != y[i]])
    model, _ = fitted(X, planted, True)
    residuals = model.leave_one_out().residuals
    first = np.argsort(-residuals)[: round(LISTED * len(y))]
    return {
        "n": len(y),
        "wrong": len(wrong),
        "found": float(np.isin(wrong, first).mean()),
    }


def costs(name: str) -> Record:
    """Measure CPU seconds beside the fit, where a second network is asked, whose programs are compiled."""
    n = int(name)
    sample = drawn("noisy", n, 0)
    (X, X_new), (y, _) = sample.matrix, sample.targets
    model = MeanFieldRegressor(temperature=0.05, random_state=0)
    seconds, answers = [], []
    for shift in (0.0, 0.01):
        model.fit(X, y + shift * X[:, 0])
        began = time.process_time()
        left = model.leave_one_out()
        seconds.append(time.process_time() - began)
        for row in (0, 1):
            began = time.perf_counter()
            model.without([row]).predict(X_new[:100])
            answers.append(time.perf_counter() - began)
    return {
        "first": seconds[0],
        "seconds": seconds[1],
        "share": left.effective_parameters / n,
        "answer": answers[-1],
    }
