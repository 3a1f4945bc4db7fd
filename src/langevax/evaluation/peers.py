"""The methods that a network is compared with: scikit-learn's usual ones, their settings chosen by cross-validation.

A peer takes an encoded numeric matrix and chooses its settings inside `fit`, so that the time of the choice is counted
and cross-validating a peer is honest. Reports and benchmarks use the same peers.
"""

import warnings
from typing import Any

import numpy as np
from scipy.linalg import LinAlgWarning
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from langevax.evaluation import Task

FOLDS = 3
SEARCH = f" by {FOLDS}-fold search"
MAX_KERNEL_ROWS = 5000  # the time of a kernel machine grows with the cube of its rows
RIDGES = tuple(np.logspace(-3, 5, 33))
INVERSE_RIDGES = tuple(np.logspace(-3, 3, 7))
RIDGES_3, COSTS = (0.01, 0.1, 1.0), (0.3, 3.0, 30.0)
WIDTHS = (0.1, 0.3, 1.0)  # w of the kernel exp(-w |x - x'|^2 / columns)
DECAYS = (1e-3, 0.1, 10.0)
TREES: dict[str, tuple[float, ...]] = {"learning_rate": (0.03, 0.1), "max_leaf_nodes": (4, 31)}
THREADS = 1  # trees that one thread grows in 0.2 s took two threads 145 s on a busy machine, waiting for each other


class Peer(BaseEstimator):
    """An estimator that chooses its settings by cross-validation when fitted.

    Args:
        estimator: what is fitted.
        grid: parameters to cross-validate; those named `gamma` are divided by the number of columns.
        note: how the settings are chosen, in a few words; `note_` of a fitted peer adds what its data changed.
        max_rows: fit on a random subsample of at most this many rows.
        random_state: of the folds and the subsample.
    """

    def __init__(
        self,
        estimator: Any,
        grid: dict[str, tuple[float, ...]] | None = None,
        note: str = "",
        max_rows: int | None = None,
        random_state: int = 0,
    ):
        self.estimator = estimator
        self.grid = grid
        self.note = note
        self.max_rows = max_rows
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def fit(self, X: Any, y: Any) -> "Peer":
        """Choose the settings and fit."""
        X, y = np.asarray(X), np.asarray(y)
        self.note_: str = self.note
        if self.max_rows is not None and len(X) > self.max_rows:
            rows = np.random.default_rng(self.random_state).choice(len(X), self.max_rows, replace=False)
            X, y = X[rows], y[rows]
            self.note_ += f"; on {self.max_rows:,} of the rows"
        with warnings.catch_warnings(), threadpool_limits(THREADS):
            for kind in (ConvergenceWarning, LinAlgWarning):
                warnings.simplefilter("ignore", kind)
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            self.estimator_: Any = self._search(X, y).fit(X, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return numbers or classes."""
        with threadpool_limits(THREADS):
            return self.estimator_.predict(np.asarray(X))

    def score(self, X: Any, y: Any) -> float:
        """Return R2 or accuracy."""
        with threadpool_limits(THREADS):
            return float(self.estimator_.score(np.asarray(X), y))

    def _search(self, X: np.ndarray, y: np.ndarray) -> Any:
        folds = KFold(FOLDS, shuffle=True, random_state=self.random_state)
        enough = len(y) >= 2 * FOLDS
        if is_classifier(self):
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=self.random_state)
            enough = int((np.unique(y, return_counts=True)[1] >= FOLDS).sum()) >= 2  # then every fold has two classes
        if self.grid is None:
            return clone(self.estimator)
        if not enough:
            self.note_ = "too few rows to choose its settings: the defaults"
            return clone(self.estimator)
        grid = {
            name: [value / X.shape[1] for value in values] if name.endswith("gamma") else list(values)
            for name, values in self.grid.items()
        }
        return GridSearchCV(clone(self.estimator), grid, cv=folds)


def peers(task: Task, random_state: int = 0) -> dict[str, Peer]:
    """Return a linear model, a kernel machine, a neural network and boosted trees for a task, by name.

    Example:
        >>> list(peers("regression"))
        ['linear', 'kernel machine', 'MLP', 'boosted trees']
    """
    regression = task == "regression"

    def scaled(estimator: Any) -> Any:
        pipeline = make_pipeline(StandardScaler(), estimator)
        return TransformedTargetRegressor(pipeline, transformer=StandardScaler()) if regression else pipeline

    def searched(estimator: Any, settings: str, max_rows: int | None = None, **grid: tuple[float, ...]) -> Peer:
        step = ("regressor__" if regression else "") + type(estimator).__name__.lower()
        named = {f"{step}__{name}": values for name, values in grid.items()}
        return Peer(scaled(estimator), named, settings + SEARCH, max_rows, random_state)

    network: dict[str, Any] = {"max_iter": 300, "random_state": random_state}
    trees: dict[str, Any] = {"early_stopping": False, "random_state": random_state}  # it needs two rows of every class
    if regression:
        linear = Peer(scaled(RidgeCV(RIDGES)), note="ridge by leave-one-out")
        kernel = searched(KernelRidge(kernel="rbf"), "ridge and width", MAX_KERNEL_ROWS, alpha=RIDGES_3, gamma=WIDTHS)
    else:
        linear = searched(LogisticRegression(max_iter=1000), "ridge", C=INVERSE_RIDGES)
        kernel = searched(SVC(), "cost and width", MAX_KERNEL_ROWS, C=COSTS, gamma=WIDTHS)
    return {
        "linear": linear,
        "kernel machine": kernel,
        "MLP": searched((MLPRegressor if regression else MLPClassifier)(**network), "weight decay", alpha=DECAYS),
        "boosted trees": Peer(
            (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(**trees),
            TREES,
            "rate and leaves" + SEARCH,
            random_state=random_state,
        ),
    }
