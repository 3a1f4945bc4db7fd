"""Methods beside each other: each fits training rows and predicts test rows, its settings chosen inside.

A method is `predict(X, y, X_test, seed) -> predictions`. Linear models, kernel machines and trees see the columns that
langevax's encoders make of curves and graphs; the others see curves or graphs themselves. Where users of the data would
look at a derivative, methods on values choose between the values and their differences. All choices are by the same
folds of the training rows. Methods whose package is not installed are left out.
"""

import pkgutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from benchmarks.curves_and_graphs.data import DataSet
from langevax.sklearn import CurveCoefficients, GraphFeatures

FEW = 200  # training rows up to which ten folds are taken, else five
RIDGES = np.logspace(-8, 4, 49)
KERNEL_RIDGES, COSTS = np.logspace(-7, 0, 8), np.logspace(-1, 4, 6)
WIDTHS = np.logspace(-2, 1.5, 8)  # w of exp(-w |x - x'|^2), inputs of total variance 1
TREES = {
    "max_leaf_nodes": [4, 16],
    "min_samples_leaf": [5, 20],
    "max_features": [0.3, 1.0],
}
NEIGHBOURS = {"n_neighbors": [1, 3, 5, 7, 9], "weights": ["uniform", "distance"]}
THREADS = 1  # two threads on a busy machine wait for each other


