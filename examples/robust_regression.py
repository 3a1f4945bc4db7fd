"""Engel's households: food against income in 1857, by a function that a few unusual households cannot bend.

235 Belgian working-class families (Engel 1857, in statsmodels). The more a family earns the wider expenditures scatter,
and some are far off. Student's t takes them for what they are; squared loss, a Gaussian process, bends towards them.

Run it: `python examples/robust_regression.py`. It prints held-out errors and writes out/robust_regression.png.
"""

from pathlib import Path

import numpy as np
from _shared import OUT, command, picture
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.datasets import engel

from langevax.figures import theme
from langevax.sklearn import KernelLangevinRegressor

COLOURS = {"squared": theme.OKABE_ITO[1], "student": theme.OKABE_ITO[0]}


def held_out(X, y, make, band, folds):
    """(absolute errors, whether 90 % bands of new observations hold) over the folds."""
    errors, inside = np.empty(len(y)), np.empty(len(y), bool)
    for train, test in KFold(folds, shuffle=True, random_state=0).split(X):
        model = make().fit(X[train], y[train])
        errors[test] = np.abs(model.predict(X[test]) - y[test])
        low, high = band(model, X[test])
        inside[test] = (low < y[test]) & (y[test] < high)
    return errors, inside


def gaussian_process():
    """scikit-learn's, with its own choice of kernel and noise."""
    kernel = ConstantKernel() * RBF() + WhiteKernel()
    return make_pipeline(
        StandardScaler(),
        GaussianProcessRegressor(
            kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0
        ),
    )


def gaussian_band(model, X):
    """90 % of a normal law."""
    mean, deviation = model.predict(X, return_std=True)
    return mean - 1.645 * deviation, mean + 1.645 * deviation


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Errors of three regressors, and what the unusual households do to two of them."""
    table = engel.load_pandas().data
    X, y = table[["income"]].to_numpy(), table["foodexp"].to_numpy()
    few = {"num_samples": 100, "random_state": 0} if quick else {"random_state": 0}
    measured, folds = {}, 2 if quick else 5
    regressors = {"scikit-learn's Gaussian process": (gaussian_process, gaussian_band)}
    for loss in COLOURS:
        make = lambda loss=loss: KernelLangevinRegressor(loss=loss, **few)
        regressors[f"KernelLangevinRegressor(loss={loss!r})"] = (
            make,
            lambda m, X: m.interval(X, 0.9, noise=True).T,
        )
    for name, (make, band) in regressors.items():
        errors, inside = held_out(X, y, make, band, folds)
        measured |= {
            f"{name}: error": float(errors.mean()),
            f"{name}: inside": float(inside.mean()),
        }
        print(
            f"{name:<40} mean error {errors.mean():5.1f} francs, 90 % bands hold {inside.mean():.0%}"
        )

    models = {
        loss: KernelLangevinRegressor(loss=loss, **few).fit(X, y) for loss in COLOURS
    }
    off = np.argsort(-np.abs(models["student"].predict(X) - y))[:5]
    shown = np.linspace(X.min(), X.max(), 200)[:, None]
    with picture(out / "robust_regression.png", figsize=(10, 4.2), sharey=True) as (
        left,
        right,
    ):
        for axes, loss in ((left, "squared"), (right, "student")):
            colour = COLOURS[loss]
            low, high = models[loss].interval(shown, 0.9, noise=True).T
            without = KernelLangevinRegressor(loss=loss, **few).fit(
                np.delete(X, off, 0), np.delete(y, off)
            )
            moved = np.abs(models[loss].predict(shown) - without.predict(shown))
            print(
                f"{loss}: without the five households furthest off the function moves by up to {moved.max():.0f} francs"
            )
            measured[f"{loss}: moves by"] = float(moved.max())
            axes.fill_between(
                shown[:, 0], low, high, color=colour, alpha=0.12, linewidth=0
            )
            axes.plot(shown[:, 0], models[loss].predict(shown), color=colour)
            axes.plot(shown[:, 0], without.predict(shown), color=colour, linestyle="--")
            axes.plot(X[:, 0], y, ".", color=theme.GREY, markersize=4)
            axes.plot(
                X[off, 0], y[off], "o", color=theme.INK, markersize=8, fillstyle="none"
            )
            title = {
                "squared": "Squared loss bends",
                "student": "Student's t does not",
            }[loss]
            axes.set(title=title, xlabel="income (francs a year)")
        left.set(ylabel="expenditure on food (francs a year)")
        left.annotate(
            "dashed: without the five\nhouseholds that are circled",
            (450, 3000),
            color=theme.INK,
        )
    return measured


if __name__ == "__main__":
    command(main)
