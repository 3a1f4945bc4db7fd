"""The figure and the tables of a regression with a predictive law: the terminal and the page show the same rows."""

import math

import numpy as np

from langevax.app.evaluation.metrics import LEVEL
from langevax.app.report.contents import Coefficient, LawContents
from langevax.app.report.numbers import fixed, number, with_error
from langevax.app.report.page import Caption, Figure, Picture
from langevax.figures import interactive

CURVE_HEADER = ("share of Bayes", "gain, nats a row", "effective parameters")
COEFFICIENT_HEADER = ("column", "per", "value", "95 % from", "to")
DIGITS, MOST_PLACES, MOST_DRAWN = 3, 6, 30
INTERVAL_LABELS = {"unit": "gradients of rows", "above": "objective, nats"}
MEANINGS = {
    "lower_bound": "no law of the coefficients has a lower objective (95 %), unless some hold mass that no search "
    "entered",
    "upper_bound": "some law has an objective no higher than this (95 %), whatever the walks missed",
    "width": "upper minus lower end, in nats",
    "bayes_objective": "the objective of the posterior",
    "unknown_share": "the width, of what the posterior leaves above the lower end",
    "score_bounds": "mean log density of the training rows under the best law, in nats",
    "law_score": "that under this law",
    "missing_share": "mass of the best law where this law has next to no particle: an estimate",
    "trustworthy": "whether the interval is narrow, and this law agrees with it",
    "num_descents": "descents that searched for parameters with mass",
    "work": "gradients of the log likelihood of one row at one particle that were spent",
    "effort": "the budget of them",
}
NAMES = {
    "lower_bound": "lower end of the optimum",
    "upper_bound": "upper end of the optimum",
    "bayes_objective": "objective of Bayes",
    "score_bounds": "score of the best law",
    "law_score": "score of this law",
    "missing_share": "missing mass",
    "trustworthy": "certified",
    "num_descents": "searches",
    "effort": "budget",
}


def curve_rows(law: LawContents) -> list[tuple[str, ...]]:
    """Return share, gain over Bayes with its error, and effective parameters of each law on the path."""
    return [
        (
            f"{share:g}{', chosen' if place == law.chosen else ''}",
            with_error(gain, error) if place else "0",
            number(size, DIGITS),
        )
        for place, (share, gain, error, size) in enumerate(
            zip(law.shares, law.gain, law.gain_error, law.p_eff, strict=True)
        )
    ]


def coefficient_rows(law: LawContents) -> list[tuple[str, ...]]:
    """Return column, step, value and ends of the interval of each coefficient."""
    return [(one.column, one.per, *_to_its_width(one)) for one in law.coefficients]


def _to_its_width(one: Coefficient) -> tuple[str, ...]:
    """Return value and ends with the decimals that two digits of the width have."""
    width, values = one.high - one.low, (one.value, one.low, one.high)
    places = (
        1 - math.floor(math.log10(width)) if 0 < width < np.inf else MOST_PLACES + 1
    )
    return tuple(
        fixed(x, places) if 0 <= places <= MOST_PLACES else number(x, DIGITS)
        for x in values
    )


def density_rows(law: LawContents) -> list[tuple[str, ...]]:
    """Return the mean log density of each distribution, its difference from the law's, and how likely a row is."""
    rows = []
    for name, measured in law.densities:
        beside = (
            measured.relation
            and f"{measured.relation} ({with_error(measured.difference, measured.difference_error)})"
        )
        times = (
            number(np.exp(np.clip(measured.difference, -700, 700)), DIGITS)
            if measured.relation
            else "1"
        )
        rows.append((name, with_error(measured.value, measured.error), beside, times))
    return rows


def coefficient_figure(law: LawContents) -> Figure:
    """Return the first coefficients with their intervals."""
    drawn = law.coefficients[:MOST_DRAWN]
    names = [
        f"{one.column}, per {one.per}"
        if one.per[0].isdigit() and one.per != "1"
        else one.column
        for one in drawn
    ]
    value, low, high = (
        np.array([getattr(one, end) for one in drawn])
        for end in ("value", "low", "high")
    )
    picture = interactive.intervals(names, value, low, high, law.effect, law.is_ratio)
    words = "; ".join(
        f"{name} {' '.join(_to_its_width(one))}"
        for name, one in zip(names, drawn, strict=True)
    )
    text = f"The {law.effect}s of {law.response}, with intervals of 95 %: where one reaches the line, it may be chance."
    if len(drawn) < len(law.coefficients):
        text += f" The first {len(drawn)} of {len(law.coefficients)}."
    heads = ("column", "per", "value", "low", "high", "slope", "error")
    columns = {name: [getattr(one, name) for one in law.coefficients] for name in heads}
    return Figure(
        [Picture(picture, f"{law.effect} and interval: {words}.")],
        [Caption(text, "coefficients", columns)],
    )


def figure(law: LawContents) -> Figure:
    """Return the misspecification curve."""
    shares = [f"{share:g}" for share in law.shares]
    picture = interactive.misspecification(
        shares, law.gain, LEVEL * law.gain_error, law.chosen
    )
    gains = ", ".join(
        f"{share}: {with_error(gain, error)}"
        for share, gain, error in zip(
            shares[1:], law.gain[1:], law.gain_error[1:], strict=True
        )
    )
    words = f"Gain over Bayes in nats a row by the share of Bayes: {gains or 'Bayes alone'}. Chosen: {shares[law.chosen]}."
    text = (
        "At the left is Bayes, the posterior of the coefficients; to the right are laws with less of it, mixtures of "
        "regressions that let rows differ by more than their columns say. Flat, within its bars of two standard "
        "errors, means that the model is right, as far as predictions of single rows can show it; a rise is what Bayes "
        "loses. "
        f"The filled diamond predicts. {law.about_curve}"
    )
    columns = {
        "bayes_share": law.shares,
        "gain": law.gain,
        "standard_error": law.gain_error,
        "p_eff": law.p_eff,
    }
    return Figure(
        [Picture(picture, words)], [Caption(text, "misspecification", columns)]
    )
