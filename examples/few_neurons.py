"""Five ReLU neurons for a real table, each of which can be looked at: `TwoPhaseReLURegressor` beside networks as small.

Small networks get stuck. This one restarts twelve times, explores with noise, then converges without it, and takes its
weight decay from held-out rows. The table is scikit-learn's diabetes, 442 patients.

Run it: `python examples/few_neurons.py`. It prints scores over folds and writes out/few_neurons.png.
"""

import warnings
from pathlib import Path

import numpy as np
from _shared import OUT, command, picture
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from langevax.figures import theme
from langevax.sklearn import TwoPhaseReLURegressor


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """R2 on held-out folds, and the neurons of a fit to all patients."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    few = (
        {"num_restarts": 6, "num_explore_steps": 300, "num_converge_steps": 600}
        if quick
        else {}
    )
    network = TwoPhaseReLURegressor(num_particles=5, random_state=0, **few)
    mlp = make_pipeline(
        StandardScaler(),
        MLPRegressor(hidden_layer_sizes=5, max_iter=2000, random_state=0),
    )
    regressors = {
        "two phases, 5 neurons": network,
        "MLP of 5 by Adam": TransformedTargetRegressor(
            mlp, transformer=StandardScaler()
        ),
        "ridge regression": RidgeCV((0.01, 0.1, 1.0)),
    }
    folds = KFold(3 if quick else 5, shuffle=True, random_state=0)
    scores = {}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # of the MLP, after 2,000 epochs
        for name, regressor in regressors.items():
            scores[name] = cross_val_score(regressor, X, y, cv=folds)
            error = scores[name].std(ddof=1) / np.sqrt(len(scores[name]))
            print(
                f"{name:<22} R2 {scores[name].mean():.3f} ± {error:.3f} over {len(scores[name])} folds"
            )
    gain = scores["two phases, 5 neurons"] - scores["MLP of 5 by Adam"]
    print(
        f"gain over the MLP, fold by fold: {gain.mean():.3f} ± {gain.std(ddof=1) / np.sqrt(len(gain)):.3f}"
    )
    network.fit(X, y)
    print(network.switch_reason_)

    with picture(
        out / "few_neurons.png",
        3,
        card=1,
        figsize=(13.5, 3.8),
        width_ratios=(1, 1.25, 0.9),
    ) as axes:
        left, middle, right = axes
        history = network.history_
        left.semilogy(history["steps"], history["loss"].T, color=theme.GREY)
        best = history["loss"][network.best_restart_]
        left.semilogy(history["steps"], best, color=theme.OKABE_ITO[0])
        left.axvline(network.switch_step_, color=theme.INK, linestyle="--")
        left.set(xlabel="step", ylabel="half the mean square error")
        left.set_title("Twelve starts; convergence begins at the dashed line")
        outer, inner = network.network_  # of standardised columns, and of a bias
        weights = inner[np.argsort(-outer, kind="stable")]
        limit = np.abs(weights).max()
        colours = {"cmap": theme.DIVERGING, "vmin": -limit, "vmax": limit}
        image = middle.imshow(weights, aspect="auto", **colours)
        middle.figure.colorbar(image, ax=middle, label="inner weight")
        middle.set_xticks(range(len(X.columns) + 1), [*X.columns, "bias"], rotation=45)
        middle.set_yticks(
            range(len(outer)), ["−+"[int(sign > 0)] for sign in -np.sort(-outer)]
        )
        middle.set_ylabel("neurons, by the sign of their outer weight")
        middle.grid(visible=False)
        for place, score in enumerate(scores.values()):
            colour, marker = (theme.GREY, "x") if place else (theme.OKABE_ITO[0], "o")
            right.plot(
                score, np.full(len(score), place + 0.15), ".", color=colour, alpha=0.5
            )
            error = score.std(ddof=1) / np.sqrt(len(score))
            right.errorbar(
                score.mean(),
                place,
                xerr=error,
                fmt=marker,
                color=colour,
                markersize=8,
                capsize=3,
            )
        right.set_yticks(
            range(len(scores)),
            [name.replace(", ", ",\n").replace(" by", "\nby") for name in scores],
        )
        right.set(
            ylim=(2.5, -0.5), xlabel="$R^2$; dots: folds", title="On patients held out"
        )
    return {name: float(score.mean()) for name, score in scores.items()}


if __name__ == "__main__":
    command(main)
