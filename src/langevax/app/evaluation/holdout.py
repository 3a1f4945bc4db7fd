"""Evaluation of a fitted estimator on held-out rows: relevance of columns, numbers of its certificate."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from sklearn.inspection import permutation_importance

from langevax.app.evaluation import Task
from langevax.app.evaluation.metrics import METRICS, value
from langevax.meanfield import Certificate
from langevax.predictive_law import LawCertificate

MOST_SHUFFLED = 300  # columns; more are not
CERTIFIED = (
    "lower_bound",
    "upper_bound",
    "width",
    "unknown_share",
    "prior_objective",
    "bayes_objective",
    "posterior_share",
    "score_bounds",
    "law_score",
    "law_score_error",
    "missing_share",
    "trustworthy",
    "verdict",
    "num_descents",
    "effective_draws",
    "work",
    "effort",
    "history",
)
"""Fields of the certificates of networks and of laws that results have, where a certificate has them."""


@dataclass(frozen=True)
class TrainTestSplit:
    """An encoded table, split into training rows and held-out rows."""

    table: str
    target: str
    task: Task
    classes: tuple[str, ...]
    """Empty for regression."""
    names: tuple[str, ...]
    """Of the columns of `inputs`."""
    groups: dict[str, list[int]]
    """For each column of the table, its columns in `inputs`: a categorical column has several."""
    quantities: tuple[int, ...]
    """Columns of `inputs` that are quantities; the others are indicators."""
    inputs: np.ndarray
    """(row, input)."""
    targets: np.ndarray
    """(row,) numbers, or indices into `classes`."""
    train: np.ndarray
    """Indices of rows."""
    test: np.ndarray
    unit: str = "row"
    """What a row is called."""
    dates: tuple[str, ...] = ()
    """Columns of the table that are dates, as days since 1970."""
    clocks: tuple[str, ...] = ()
    """Columns of the table that are times of day or durations, in days."""
    one_scale: bool = False
    """Whether the columns of `inputs` are coordinates of one space, whose sizes say what counts."""
    row_groups: np.ndarray | None = None
    """(row,) rows of one group are on the same side of every split; None: each on its own."""
    grouped_by: str = ""
    """The column of the table that says so."""

    def groups_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the groups of rows, or None."""
        return None if self.row_groups is None else self.row_groups[rows]

    @property
    def train_inputs(self) -> np.ndarray:
        return self.inputs[self.train]

    @property
    def train_targets(self) -> np.ndarray:
        return self.targets[self.train]

    @property
    def test_inputs(self) -> np.ndarray:
        return self.inputs[self.test]

    @property
    def test_targets(self) -> np.ndarray:
        return self.targets[self.test]

    def outputs(self, model: Any, inputs: Any) -> np.ndarray:
        """Return predicted numbers (row,), or class probabilities (row, class)."""
        return np.asarray(
            model.predict_proba(inputs) if self.classes else model.predict(inputs),
            np.float64,
        )

    def score(self, observed: np.ndarray, outputs: np.ndarray) -> float:
        """Return R2, or less the log loss of probabilities: larger is better."""
        metric = METRICS[self.task][0]
        least = np.maximum(outputs, 0.5 / len(self.train)) if self.classes else outputs
        return metric.sign * value(metric, observed, least)

    @property
    def score_name(self) -> str:
        """The name of the main metric in results and reports."""
        return METRICS[self.task][0].name


@dataclass(frozen=True)
class Relevance:
    """Fall of R2, or rise of the log loss, when a column is shuffled: mean and standard deviation over shuffles."""

    names: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray
    num_rows: int = 0
    """Held-out rows that it was measured on."""


def on_columns(model: Any) -> Any:
    """Return the network of an estimator with an encoder, and an estimator without one unchanged."""
    return getattr(model, "estimator_", model)


def relevance_of(
    model: Any,
    split: TrainTestSplit,
    random_state: int,
    most_rows: int = 500,
) -> Relevance:
    """Return what shuffling a column of the table, together with its indicators, costs on held-out rows.

    scikit-learn shuffles a table of row numbers with one column for each column of the table; the inputs are then
    gathered from these rows, so that all inputs of a categorical column move together. More than `MOST_SHUFFLED` columns
    are not shuffled.
    """
    names = tuple(split.groups)
    if len(names) > MOST_SHUFFLED:
        return Relevance((), np.empty(0), np.empty(0))
    random = np.random.default_rng(random_state)
    rows = random.permutation(len(split.test))[:most_rows]
    inputs = split.test_inputs[rows]
    observed = split.test_targets[rows]
    groups = list(split.groups.values())

    def score(model: Any, numbers: np.ndarray, observed: np.ndarray) -> float:
        shuffled = inputs.copy()
        for column, places in enumerate(groups):
            shuffled[:, places] = inputs[numbers[:, column]][:, places]
        return split.score(observed, split.outputs(model, shuffled))

    importance: Any = permutation_importance(
        model,
        np.tile(np.arange(len(rows))[:, None], (1, len(groups))),
        observed,
        scoring=score,
        random_state=random_state,
    )
    mean = importance.importances_mean
    deviation = importance.importances_std
    return Relevance(names, mean, deviation, len(rows))


def certified(certificate: Certificate | LawCertificate) -> dict[str, Any]:
    """Return the numbers and words of a certificate, without its arrays."""
    return {
        name: getattr(certificate, name)
        for name in CERTIFIED
        if hasattr(certificate, name)
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that computed the fit."""
    packages = ("langevax", "jax", "numpy", "scikit-learn")
    return {"python": platform.python_version()} | {
        package: version(package) for package in packages
    }
