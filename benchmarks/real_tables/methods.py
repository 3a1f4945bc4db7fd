"""The methods: langevax with default settings, and what others would fit to a small table.

Searched settings are chosen inside the training rows by three folds, by R2 or by log loss; the others are the defaults
of their libraries, in one thread. Boosted trees and RealMLP take categories as such. On classes RealMLP-TD stops by log
loss and does not smooth labels, as its authors advise where log loss is the score.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.real_tables.tables import Split
from langevax.app.evaluation import Task

RIDGES = tuple(np.logspace(-3, 5, 33))
INVERSE_RIDGES = tuple(np.logspace(-3, 3, 7))
RIDGES_3, COSTS = (0.01, 0.1, 1.0), (0.3, 3.0, 30.0)
WIDTHS = (0.1, 0.3, 1.0)  # w of the kernel exp(-w |x - x'|^2 / columns)
DECAYS = (1e-3, 0.1, 10.0)
TREES: dict[str, tuple[float, ...]] = {
    "learning_rate": (0.03, 0.1),
    "max_leaf_nodes": (4, 31),
}
THREADS = 1  # two threads on a busy machine wait for each other
MAX_GP_ROWS: dict[Task, int] = {
    "regression": 1500,
    "classification": 500,
}  # each step of its search is a cube of its rows


@dataclass(frozen=True)
class Method:
    """A method of the comparison.

    Args:
        label: in the report.
        make: make(split) returns the estimator, not fitted.
        inputs: which form of the table it is fitted to.
        max_rows: training rows above which it is left out, by task.
    """

    label: str
    make: Callable[[Split], Any]
    inputs: Literal["matrix", "frame"] = "matrix"
    max_rows: dict[Task, int] | None = None

    def takes(self, split: Split) -> bool:
        """Return False where the table has too many rows."""
        return self.max_rows is None or split.shape[0] <= self.max_rows[split.task]


def searched(estimator: Any, grid: dict[str, Any], split: Split) -> GridSearchCV:
    """Return the estimator with settings chosen by three folds; those named `gamma` are divided by the columns."""
    regression = split.task == "regression"
    folds = (KFold if regression else StratifiedKFold)(3, shuffle=True, random_state=0)
    columns = split.shape[1]
    grid = {
        name: [value / columns for value in values]
        if name.endswith("gamma")
        else list(values)
        for name, values in grid.items()
    }
    return GridSearchCV(
        estimator, grid, cv=folds, scoring="r2" if regression else "neg_log_loss"
    )


def scaled(estimator: Any, split: Split) -> Any:
    """Return the estimator behind standardised columns, and standardised targets where they are numbers."""
    pipeline = make_pipeline(StandardScaler(), estimator)
    return (
        TransformedTargetRegressor(pipeline, transformer=StandardScaler())
        if split.task == "regression"
        else pipeline
    )


def linear(split: Split) -> Any:
    """Ridge by leave-one-out, or logistic regression with its ridge searched."""
    if split.task == "regression":
        return scaled(RidgeCV(RIDGES), split)
    return searched(
        scaled(LogisticRegression(max_iter=1000), split),
        {"logisticregression__C": INVERSE_RIDGES},
        split,
    )


def kernel(split: Split) -> Any:
    """Kernel ridge, or a support vector machine with calibrated probabilities."""
    if split.task == "regression":
        grid = {
            "regressor__kernelridge__alpha": RIDGES_3,
            "regressor__kernelridge__gamma": (0.03, *WIDTHS),
        }
        return searched(scaled(KernelRidge(kernel="rbf"), split), grid, split)
    grid = {"svc__C": COSTS, "svc__gamma": WIDTHS}
    return CalibratedSearch(
        searched(scaled(SVC(), split), grid, split).set_params(scoring="accuracy")
    )


class CalibratedSearch(BaseEstimator):
    """Settings of a classifier by search, then its probabilities by cross-fitted sigmoids."""

    def __init__(self, search: GridSearchCV):
        self.search = search

    def fit(self, X: ArrayLike, y: np.ndarray) -> "CalibratedSearch":
        """Search, then calibrate."""
        search = clone(self.search).fit(X, y)
        self.model_ = CalibratedClassifierCV(
            search.best_estimator_, cv=search.cv, ensemble=False
        ).fit(X, y)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the likeliest classes."""
        return self.model_.predict(X)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the calibrated probabilities."""
        return self.model_.predict_proba(X)


def gaussian_process(split: Split) -> Any:
    """One length scale, and noise for numbers; by marginal likelihood."""
    shape = ConstantKernel(1.0) * RBF(float(np.sqrt(split.shape[1])))
    if split.task == "regression":
        return scaled(
            GaussianProcessRegressor(shape + WhiteKernel(0.3), random_state=0), split
        )
    return scaled(GaussianProcessClassifier(shape, random_state=0), split)


def mlp(split: Split) -> Any:
    """scikit-learn's network, its weight decay searched."""
    regression = split.task == "regression"
    network = (MLPRegressor if regression else MLPClassifier)(
        max_iter=300, random_state=0
    )
    name = "regressor__mlpregressor__alpha" if regression else "mlpclassifier__alpha"
    return searched(scaled(network, split), {name: DECAYS}, split)


