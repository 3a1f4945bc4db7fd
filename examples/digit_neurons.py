"""Neurons as pictures: the directions in which a network reads handwritten digits, 3 against 8.

Each of 500 neurons weighs the 64 pixels of a digit (scikit-learn's, 357 threes and eights). Drawn as images, those that
speak most for each class show what they read: the strokes at the left, which an 8 has and a 3 has not.

Run it: `python examples/digit_neurons.py`. It prints the accuracy and writes out/digit_neurons.png.
"""

from pathlib import Path

import numpy as np
from _shared import OUT, command, picture
from matplotlib.colors import CenteredNorm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from langevax.figures import theme
from langevax.sklearn import MeanFieldClassifier


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Accuracy, and neurons whose sign is that of their output."""
    images, digits = load_digits(return_X_y=True)
    rows = np.isin(digits, (3, 8))
    X, X_test, y, y_test = train_test_split(
        images[rows], digits[rows], test_size=0.3, random_state=0
    )
    few = {"num_particles": 200, "num_steps": 200} if quick else {}
    model = MeanFieldClassifier(scaling="global", random_state=0, **few).fit(X, y)
    accuracy = model.score(X_test, y_test)
    print(f"accuracy {accuracy:.3f} on {len(y_test)} unseen digits")

    outer, weights = model.particles_[:, 0], model.particles_[:, 1:65]
    directions = (
        np.tanh(outer)[:, None] * weights
    )  # of a neuron and of its mirror image alike
    order = np.argsort(-np.linalg.norm(directions, axis=1))[:7]
    mean = directions.mean(0)
    left, right = mean.reshape(8, 8)[:, :4].sum(), mean.reshape(8, 8)[:, 4:].sum()
    print(
        f"summed over the left half, the mean direction is {left:+.2f} towards an 8; over the right half {right:+.2f}"
    )
    shown = [mean, *directions[order]]
    with picture(out / "digit_neurons.png", (2, 4), figsize=(5.0, 3.0)) as axes:
        for number, (place, direction) in enumerate(zip(axes.flat, shown, strict=True)):
            place.imshow(
                direction.reshape(8, 8), cmap=theme.DIVERGING, norm=CenteredNorm()
            )
            place.set(xticks=[], yticks=[])
            place.set_title(
                "mean of all" if number == 0 else f"neuron {order[number - 1]}",
                fontsize=9,
            )
        place.figure.suptitle(
            "Red pixels speak for an 8, blue ones for a 3",
            x=0.01,
            ha="left",
            fontsize=11,
        )
    return {"accuracy": float(accuracy), "left": float(left), "right": float(right)}


if __name__ == "__main__":
    command(main)
