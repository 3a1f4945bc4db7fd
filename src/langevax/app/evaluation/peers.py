"""Estimators that `langevax fit` compares itself with; settings are chosen by cross-validation inside `fit`."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgWarning
from sklearn.base import clone, is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from langevax.app.evaluation import Task
from langevax.sklearn.folds import folds_of

MOST_KERNEL_ROWS = 5000  # that a kernel machine is fitted to


@dataclass(frozen=True)
class Peer:
    """An estimator that chooses its settings by cross-validation when fitted, classifiers by log loss."""

    estimator: Any
    grid: dict[str, Any] | None = None
    """Parameters to cross-validate; those named `gamma` are divided by the number of columns."""
    note: str = "defaults"
    """How the settings are chosen, in a few words."""
    max_rows: int | None = None
    """Fit on a random subsample of at most this many rows."""
    random_state: int = 0
    """Of the folds and the subsample."""

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray | None = None,
    ) -> tuple[Any, str]:
        """Return the fitted estimator, and how its settings were chosen.

        Rows of one of `groups` (n,) are left out together.
        """
        rows = self._rows(len(X))
        note = self.note
        if len(rows) < len(X):
            note += f"; on {len(rows):,} of the rows"
        X = X[rows]
        y = y[rows]
        groups = None if groups is None else groups[rows]
        estimator: Any = clone(self.estimator)
        if self.grid is not None:
            estimator = self._search(X, y, groups)
            if not isinstance(estimator, GridSearchCV):
                note = "too few rows to choose its settings: the defaults"
        with quiet():
            estimator.fit(X, y)
        return getattr(estimator, "best_estimator_", estimator), note

    def refit(
        self,
        fitted: Any,
        X: np.ndarray,
        y: np.ndarray,
    ) -> Any:
        """Return an estimator of the settings of a fitted one, fitted to other rows."""
        rows = self._rows(len(X))
        again: Any = clone(fitted)
        with quiet():
            return again.fit(X[rows], y[rows])

    def _rows(self, size: int) -> np.ndarray:
        if self.max_rows is None or size <= self.max_rows:
            return np.arange(size)
        random = np.random.default_rng(self.random_state)
        return random.choice(size, self.max_rows, replace=False)

    def _search(
        self,
        X: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray | None,
        num_folds: int = 3,
    ) -> Any:
        """Return a search of the settings, or the estimator where there are too few rows for it."""
        estimator: Any = clone(self.estimator)
        labels = None
        scoring = None
        if is_classifier(estimator):
            labels = np.unique(y, return_inverse=True)[1]
            scoring = _negative_log_loss
        folds = folds_of(
            len(y), num_folds, labels, groups=groups, random_state=self.random_state
        )
        one_class = scoring is not None and any(np.ptp(y[own]) == 0 for own, _ in folds)
        if one_class or len(folds) < 2 or len(y) < 2 * num_folds:
            return estimator
        grid = {
            name: np.divide(values, X.shape[1]) if name.endswith("gamma") else values
            for name, values in (self.grid or {}).items()
        }
        return GridSearchCV(estimator, grid, cv=folds, scoring=scoring)


@contextmanager
def quiet() -> Iterator[None]:
    """Work on one thread, without the warnings of fits that are stopped or of rare classes.

    On a busy machine, threads of trees wait for each other far longer than they work.
    """
    with warnings.catch_warnings(), threadpool_limits(1):
        for kind in (ConvergenceWarning, LinAlgWarning):
            warnings.simplefilter("ignore", kind)
        for message in ("The least populated class", "n_components > n_samples"):
            warnings.filterwarnings("ignore", message, UserWarning)
        yield


def _negative_log_loss(
    estimator: Any,
    X: np.ndarray,
    y: np.ndarray,
    least: float = 1e-4,
) -> float:
    """Return less the mean log loss; a class that the estimator has not seen has the probability `least`."""
    p = estimator.predict_proba(X)
    classes = estimator.classes_
    places = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    own = np.where(classes[places] == y, p[np.arange(len(y)), places], 0.0)
    return float(np.log(np.maximum(own, least)).mean())


def peers(
    task: Task,
    random_state: int = 0,
    one_scale: bool = False,
    wide: bool = False,
) -> dict[str, Peer]:
    """Return a linear model, a kernel machine and trees for a task, by name.

    Args:
        task: which of them.
        random_state: of folds and trees.
        one_scale: whether the sizes of columns say what counts, as those of coordinates of one space do; otherwise
            each is divided by its standard deviation.
        wide: whether there are so many columns that a search over trees would take minutes.

    Example:
        >>> list(peers("regression"))
        ['linear', 'kernel machine', 'random forest', 'boosted trees']
    """
    regression = task == "regression"
    scaler = StandardScaler(with_std=not one_scale)

    def searched(
        what: str,
        *steps: Any,
        max_rows: int | None = None,
        **grid: Any,
    ):
        estimator: Any = make_pipeline(scaler, *steps)
        if regression:
            estimator = TransformedTargetRegressor(
                estimator, transformer=StandardScaler()
            )
            grid = {f"regressor__{name}": values for name, values in grid.items()}
        note = f"{what} by 3-fold search"
        return Peer(estimator, grid, note, max_rows, random_state)

    widths = (0.1, 0.3, 1.0)  # w of the kernel exp(-w |x - x'|^2 / columns)
    if regression:
        linear = searched("ridge", Ridge(), ridge__alpha=np.logspace(-3, 5, 17))
        kernel = searched(
            "ridge and width",
            KernelRidge(kernel="rbf"),
            max_rows=MOST_KERNEL_ROWS,
            kernelridge__alpha=(0.01, 0.1, 1.0),
            kernelridge__gamma=widths,
        )
    else:
        logistic = LogisticRegression(max_iter=1000)
        costs = np.logspace(-3, 3, 7)
        linear = searched("ridge", logistic, logisticregression__C=costs)
        kernel = searched(
            "ridge and width",
            Nystroem(n_components=200, random_state=random_state),
            logistic,
            max_rows=MOST_KERNEL_ROWS,
            logisticregression__C=(0.3, 3.0, 30.0),
            nystroem__gamma=widths,
        )
    return {
        "linear": linear,
        "kernel machine": kernel,
        "random forest": _forest(regression, random_state),
        "boosted trees": _boosted(regression, random_state, wide),
    }


def _forest(regression: bool, random_state: int) -> Peer:
    forest: Any = RandomForestRegressor if regression else RandomForestClassifier
    trees = forest(
        200, min_samples_leaf=3, max_features=1 / 3, random_state=random_state
    )
    return Peer(trees, note="200 trees, no search")


def _boosted(regression: bool, random_state: int, wide: bool) -> Peer:
    boosting: Any = (
        HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    )
    # early stopping needs two rows of every class
    trees = boosting(early_stopping=False, random_state=random_state)
    rates = {"learning_rate": (0.03, 0.1), "max_leaf_nodes": (4, 31)}
    note = "rate and leaves by 3-fold search"
    return Peer(trees) if wide else Peer(trees, rates, note, random_state=random_state)