def boosting(split: Split) -> Any:
    """scikit-learn's boosted trees, rate and leaves searched."""
    kind = (
        HistGradientBoostingRegressor
        if split.task == "regression"
        else HistGradientBoostingClassifier
    )
    return searched(kind(early_stopping=False, random_state=0), TREES, split)


def catboost(split: Split) -> Any:
    """CatBoost's defaults."""
    import catboost

    kind = (
        catboost.CatBoostRegressor
        if split.task == "regression"
        else catboost.CatBoostClassifier
    )
    categories = list(split.frame[0].select_dtypes("category"))
    return kind(
        cat_features=categories,
        random_seed=0,
        thread_count=THREADS,
        verbose=0,
        allow_writing_files=False,
    )


def lightgbm(split: Split) -> Any:
    """LightGBM's defaults."""
    import lightgbm

    kind = (
        lightgbm.LGBMRegressor
        if split.task == "regression"
        else lightgbm.LGBMClassifier
    )
    return kind(random_state=0, n_jobs=THREADS, verbose=-1)


def xgboost(split: Split) -> Any:
    """XGBoost's defaults."""
    import xgboost

    kind = xgboost.XGBRegressor if split.task == "regression" else xgboost.XGBClassifier
    return kind(enable_categorical=True, random_state=0, n_jobs=THREADS)


def realmlp(split: Split) -> Any:
    """RealMLP with tuned defaults, behind medians and indicators for missing numbers, which it does not take."""
    import pytabkit

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    settings: dict[str, Any] = {
        "device": "cpu",
        "random_state": 0,
        "verbosity": 0,
        "n_threads": THREADS,
    }
    if split.task == "regression":
        network = pytabkit.RealMLP_TD_Regressor(**settings)
    else:
        network = pytabkit.RealMLP_TD_Classifier(
            **settings, val_metric_name="cross_entropy", use_ls=False
        )
    frame = split.frame[0]
    imputer = make_column_transformer(
        (
            SimpleImputer(strategy="median", add_indicator=True),
            list(frame.select_dtypes("number")),
        ),
        ("passthrough", list(frame.select_dtypes("category"))),
    )
    return make_pipeline(imputer.set_output(transform="pandas"), network)


def langevax(split: Split) -> Any:
    """The estimator's defaults."""
    from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor

    return (MeanFieldRegressor if split.task == "regression" else MeanFieldClassifier)(
        random_state=0
    )


OURS = "langevax"
METHODS = {
    OURS: Method("langevax", langevax),
    "linear": Method("linear", linear),
    "boosting": Method("HistGradientBoosting", boosting, "frame"),
    "lightgbm": Method("LightGBM", lightgbm, "frame"),
    "xgboost": Method("XGBoost", xgboost, "frame"),
    "catboost": Method("CatBoost", catboost, "frame"),
    "realmlp": Method("RealMLP-TD", realmlp, "frame"),
    "kernel": Method("kernel machine", kernel),
    "mlp": Method("MLP", mlp),
    "gp": Method("Gaussian process", gaussian_process, max_rows=MAX_GP_ROWS),
}
"""By the name on the command line, ours first."""
