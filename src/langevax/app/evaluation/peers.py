"""The methods that a network is compared with: scikit-learn's usual ones, their settings chosen by cross-validation.

A peer takes an encoded numeric matrix and chooses its settings inside `fit`, so that the time of the choice is counted
and cross-validating a peer is honest. Reports and benchmarks use the same peers; CatBoost and LightGBM join them where
they are installed.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from scipy.linalg import LinAlgWarning
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from langevax.app.evaluation import Task
from langevax.sklearn.folds import Folds, folds_of

FOLDS = 3
SEARCH = f" by {FOLDS}-fold search"
MAX_KERNEL_ROWS = 5000  # the time of a kernel machine grows with the cube of its rows
MAX_SEARCHED_COLUMNS = (
    2000  # on 10,000, a search over boosted trees and over an MLP takes minutes each
)
RIDGES = tuple(np.logspace(-3, 5, 33))
INVERSE_RIDGES = tuple(np.logspace(-3, 3, 7))
RIDGES_3, COSTS = (0.01, 0.1, 1.0), (0.3, 3.0, 30.0)
WIDTHS = (0.1, 0.3, 1.0)  # w of the kernel exp(-w |x - x'|^2 / columns)
DECAYS = (1e-3, 0.1, 10.0)
TREES: dict[str, tuple[float, ...]] = {
    "learning_rate": (0.03, 0.1),
    "max_leaf_nodes": (4, 31),
}
NUM_TREES, LEAF_ROWS, SHARE_OF_COLUMNS = 200, 3, 1 / 3  # of a random forest
LEAST_PROBABILITY = 1e-4  # of a class, where settings are chosen by log loss
THREADS = 1  # trees that one thread grows in 0.2 s took two threads 145 s on a busy machine, waiting for each other


Criterion = Literal["accuracy", "log loss"]


class Peer(BaseEstimator):
    """An estimator that chooses its settings by cross-validation when fitted.

    Args:
        estimator: what is fitted.
        grid: parameters to cross-validate; those named `gamma` are divided by the number of columns.
        note: how the settings are chosen, in a few words; `note_` of a fitted peer adds what its data changed.
        max_rows: fit on a random subsample of at most this many rows.
        max_columns: keep the defaults, without a search, where there are more.
        random_state: of the folds and the subsample.
        criterion: of a classifier's settings. With "log loss" a classifier has probabilities: those of a kernel
            machine, whose settings are chosen by accuracy, are calibrated by cross-validation.
    """

    def __init__(
        self,
        estimator: Any,
        grid: dict[str, tuple[float, ...]] | None = None,
        note: str = "",
        max_rows: int | None = None,
        max_columns: int | None = None,
        random_state: int = 0,
        criterion: Criterion = "accuracy",
    ):
        self.estimator = estimator
        self.grid = grid
        self.note = note
        self.max_rows = max_rows
        self.max_columns = max_columns
        self.random_state = random_state
        self.criterion = criterion

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def fit(self, X: Any, y: Any, groups: np.ndarray | None = None) -> "Peer":
        """Choose the settings and fit; rows of one of `groups` (n,) are left out together."""
        X, y = np.asarray(X), np.asarray(y)
        self.note_: str = self.note
        if self.max_rows is not None and len(X) > self.max_rows:
            self.note_ += f"; on {self.max_rows:,} of the rows"
        X, y, groups = self._subsample(X, y, groups)
        with quiet():
            search = self._search(X, y, groups).fit(X, y)
            self.chosen_: Any = (
                search.best_estimator_ if isinstance(search, GridSearchCV) else search
            )
            self.estimator_: Any = self._with_probabilities(self.chosen_, X, y, groups)
        return self

    def refitted(self, X: Any, y: Any, groups: np.ndarray | None = None) -> Any:
        """Return an estimator of the settings that `fit` chose, fitted on other rows."""
        X, y, groups = self._subsample(np.asarray(X), np.asarray(y), groups)
        with quiet():
            again: Any = clone(self.chosen_)
            return self._with_probabilities(again.fit(X, y), X, y, groups)

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of probabilities."""
        return self.estimator_.classes_

    def predict(self, X: Any) -> np.ndarray:
        """Return numbers or classes."""
        with threadpool_limits(THREADS):
            return self.estimator_.predict(np.asarray(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of classes, if fitted by log loss."""
        with threadpool_limits(THREADS):
            return self.estimator_.predict_proba(np.asarray(X))

    def score(self, X: Any, y: Any) -> float:
        """Return R2 or accuracy."""
        with threadpool_limits(THREADS):
            return float(self.estimator_.score(np.asarray(X), y))

    def _search(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> Any:
        folds: Any = KFold(FOLDS, shuffle=True, random_state=self.random_state)
        enough = len(y) >= 2 * FOLDS
        if is_classifier(self):
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=self.random_state)
            enough = (
                int((np.unique(y, return_counts=True)[1] >= FOLDS).sum()) >= 2
            )  # then every fold has two classes
        if groups is not None:
            folds = self._grouped_folds(y, groups)
            enough = len(folds) > 1 and all(
                not is_classifier(self) or len(np.unique(y[own])) > 1
                for own, _ in folds
            )
        if self.grid is None:
            return clone(self.estimator)
        if not enough:
            self.note_ = "too few rows to choose its settings: the defaults"
            return clone(self.estimator)
        if self.max_columns is not None and X.shape[1] > self.max_columns:
            self.note_ = "no search on so many columns: the defaults"
            return clone(self.estimator)
        grid = {
            name: [value / X.shape[1] for value in values]
            if name.endswith("gamma")
            else list(values)
            for name, values in self.grid.items()
        }
        by_loss = (
            is_classifier(self)
            and self.criterion == "log loss"
            and hasattr(self.estimator, "predict_proba")
        )
        return GridSearchCV(
            clone(self.estimator),
            grid,
            cv=folds,
            scoring=_negative_log_loss if by_loss else None,
        )

    def _subsample(
        self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        if self.max_rows is None or len(X) <= self.max_rows:
            return X, y, groups
        rows = np.random.default_rng(self.random_state).choice(
            len(X), self.max_rows, replace=False
        )
        return X[rows], y[rows], None if groups is None else groups[rows]

    def _grouped_folds(self, y: np.ndarray, groups: np.ndarray) -> Folds:
        labels = np.unique(y, return_inverse=True)[1] if is_classifier(self) else None
        return folds_of(
            len(y), FOLDS, labels, groups=groups, random_state=self.random_state
        )

    def _with_probabilities(
        self, fitted: Any, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None
    ) -> Any:
        """Return a classifier that has probabilities, if these are needed."""
        if (
            not is_classifier(self)
            or self.criterion == "accuracy"
            or hasattr(fitted, "predict_proba")
        ):
            return fitted
        folds: Any = StratifiedKFold(
            FOLDS, shuffle=True, random_state=self.random_state
        )
        enough = np.unique(y, return_counts=True)[1].min() >= FOLDS
        if groups is not None:
            folds = self._grouped_folds(y, groups)
            enough = len(folds) > 1 and all(
                len(np.unique(y[own])) == len(np.unique(y)) for own, _ in folds
            )
        if enough:
            return _calibrated(clone(fitted), folds).fit(X, y)
        rows = np.arange(
            len(y)
        )  # a class is too rare for folds: calibrated on the rows that it was fitted on
        return _calibrated(FrozenEstimator(fitted), [(rows, rows)]).fit(X, y)


def _calibrated(estimator: Any, folds: Any) -> Any:
    one_model: Any = False
    return CalibratedClassifierCV(estimator, cv=folds, ensemble=one_model)


@contextmanager
def quiet() -> Iterator[None]:
    """Fit on one thread, without the warnings of fits that are stopped or of rare classes."""
    with warnings.catch_warnings(), threadpool_limits(THREADS):
        for kind in (ConvergenceWarning, LinAlgWarning):
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        yield


def _negative_log_loss(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Return less the mean log loss; a class that the estimator has not seen has the least probability."""
    p, classes = estimator.predict_proba(X), estimator.classes_
    places = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    own = np.where(classes[places] == y, p[np.arange(len(y)), places], 0.0)
    return float(np.log(np.maximum(own, LEAST_PROBABILITY)).mean())


class OneScale(TransformerMixin, BaseEstimator):
    """Columns centred and over one deviation, the root of their mean variance: their sizes say what counts."""

    def fit(self, X: np.ndarray, y: Any = None) -> "OneScale":
        """Learn mean and deviation."""
        self.mean_ = X.mean(0)
        self.scale_ = np.sqrt(X.var(0).mean()) or 1.0
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the scaled columns."""
        return (X - self.mean_) / self.scale_


def peers(
    task: Task,
    random_state: int = 0,
    criterion: Criterion = "accuracy",
    one_scale: bool = False,
    grouped: bool = False,
) -> dict[str, Peer]:
    """Return a linear model, a kernel machine, a neural network and two kinds of trees for a task, by name.

    Args:
        task: which of them.
        random_state: of folds, trees and networks.
        criterion: of a classifier's settings.
        one_scale: whether columns share a deviation, as coordinates of one space do, or have one each.
        grouped: whether rows belong to groups, of which leave-one-out would leave rows behind.

    Example:
        >>> list(peers("regression"))[:5]
        ['linear', 'kernel machine', 'MLP', 'random forest', 'boosted trees']
    """
    regression = task == "regression"

    def scaled(estimator: Any) -> Any:
        pipeline = make_pipeline(
            OneScale() if one_scale else StandardScaler(), estimator
        )
        return (
            TransformedTargetRegressor(pipeline, transformer=StandardScaler())
            if regression
            else pipeline
        )

    def peer(
        estimator: Any,
        note: str,
        grid: dict[str, tuple[float, ...]] | None = None,
        **limits: int,
    ):
        return Peer(
            estimator,
            grid,
            note,
            random_state=random_state,
            criterion=criterion,
            **limits,
        )

    def searched(
        estimator: Any, settings: str, limits: dict[str, int], **grid: tuple[float, ...]
    ) -> Peer:
        step = ("regressor__" if regression else "") + type(estimator).__name__.lower()
        named = {f"{step}__{name}": values for name, values in grid.items()}
        return peer(scaled(estimator), settings + SEARCH, named, **limits)

    network: dict[str, Any] = {"max_iter": 300, "random_state": random_state}
    trees: dict[str, Any] = {
        "early_stopping": False,
        "random_state": random_state,
    }  # it needs two rows of every class
    forest: dict[str, Any] = {
        "n_estimators": NUM_TREES,
        "min_samples_leaf": LEAF_ROWS,
        "max_features": SHARE_OF_COLUMNS,
        "random_state": random_state,
    }
    few_rows, few_columns = (
        {"max_rows": MAX_KERNEL_ROWS},
        {"max_columns": MAX_SEARCHED_COLUMNS},
    )
    if regression:
        linear = peer(scaled(RidgeCV(RIDGES)), "ridge by leave-one-out")
        if grouped:
            linear = searched(Ridge(), "ridge", {}, alpha=RIDGES)
        kernel = searched(
            KernelRidge(kernel="rbf"),
            "ridge and width",
            few_rows,
            alpha=RIDGES_3,
            gamma=WIDTHS,
        )
    else:
        linear = searched(
            LogisticRegression(max_iter=1000), "ridge", {}, C=INVERSE_RIDGES
        )
        kernel = searched(SVC(), "cost and width", few_rows, C=COSTS, gamma=WIDTHS)
    boosted = (
        HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    )(**trees)
    return {
        "linear": linear,
        "kernel machine": kernel,
        "MLP": searched(
            (MLPRegressor if regression else MLPClassifier)(**network),
            "weight decay",
            few_columns,
            alpha=DECAYS,
        ),
        "random forest": peer(
            (RandomForestRegressor if regression else RandomForestClassifier)(**forest),
            f"{NUM_TREES} trees, no search",
        ),
        "boosted trees": peer(
            boosted, "rate and leaves" + SEARCH, TREES, **few_columns
        ),
        **{
            name: peer(estimator, "defaults")
            for name, estimator in _installed(regression, random_state).items()
        },
    }


def _installed(regression: bool, random_state: int) -> dict[str, Any]:
    """Return the estimators of other packages that are installed; one that cannot be imported is named in a warning."""
    kind, estimators = "Regressor" if regression else "Classifier", {}
    quiet = {"n_jobs": THREADS, "random_state": random_state, "verbosity": -1}
    silent = {
        "thread_count": THREADS,
        "random_seed": random_state,
        "verbose": 0,
        "allow_writing_files": False,
    }
    for name, prefix, options in (
        ("LightGBM", "LGBM", quiet),
        ("CatBoost", "CatBoost", silent),
    ):
        if find_spec(module := name.lower()):
            try:
                estimators[name] = getattr(import_module(module), prefix + kind)(
                    **options
                )
            except (
                ImportError,
                OSError,
            ) as error:  # a dependency or a system library is missing
                warnings.warn(
                    f"{name} is installed and cannot be imported ({error}); it is left out of the comparison.",
                    stacklevel=2,
                )
    return estimators
