"""A decision on rare cases: whom to call, where 4 in 100 are frequent visitors and a miss costs twenty calls.

The RAND health insurance experiment (in statsmodels): who goes to a doctor twelve times a year or more? Hardly
anybody has a probability above one half, so that a classifier which says "yes" from there on finds hardly anybody. Its
probabilities are still right, and right probabilities turn costs into a threshold: call from one in 21.

Run it: `python examples/rare_cases.py`. It prints costs and writes out/rare_cases.png.
"""

from pathlib import Path

import numpy as np
from _shared import CARD, OUT, command, label, picture
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.datasets import randhie

from langevax.figures import theme
from langevax.sklearn import MeanFieldClassifier

FREQUENT, MISS = 12, 20  # visits a year, and calls that a missed visitor costs


def cost(
    probability: np.ndarray, frequent: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Calls and misses for every 100 people, in calls, where those above each threshold are called."""
    called = probability[:, None] >= thresholds
    return 100 * np.mean(called + MISS * (~called & frequent[:, None]), axis=0)


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Costs on unseen people at every threshold, and calibration."""
    table = randhie.load_pandas().data
    X, frequent = (
        table.drop(columns="mdvis").to_numpy(float),
        (table["mdvis"] >= FREQUENT).to_numpy(),
    )
    X, X_test, y, y_test = train_test_split(
        X, frequent, train_size=1000 if quick else 5000, random_state=0
    )
    few = {"num_particles": 100, "num_steps": 100} if quick else {}
    model = MeanFieldClassifier(random_state=0, **few).fit(X, y)
    probability = model.predict_proba(X_test)[:, 1]
    logistic = (
        make_pipeline(StandardScaler(), LogisticRegression())
        .fit(X, y)
        .predict_proba(X_test)[:, 1]
    )

    optimal = 1 / (1 + MISS)
    shown = np.geomspace(0.01, 0.6, 200)
    costs, at = (
        cost(probability, y_test, shown),
        cost(probability, y_test, np.array([0.5, optimal])),
    )
    nobody = 100 * MISS * y_test.mean()
    bins = np.array_split(np.argsort(probability), 5)
    said, true = (
        np.array([values[rows].mean() for rows in bins])
        for values in (probability, y_test)
    )
    print(f"{y_test.mean():.1%} of {len(y_test):,} unseen people are frequent visitors")
    print(
        "said", np.round(said, 3), "true", np.round(true, 3), "in fifths of the people"
    )
    print(
        f"log loss {log_loss(y_test, probability):.4f}, logistic regression {log_loss(y_test, logistic):.4f}"
    )
    print(
        f"cost for 100 people: {at[0]:.1f} calls at 1/2, {at[1]:.1f} at 1/{1 + MISS}, least {costs.min():.1f}"
    )

    colour = theme.OKABE_ITO[0]
    with picture(out / "rare_cases.png", 1, figsize=CARD) as axes:
        axes.plot(shown, costs, color=colour)
        axes.plot(
            shown, cost(logistic, y_test, shown), color=theme.GREY, linestyle="--"
        )
        axes.plot([0.5, optimal], at, "o", color=colour, markersize=7)
        label(axes, "one half", (0.5, at[0]), (0, 8), ha="center", color=colour)
        label(axes, "one in 21", (optimal, at[1]), (0, -16), ha="center", color=colour)
        axes.annotate(
            "dashed: logistic regression",
            (0.97, 0.05),
            xycoords="axes fraction",
            ha="right",
            color=theme.GREY,
        )
        axes.axhline(nobody, color=theme.INK, linewidth=0.8, linestyle=":")
        label(axes, "call nobody", (0.0102, nobody), (0, -12))
        axes.set(
            xscale="log",
            xlabel="call from this probability on",
            ylabel="cost of 100 people, in calls",
        )
        axes.set_xticks([0.01, 0.03, 0.1, 0.3], ["1 %", "3 %", "10 %", "30 %"])
        axes.set_xticks([], minor=True)
        axes.set(
            title="Costs set the threshold, not one half",
            ylim=(0.85 * costs.min(), 1.12 * max(costs.max(), nobody)),
        )
    return {
        "share": float(y_test.mean()),
        "at one half": float(at[0] / nobody),
        "at the optimum": float(at[1] / nobody),
        "over the least": float(at[1] / costs.min()),
        "calibration": float(np.abs(said - true).max()),
        "gain over logistic": float(
            log_loss(y_test, logistic) - log_loss(y_test, probability)
        ),
    }


if __name__ == "__main__":
    command(main)
