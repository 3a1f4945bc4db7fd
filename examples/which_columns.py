"""Which columns matter: what a fit loses on unseen patients where one column is shuffled, beside a random forest.

Ten columns of 442 patients and the progression of their diabetes a year later (in scikit-learn). A column matters
where shuffling it among held-out patients costs R2. Columns that say the same share what they are worth.

Run it: `python examples/which_columns.py`. It prints what each column is worth and writes out/which_columns.png.
"""

from pathlib import Path

import numpy as np
from _shared import CARD, OUT, command, picture
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import KFold

from langevax.figures import theme
from langevax.sklearn import MeanFieldRegressor

WORDS = {
    "age": "age",
    "sex": "sex",
    "bmi": "body mass index",
    "bp": "blood pressure",
    "s1": "total cholesterol",
}
WORDS |= {
    "s2": "LDL",
    "s3": "HDL",
    "s4": "cholesterol ratio",
    "s5": "triglycerides",
    "s6": "blood sugar",
}


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """The fall of R2 on the held-out patients of each fold."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    few = {"num_particles": 100, "num_steps": 150} if quick else {}
    models = {
        "network": MeanFieldRegressor(random_state=0, **few),
        "random forest": RandomForestRegressor(50 if quick else 200, random_state=0),
    }
    falls, scores = {}, {}
    for name, model in models.items():
        runs, held_out = [], []
        for train, test in KFold(2 if quick else 5, shuffle=True, random_state=0).split(
            X
        ):
            model.fit(X.iloc[train], y.iloc[train])
            held_out.append(model.score(X.iloc[test], y.iloc[test]))
            shuffled = permutation_importance(
                model, X.iloc[test], y.iloc[test], n_repeats=5, random_state=0
            )
            runs.append(shuffled.importances_mean)
        falls[name] = np.mean(runs, 0), np.std(runs, 0, ddof=1) / np.sqrt(len(runs))
        scores[name] = float(np.mean(held_out))
        print(f"{name}: R2 {scores[name]:.3f} on held-out patients")

    order = np.argsort(falls["network"][0])
    names = [list(WORDS.values())[i] for i in order]
    for i in order[::-1][:3]:
        print(
            f"{list(WORDS.values())[i]}: {falls['network'][0][i]:.3f} ± {falls['network'][1][i]:.3f} of R2"
        )
    styles = {
        "random forest": (theme.GREY, "x", -0.17),
        "network": (theme.OKABE_ITO[0], "o", 0.17),
    }
    with picture(out / "which_columns.png", 1, figsize=CARD) as axes:
        for name, (colour, marker, shift) in styles.items():
            mean, error = falls[name]
            axes.errorbar(
                mean[order],
                np.arange(10) + shift,
                xerr=error[order],
                fmt=marker,
                color=colour,
            )
            axes.annotate(
                f"{name}, R² {scores[name]:.2f}",
                (0.98, 0.2 + 0.4 * shift),
                color=colour,
                ha="right",
                xycoords="axes fraction",
            )
        axes.axvline(0, color=theme.INK, linewidth=0.8)
        axes.set_yticks(range(10), names)
        axes.set(
            xlabel="fall of $R^2$ where the column is shuffled",
            title="What tells how diabetes goes on",
        )
    return {"score": scores["network"], "forest": scores["random forest"]} | {
        word: float(value)
        for word, value in zip(WORDS.values(), falls["network"][0], strict=True)
    }


if __name__ == "__main__":
    command(main)
