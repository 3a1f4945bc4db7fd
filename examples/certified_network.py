"""Train a network on a real table and certify it: the neurons, the held-out score along training, the certificate.

Run it: `python examples/certified_network.py`. It writes out/certified_network.png.
"""

from pathlib import Path

import jax
import numpy as np
import optax
from _shared import OUT, command, draw_interval, picture
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from langevax.figures import theme
from langevax.sklearn import MeanFieldRegressor


def adam(
    model: MeanFieldRegressor, X_test: np.ndarray, steps: np.ndarray
) -> list[np.ndarray]:
    """Predictions of the same network, trained by Adam (0.003) without noise, after so many steps."""
    network, optimizer = model.network_.exact(), optax.adam(0.003)  # without padding
    risk = network.risk(model.temperature_)
    cloud = risk.prior(model.temperature_, model.num_particles)(jax.random.key(0))
    state, test = optimizer.init(cloud), model.standardiser_(X_test) @ network.basis

    @jax.jit
    def step(cloud, state):
        updates, state = optimizer.update(risk.gradient(cloud), state)
        return optax.apply_updates(cloud, updates), state

    predictions = []
    for number in range(1, steps[-1] + 1):
        cloud, state = step(cloud, state)
        if number in steps:
            predictions.append(
                model.target_mean_
                + model.target_scale_ * np.asarray(risk.outputs(cloud, test))
            )
    return predictions


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """442 patients, a quarter held out."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=1)
    small = {"num_steps": 500, "num_particles": 200} if quick else {"num_steps": 2000}
    model = MeanFieldRegressor(**small, stop=None, random_state=0).fit(X, y)
    certificate = model.certificate()
    print(
        f"R2 on patients held out: {model.score(X_test, y_test):.3f}. {certificate.verdict}"
    )

    colour, marker = theme.METHODS["MFLD"]
    steps = model.history_["steps"]
    scores = [
        r2_score(y_test, prediction) for prediction in model.staged_predict(X_test)
    ]
    of_adam = [
        r2_score(y_test, prediction)
        for prediction in adam(model, X_test.to_numpy(), steps)
    ]
    ridge = RidgeCV((0.01, 0.1, 1.0)).fit(X, y).score(X_test, y_test)
    with picture(out / "certified_network.png", 3, card=1, figsize=(13.5, 3.8)) as (
        left,
        middle,
        right,
    ):
        model.plot_particles(axes=left)
        middle.semilogx(
            steps,
            scores,
            color=colour,
            marker=marker,
            markevery=0.12,
            label="this network",
        )
        middle.semilogx(
            steps,
            of_adam,
            color=theme.GREY,
            linestyle="--",
            label="Adam on the same network",
        )
        middle.axhline(ridge, color=theme.GREY, linestyle=":", label="ridge regression")
        middle.set(
            xlabel="step",
            ylabel="$R^2$ on patients held out",
            ylim=(0, 0.6),
            title="No early stopping needed",
        )
        middle.xaxis.set_major_formatter("{x:g}")
        middle.legend(loc="lower right")
        draw_interval(right, certificate)
    return {
        "score": scores[-1],
        "width": certificate.width,
        "Adam": of_adam[-1],
    }


if __name__ == "__main__":
    command(main)
