"""What else could have been fitted: scikit-learn's usual methods, with settings chosen as their users would.

Each peer takes an encoded numeric matrix. The choice of its settings happens inside `fit`, on the rows it is
given: its time is counted, and cross-validating a peer is honest. Reports and benchmarks take them from here.
"""

import warnings
from typing import Any, Literal

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

Task = Literal["regression", "classification"]

FOLDS = 3
MOST_KERNEL_ROWS = 5000  # a kernel machine's time grows with the cube of its rows
RIDGES = tuple(np.logspace(-3, 5, 33))
INVERSE_RIDGES = tuple(np.logspace(-3, 3, 7))
KERNEL_RIDGES, KERNEL_COSTS = (0.01, 0.1, 1.0), (0.3, 3.0, 30.0)
WIDTHS = (0.1, 0.3, 1.0)  # w of the kernel exp(-w |x - x'|^2 / columns)
DECAYS = (1e-3, 0.1, 10.0)
THREADS = 1  # waiting for each other, two threads on a busy machine took 145 s for trees that one grows in 0.2 s
NO_EARLY_STOP: dict[str, Any] = {"early_stopping": False}  # it would need two rows of every class
TREES = {"learning_rate": (0.03, 0.1), "max_leaf_nodes": (4, 31)}


class Peer(BaseEstimator):
    """An estimator that chooses its settings by cross-validation when fitted.

    Args:
        estimator: what is fitted.
        grid: parameters to cross-validate; those named `gamma` are divided by the number of columns.
        note: how the settings are chosen, in a few words; `note_` of a fitted peer adds what its data changed.
        most_rows: fit on a random subsample of at most so many rows.
        random_state: of the folds and the subsample.
    """

    def __init__(
        self,
        estimator: Any,
        grid: dict[str, tuple[float, ...]] | None = None,
        note: str = "",
        most_rows: int | None = None,
        random_state: int = 0,
    ):
        self.estimator = estimator
        self.grid = grid
        self.note = note
        self.most_rows = most_rows
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def fit(self, X: Any, y: Any) -> "Peer":
        """Choose the settings and fit."""
        X, y = np.asarray(X), np.asarray(y)
        self.note_ = self.note
        if self.most_rows is not None and len(X) > self.most_rows:
            kept = np.random.default_rng(self.random_state).choice(len(X), self.most_rows, replace=False)
            X, y = X[kept], y[kept]
            self.note_ += f"; on {self.most_rows:,} of the rows"
        with warnings.catch_warnings(), threadpool_limits(THREADS):
            for kind in (ConvergenceWarning, LinAlgWarning):
                warnings.simplefilter("ignore", kind)
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            self.estimator_ = self._search(X, y).fit(X, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Numbers or classes."""
        with threadpool_limits(THREADS):
            return self.estimator_.predict(np.asarray(X))

    def score(self, X: Any, y: Any) -> float:
        """R2 or accuracy."""
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
    """Linear model, kernel machine, neural network and boosted trees for a task, by name.

    Example:
        >>> list(peers("regression"))
        ['linear', 'kernel machine', 'MLP', 'boosted trees']
    """
    return _regressors(random_state) if task == "regression" else _classifiers(random_state)


def _regressors(seed: int) -> dict[str, Peer]:
    def scaled(estimator: Any) -> Any:
        return TransformedTargetRegressor(make_pipeline(StandardScaler(), estimator), transformer=StandardScaler())

    kernel = {"regressor__kernelridge__alpha": KERNEL_RIDGES, "regressor__kernelridge__gamma": WIDTHS}
    decay = {"regressor__mlpregressor__alpha": DECAYS}
    return {
        "linear": Peer(scaled(RidgeCV(RIDGES)), note="ridge by leave-one-out"),
        "kernel machine": Peer(
            scaled(KernelRidge(kernel="rbf")), kernel, _searched("ridge and width"), MOST_KERNEL_ROWS, seed
        ),
        "MLP": Peer(
            scaled(MLPRegressor(max_iter=300, random_state=seed)), decay, _searched("weight decay"), random_state=seed
        ),
        "boosted trees": Peer(
            HistGradientBoostingRegressor(**NO_EARLY_STOP, random_state=seed),
            TREES,
            _searched("rate and leaves"),
            random_state=seed,
        ),
    }


def _classifiers(seed: int) -> dict[str, Peer]:
    def scaled(estimator: Any) -> Any:
        return make_pipeline(StandardScaler(), estimator)

    return {
        "linear": Peer(
            scaled(LogisticRegression(max_iter=1000)),
            {"logisticregression__C": INVERSE_RIDGES},
            _searched("ridge"),
            random_state=seed,
        ),
        "kernel machine": Peer(
            scaled(SVC()),
            {"svc__C": KERNEL_COSTS, "svc__gamma": WIDTHS},
            _searched("cost and width"),
            MOST_KERNEL_ROWS,
            seed,
        ),
        "MLP": Peer(
            scaled(MLPClassifier(max_iter=300, random_state=seed)),
            {"mlpclassifier__alpha": DECAYS},
            _searched("weight decay"),
            random_state=seed,
        ),
        "boosted trees": Peer(
            HistGradientBoostingClassifier(**NO_EARLY_STOP, random_state=seed),
            TREES,
            _searched("rate and leaves"),
            random_state=seed,
        ),
    }


def _searched(what: str) -> str:
    return f"{what} by {FOLDS}-fold search"
