"""Intervals on a skewed table: the income of a country, from how long its people live, without intervals below zero.

Incomes a head of 142 countries in 2007 (Gapminder, in plotly) differ by a factor of 180. Intervals of a fit in dollars
are about equally wide everywhere, and begin below zero for poor countries. Fit the logarithm, and take the exponential
of both ends: the same coverage, and a width that grows with income.

Run it: `python examples/skewed_incomes.py`. It prints coverage and widths and writes out/skewed_incomes.png.
"""

from pathlib import Path

import numpy as np
import plotly.data
from _shared import CARD, OUT, command, picture
from sklearn.model_selection import KFold

from langevax.figures import theme
from langevax.sklearn import MeanFieldRegressor


def held_out(X: np.ndarray, y: np.ndarray, options: dict, folds: int) -> np.ndarray:
    """90 % intervals of countries that the fit has not seen, (n, 2)."""
    intervals = np.empty((len(y), 2))
    for train, test in KFold(folds, shuffle=True, random_state=0).split(X):
        intervals[test] = (
            MeanFieldRegressor(random_state=0, **options)
            .fit(X[train], y[train])
            .predict_interval(X[test])
        )
    return intervals


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Coverage and width in dollars, for a fit to dollars and one to their logarithm."""
    table = plotly.data.gapminder().query("year == 2007")
    X, income = table[["lifeExp"]].to_numpy(), table["gdpPercap"].to_numpy()
    options, folds = ({"num_particles": 100, "num_steps": 150}, 2) if quick else ({}, 3)
    intervals = {
        "dollars": held_out(X, income, options, folds),
        "logarithm": np.exp(held_out(X, np.log(income), options, folds)),
    }
    measured = {}
    for name, ends in intervals.items():
        low, high = ends.T
        inside, below = np.mean((low <= income) & (income <= high)), np.mean(low < 0)
        width = np.median((high - low)[income < np.median(income)])
        print(
            f"fit of the {name}: 90 % intervals hold {inside:.0%} of countries, {below:.0%} begin below zero; "
            f"median width for the poorer half {width:,.0f} dollars"
        )
        measured |= {
            f"{name}: inside": inside,
            f"{name}: below": below,
            f"{name}: width": width,
        }

    model = MeanFieldRegressor(random_state=0, **options).fit(X, np.log(income))
    years = np.linspace(X.min(), X.max(), 200)[:, None]
    low, high = np.exp(model.predict_interval(years)).T
    colour = theme.OKABE_ITO[0]
    with picture(out / "skewed_incomes.png", 1, figsize=CARD) as axes:
        axes.fill_between(years[:, 0], low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(years[:, 0], np.exp(model.predict(years)), color=colour)
        axes.plot(X[:, 0], income, "o", color=theme.GREY, markersize=3.5)
        axes.annotate("90 % interval of a new country", (59.5, 340), color=colour)
        axes.set(
            xlabel="life expectancy (years)",
            ylabel="income a head (dollars)",
            yscale="log",
        )
        axes.set_yticks(
            [300, 1000, 3000, 10_000, 30_000],
            ["300", "1,000", "3,000", "10,000", "30,000"],
        )
        axes.set_yticks([], minor=True)
        axes.set_title(
            f"Intervals hold {measured['logarithm: inside']:.0%} of unseen countries"
        )
    return {name: float(value) for name, value in measured.items()}


if __name__ == "__main__":
    command(main)
