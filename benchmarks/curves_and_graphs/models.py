"""scikit-learn's models as their users would tune them: grids, searched by folds of the training rows."""

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

FEW = 200  # training rows up to which ten folds are taken, else five
RIDGES = np.logspace(-8, 4, 49)
KERNEL_RIDGES, COSTS = np.logspace(-7, 0, 8), np.logspace(-1, 4, 6)
WIDTHS = np.logspace(-2, 1.5, 8)  # w of exp(-w |x - x'|^2), inputs of total variance 1
TREES = {"max_leaf_nodes": [4, 16], "min_samples_leaf": [5, 20], "max_features": [0.3, 1.0]}
NEIGHBOURS = {"n_neighbors": [1, 3, 5, 7, 9], "weights": ["uniform", "distance"]}
THREADS = 1  # two threads on a busy machine wait for each other


def fit(model: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """The model fitted, without its warnings: corners of grids are hard to solve."""
    with warnings.catch_warnings(), threadpool_limits(THREADS):
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def search(
    model: Any, grid: Any, classes: bool, y: np.ndarray, scoring: str | None = None, folds: int | None = None
) -> GridSearchCV:
    """Over a grid, by shuffled folds of the training rows."""
    folds = folds or (10 if len(y) <= FEW else 5)
    folds = min(folds, int(np.unique(y, return_counts=True)[1].min())) if classes else folds
    splitter = (StratifiedKFold if classes else KFold)(folds, shuffle=True, random_state=0)
    return GridSearchCV(
        model, grid, cv=splitter, scoring=scoring or ("accuracy" if classes else "neg_mean_squared_error")
    )


def scaler(standardise: bool) -> Any:
    """Inputs of total variance 1; their columns keep their proportions where they are not standardised."""
    return make_pipeline(StandardScaler(), TotalVariance()) if standardise else TotalVariance()


class TotalVariance(TransformerMixin, BaseEstimator):
    """Columns centred and divided by one number, so that their variances sum to 1."""

    def fit(self, X: np.ndarray, y: Any = None) -> "TotalVariance":
        """Learn means and that number."""
        self.mean_, self.root_ = X.mean(0), np.sqrt(X.var(0).sum())
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(n, columns)."""
        return (X - self.mean_) / self.root_


def linear(classes: bool, y: np.ndarray, standardise: bool) -> Any:
    """Ridge by leave-one-out; logistic regression by log loss. On curves: functional, the penalty a Sobolev norm."""
    if not classes:
        return make_pipeline(scaler(standardise), RidgeCV(RIDGES))
    model = make_pipeline(scaler(standardise), LogisticRegression(max_iter=5000))
    return search(model, {"logisticregression__C": np.logspace(-2, 6, 17)}, classes, y, "neg_log_loss")


def kernel_machine(classes: bool, y: np.ndarray, standardise: bool) -> GridSearchCV:
    """Kernel ridge regression, support vectors; Gaussian kernel."""
    if classes:
        model = make_pipeline(scaler(standardise), SVC())
        return search(model, {"svc__C": COSTS, "svc__gamma": WIDTHS}, classes, y)
    model = make_pipeline(scaler(standardise), KernelRidge(kernel="rbf"))
    grid = {"regressor__kernelridge__alpha": KERNEL_RIDGES, "regressor__kernelridge__gamma": WIDTHS}
    return search(TransformedTargetRegressor(model, transformer=StandardScaler()), grid, classes, y)


def boosted_trees(classes: bool, y: np.ndarray, standardise: bool) -> GridSearchCV:
    """300 rounds; leaves, their size and the share of columns that a split may use are searched."""
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    whole: dict[str, Any] = {"early_stopping": False}  # few rows: none to spare
    return search(kind(max_iter=300, random_state=0, **whole), TREES, classes, y, folds=5)


def neighbours(classes: bool, y: np.ndarray, standardise: bool, metric: str = "euclidean") -> GridSearchCV:
    """One to nine."""
    return search((KNeighborsClassifier if classes else KNeighborsRegressor)(metric=metric), NEIGHBOURS, classes, y)
