"""Tell arrowheads apart by their outlines: patterns anywhere in a curve, which part of each spoke, a certificate.

Run it: `python examples/shapes.py`. It writes out/shapes.png.

ArrowHead: 211 outlines of projectile points of three kinds, each as 251 distances of the outline from its centre; 36
are for training. They come with a package of the benchmarks, which is downloaded once.
"""

import sys
from pathlib import Path

import numpy as np
from _shared import OUT, command, draw_interval, picture
from matplotlib.collections import LineCollection
from matplotlib.colors import TwoSlopeNorm

from langevax.figures import theme
from langevax.sklearn import (
    CurveCoefficients,
    FunctionalMeanFieldClassifier,
    MeanFieldClassifier,
)

sys.path.append(str(Path(__file__).parents[1]))  # for the data sets of the benchmarks
from benchmarks.curves import load


def draw_effects(
    axes, curves: np.ndarray, times: np.ndarray, effects: np.ndarray, names: list[str]
) -> None:
    """Draw curves above each other, in colour and width by what each part adds to the output of the predicted kind."""
    t, largest = np.linspace(0, 1, curves.shape[1]), float(np.abs(effects).max())
    norm = TwoSlopeNorm(0.0, -largest, largest)
    for number, (curve, effect, name) in enumerate(
        zip(curves, effects, names, strict=True)
    ):
        points = np.column_stack([t, curve - 6 * number])
        by_place = np.interp(t[:-1], times, effect)
        segments, widths = (
            np.stack([points[:-1], points[1:]], 1),
            1 + 5 * np.abs(by_place) / largest,
        )
        lines = LineCollection(
            segments, cmap="RdBu_r", norm=norm, linewidths=widths, capstyle="round"
        )
        lines.set_array(by_place)
        axes.plot(*points.T, color=theme.GREY, linewidth=0.8)
        axes.add_collection(lines)
        axes.text(0, 2.2 - 6 * number, name, va="bottom")
    title = "Thick red speaks for the prediction, blue against it"
    axes.set(
        xlabel="place along the outline",
        yticks=[],
        ylim=(3 - 6 * len(curves), 4.5),
        title=title,
    )


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Fit to 36 outlines by both encoders."""
    series = load("ArrowHead")
    X, X_test = series.X[:, 0], series.X_test[:, 0]
    small = {"num_particles": 200, "num_steps": 400, "solver": "mfld"} if quick else {}
    network = MeanFieldClassifier(**small) if quick else None
    smooth, model = (
        FunctionalMeanFieldClassifier(encoder, network, random_state=0).fit(X, series.y)
        for encoder in (CurveCoefficients(), "auto")
    )
    scores = [each.score(X_test, series.y_test) for each in (smooth, model)]
    certificate = model.estimator_.certificate()
    print(
        f"held-out accuracy: {scores[0]:.3f} by smooth functions, {scores[1]:.3f} by patterns anywhere."
    )
    print(certificate.verdict)

    shown = [np.flatnonzero(series.y_test == kind)[0] for kind in model.classes_]
    times, effects = model.part_effects(X_test[shown], num_parts=20)
    predictions = model.predict(X_test[shown])
    names = [
        f"kind {kind}, predicted {label}"
        for kind, label in zip(model.classes_, predictions, strict=True)
    ]
    with picture(
        out / "shapes.png", 3, card=0, figsize=(13.5, 4.2), width_ratios=(1.5, 0.8, 1)
    ) as axes:
        left, middle, right = axes
        draw_effects(left, X_test[shown], times, effects, names)
        bars = middle.bar(["smooth\nfunctions", "patterns\nanywhere"], scores, 0.55)
        for bar, colour in zip(
            bars, (theme.GREY, theme.METHODS["MFLD"][0]), strict=True
        ):
            bar.set_color(colour)
        middle.bar_label(bars, fmt="%.2f", padding=2)
        middle.set(ylim=(0, 1), ylabel="held-out accuracy", title="175 outlines")
        draw_interval(right, certificate)
    return {
        "basis": scores[0],
        "gain": scores[1] - scores[0],
        "unknown": certificate.unknown_share,
    }


if __name__ == "__main__":
    command(main)