def fit(model: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """The model fitted, without its warnings: corners of grids are hard to solve."""
    with warnings.catch_warnings(), threadpool_limits(THREADS):
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def search(
    model: Any,
    grid: Any,
    classes: bool,
    y: np.ndarray,
    scoring: str | None = None,
    folds: int | None = None,
) -> GridSearchCV:
    """Over a grid, by shuffled folds of the training rows."""
    folds = folds or (10 if len(y) <= FEW else 5)
    folds = (
        min(folds, int(np.unique(y, return_counts=True)[1].min())) if classes else folds
    )
    splitter = (StratifiedKFold if classes else KFold)(
        folds, shuffle=True, random_state=0
    )
    return GridSearchCV(
        model,
        grid,
        cv=splitter,
        scoring=scoring or ("accuracy" if classes else "neg_mean_squared_error"),
    )


def scaler(standardise: bool) -> Any:
    """Inputs of total variance 1; their columns keep their proportions where they are not standardised."""
    return (
        make_pipeline(StandardScaler(), TotalVariance())
        if standardise
        else TotalVariance()
    )


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
    return search(
        model,
        {"logisticregression__C": np.logspace(-2, 6, 17)},
        classes,
        y,
        "neg_log_loss",
    )


def kernel_machine(classes: bool, y: np.ndarray, standardise: bool) -> GridSearchCV:
    """Kernel ridge regression, support vectors; Gaussian kernel."""
    if classes:
        model = make_pipeline(scaler(standardise), SVC())
        return search(model, {"svc__C": COSTS, "svc__gamma": WIDTHS}, classes, y)
    model = make_pipeline(scaler(standardise), KernelRidge(kernel="rbf"))
    grid = {
        "regressor__kernelridge__alpha": KERNEL_RIDGES,
        "regressor__kernelridge__gamma": WIDTHS,
    }
    return search(
        TransformedTargetRegressor(model, transformer=StandardScaler()),
        grid,
        classes,
        y,
    )


def boosted_trees(classes: bool, y: np.ndarray, standardise: bool) -> GridSearchCV:
    """300 rounds; leaves, their size and the share of columns that a split may use are searched."""
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    whole: dict[str, Any] = {"early_stopping": False}  # few rows: none to spare
    return search(
        kind(max_iter=300, random_state=0, **whole), TREES, classes, y, folds=5
    )


def neighbours(
    classes: bool, y: np.ndarray, standardise: bool, metric: str = "euclidean"
) -> GridSearchCV:
    """One to nine."""
    return search(
        (KNeighborsClassifier if classes else KNeighborsRegressor)(metric=metric),
        NEIGHBOURS,
        classes,
        y,
    )


Predict = Callable[[Any, np.ndarray, Any, int], np.ndarray]
Candidate = tuple[float, np.ndarray]
"""Score by cross-validation, predictions of the test rows."""

View = tuple[np.ndarray, np.ndarray]
"""Training and test curves."""

FUNCTIONAL = ("skfda.FDataGrid", "skfda.preprocessing.dim_reduction.FPCA")
WARPING = ("sktime.dists_kernels.dtw.DtwDist",)
CONVOLUTIONS = "sktime.transformations.panel.rocket"
SUBTREES = (
    "grakel.Graph",
    "grakel.kernels.VertexHistogram",
    "grakel.kernels.WeisfeilerLehman",
)

WINDOWS = (0.02, 0.05, 0.1, 0.2)  # of the curve's length, within which warping may go
MOST_COMPONENTS, DEPTHS = 20, (1, 2, 3, 4)


@dataclass(frozen=True)
class Method:
    """One row of the table for one data set."""

    predict: Predict
    draws: bool = False
    """Whether the seed matters."""
    needs: tuple[str, ...] = ()
    """Modules, and names in them."""

    @property
    def missing(self) -> str:
        """Return why it cannot run here; empty if it can."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for name in self.needs:
                    pkgutil.resolve_name(name)
        except Exception as error:  # whatever a package raises while it is imported
            return f"{error}"
        return ""


def peers(data: DataSet) -> dict[str, Method]:
    """Methods for this data set by name."""
    methods = {
        "linear": Method(on_columns(data, linear)),
        "kernel machine": Method(on_columns(data, kernel_machine)),
        "boosted trees": Method(on_columns(data, boosted_trees)),
    }
    if data.kind == "graphs":
        return methods | {
            "subtree kernel (grakel)": Method(subtree_kernel(data), needs=SUBTREES)
        }
    rocket, mini = f"{CONVOLUTIONS}.Rocket", f"{CONVOLUTIONS}.MiniRocket"
    options = [{"normalise": True}, {"normalise": False}]
    return methods | {
        "principal components (scikit-fda), linear": Method(
            components(data), needs=FUNCTIONAL
        ),
        "kernel machine on values": Method(on_values(data, kernel_machine)),
        "k-NN, Euclid": Method(on_values(data, neighbours)),
        "k-NN, time warping (sktime)": Method(warping(data), needs=(*WARPING, "numba")),
        "ROCKET (sktime), ridge": Method(
            rockets(data, rocket, options), draws=True, needs=(rocket, "numba")
        ),
        "MiniRocket (sktime), ridge": Method(
            rockets(data, mini, [{}]), draws=True, needs=(mini, "numba")
        ),
    }


def encoder(data: DataSet) -> Any:
    """langevax's, with what is known of the data."""
    return (CurveCoefficients if data.kind == "curves" else GraphFeatures)(**data.known)


def on_columns(data: DataSet, model: Callable[..., Any]) -> Predict:
    """`model(classes, y, standardise)` on the encoder's columns: graph features differ in unit, coefficients do not."""

    def predict(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        encode = encoder(data)
        columns = encode.fit_transform(X)
        fitted = fit(
            model(data.classes, y, standardise=data.kind == "graphs"), columns, y
        )
        return fitted.predict(encode.transform(X_test))

    return predict


def on_values(data: DataSet, model: Callable[..., Any]) -> Predict:
    """The same on curves' values."""

    def predict(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        searches = [
            (fit(model(data.classes, y, standardise=False), train, y), test)
            for train, test in views(data, X, X_test)
        ]
        return best(
            (search.best_score_, search.predict(test)) for search, test in searches
        )

    return predict


def views(data: DataSet, train: np.ndarray, test: np.ndarray) -> list[View]:
    """Values, and their differences of the order that the user of the data would look at."""
    order = data.known.get("derivative", 0)
    return [(train, test)] + (
        [(np.diff(train, order), np.diff(test, order))] if order else []
    )


def best(candidates: Iterable[Candidate]) -> np.ndarray:
    """Predictions of the candidate of highest score, the first of equals."""
    return max(candidates, key=lambda candidate: candidate[0])[1]


def components(data: DataSet) -> Predict:
    """scikit-fda's principal components of curves, or of their derivative; how many is searched."""

    def predict(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        as_functions, FPCA = map(pkgutil.resolve_name, FUNCTIONAL)
        model = (
            LogisticRegression(max_iter=5000) if data.classes else LinearRegression()
        )
        grid = {"C": np.logspace(-2, 4, 7)} if data.classes else {}

        def candidates(order: int) -> Iterator[Candidate]:
            train, test = (
                as_functions(part, data.known.get("grid")).derivative(order=order)
                for part in (X, X_test)
            )
            fpca = FPCA(n_components=min(MOST_COMPONENTS, X.shape[1] - 1))
            scores, scores_test = fpca.fit_transform(train), fpca.transform(test)
            scale = scores.std(0)
            for k in range(1, len(scale) + 1):
                fitted = fit(
                    search(model, grid, data.classes, y), scores[:, :k] / scale[:k], y
                )
                yield fitted.best_score_, fitted.predict(scores_test[:, :k] / scale[:k])

        return best(
            chain.from_iterable(
                candidates(order) for order in {0, data.known.get("derivative", 0)}
            )
        )

    return predict


def warping(data: DataSet) -> Predict:
    """Neighbours by dynamic time warping, its window searched."""

    def predict(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        (DtwDist,) = map(pkgutil.resolve_name, WARPING)

        def candidate(view: View, window: float) -> Candidate:
            train, test = view
            distance = DtwDist(window=window)
            among, to = (
                distance(train[:, None]),
                distance(test[:, None], train[:, None]),
            )
            fitted = fit(
                neighbours(data.classes, y, False, "precomputed"),
                np.maximum(among, 0),
                y,
            )
            return fitted.best_score_, fitted.predict(to)

        return best(
            candidate(view, window)
            for view in views(data, X, X_test)
            for window in WINDOWS
        )

    return predict


def rockets(data: DataSet, name: str, choices: list[dict[str, bool]]) -> Predict:
    """About 10,000 random convolutions and ridge by leave-one-out, which also chooses among their options."""

    def predict(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        rocket = pkgutil.resolve_name(name)

        def candidate(view: View, options: dict[str, bool]) -> Candidate:
            train, test = view
            convolve = rocket(random_state=seed, **options)
            features = np.asarray(convolve.fit_transform(train[:, None]), np.float64)
            ridge: Any = (RidgeClassifierCV if data.classes else RidgeCV)(
                np.logspace(-3, 5, 17)
            )
            model = fit(make_pipeline(StandardScaler(), ridge), features, y)
            return ridge.best_score_, model.predict(
                np.asarray(convolve.transform(test[:, None]), np.float64)
            )

        return best(
            candidate(view, options)
            for view in views(data, X, X_test)
            for options in choices
        )

    return predict


def subtree_kernel(data: DataSet) -> Predict:
    """Weisfeiler-Leman subtrees; searched: depth, penalty, normalisation, whether labels of atoms tell their bonds."""

    def predict(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        graph, histogram, refinement = map(pkgutil.resolve_name, SUBTREES)

        def graphs(molecules: Any, with_bonds: bool) -> list[Any]:
            converted = []
            for bonds, atoms in molecules:
                links: list[dict[int, str]] = [{} for _ in atoms]
                for i, j, bond in bonds:
                    links[i][j] = links[j][i] = bond
                kinds = [
                    " ".join([atom, *sorted(link.values())])
                    for atom, link in zip(atoms, links, strict=True)
                ]
                labels = dict(enumerate(kinds if with_bonds else atoms))
                converted.append(
                    graph(
                        {k: list(link) for k, link in enumerate(links)},
                        node_labels=labels,
                    )
                )
            return converted

        def candidate(depth: int, normalise: bool, with_bonds: bool) -> Candidate:
            kernel = refinement(
                n_iter=depth, base_graph_kernel=histogram, normalize=normalise
            )
            among, to = (
                kernel.fit_transform(graphs(X, with_bonds)),
                kernel.transform(graphs(X_test, with_bonds)),
            )
            scale = np.trace(among) / len(among)
            if data.classes:
                model = search(
                    SVC(kernel="precomputed", max_iter=100_000), {"C": COSTS}, True, y
                )
            else:
                model = search(
                    KernelRidge(kernel="precomputed"),
                    {"alpha": np.logspace(-6, 1, 15)},
                    False,
                    y,
                )
            centre = 0 if data.classes else y.mean()
            fitted = fit(model, among / scale, y - centre)
            return fitted.best_score_, fitted.predict(to / scale) + centre

        choices = product(DEPTHS, (True, False), (False, True))
        return best(candidate(*choice) for choice in choices)

    return predict
