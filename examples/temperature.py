"""What temperature does: a network from interpolation to the mean, and the one that a fit takes by itself.

At a low temperature a mean-field network follows its training rows, noise included; at a high one it forgets them.
Trained to the end at each of ten temperatures, without early stopping, on the 442 patients of scikit-learn's
diabetes table. What `temperature="auto"` takes is marked; it never saw the held-out patients.

Run it: `python examples/temperature.py`. It prints the scores and writes out/temperature.png.
"""

from pathlib import Path

import numpy as np
from _shared import CARD, OUT, command, label, picture
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from langevax.figures import theme
from langevax.sklearn import MeanFieldRegressor


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """R2 on training and on held-out patients along the temperature."""
    X, X_test, y, y_test = train_test_split(
        *load_diabetes(return_X_y=True), test_size=0.4, random_state=1
    )
    options = {"scaling": "columns", "learn_scales": False, "random_state": 0}
    options |= {"num_particles": 100, "num_steps": 200} if quick else {}
    automatic = MeanFieldRegressor(**options).fit(X, y)
    chosen, score = automatic.temperature_, automatic.score(X_test, y_test)
    temperatures = np.geomspace(0.001, 30, 4 if quick else 10)
    fits = [
        MeanFieldRegressor(temperature=float(each), **options).fit(X, y)
        for each in temperatures
    ]
    scores = [(fit.score(X, y), fit.score(X_test, y_test)) for fit in fits]
    training, held_out = np.array(scores).T
    best = temperatures[held_out.argmax()]
    print(
        f"coldest: R2 {training[0]:.2f} on training rows, {held_out[0]:.2f} on held-out ones"
    )
    print(f"hottest: R2 {training[-1]:.2f} and {held_out[-1]:.2f}")
    print(
        f"best of the path: {held_out.max():.3f} at {best:.2g}; chosen without it: {score:.3f} at {chosen:.2g}"
    )

    blue, grey = theme.OKABE_ITO[0], theme.GREY
    with picture(out / "temperature.png", 1, figsize=CARD) as axes:
        axes.plot(temperatures, training, color=grey, marker="s", markersize=4)
        axes.plot(temperatures, held_out, color=blue, marker="o")
        axes.plot(chosen, score, "D", color=theme.OKABE_ITO[1], markersize=9)
        label(
            axes,
            "chosen by the fit",
            (chosen, score),
            (0, -18),
            ha="center",
            color=theme.OKABE_ITO[1],
        )
        label(
            axes,
            "training patients",
            (temperatures[2], training[2]),
            (6, 4),
            color=grey,
        )
        label(
            axes,
            "held-out patients",
            (temperatures[0], held_out[0]),
            (10, -14),
            color=blue,
        )
        axes.set(xscale="log", xlabel="temperature", ylabel="$R^2$", ylim=(0, None))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xticks([], minor=True)
        axes.set_title("Cold follows the noise, hot forgets")
    return {
        "chosen": float(score),
        "behind the best": float(held_out.max() - score),
        "coldest, training": float(training[0]),
        "coldest": float(held_out[0]),
        "hottest": float(held_out[-1]),
    }


if __name__ == "__main__":
    command(main)
