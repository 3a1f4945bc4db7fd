"""The sections of a regression with a predictive law; the terminal and the page show the same rows."""

import numpy as np

from langevax.app.report.contents import LawContents
from langevax.app.report.numbers import number, short, with_error
from langevax.app.report.page import (
    MOST_DRAWN,
    MOST_LISTED,
    Figure,
    Section,
    Table,
    Text,
    drawn,
)
from langevax.figures import interactive

CURVE_HEADER = ("share of Bayes", "gain, nats a row", "effective parameters")
COEFFICIENT_HEADER = ("column", "per", "value", "95 % from", "to")
INTERVAL_LABELS = {"unit": "gradients of rows", "above": "objective, nats"}


def sections(
    law: LawContents,
    target: str,
    unit: str,
    scored: str,
) -> list[Section]:
    """Return what Bayes loses, and the coefficients; `scored` says on which rows densities are."""
    return [
        Section("Is the model right?", _laws(law, unit, scored)),
        Section(f"What goes with {target}?", _coefficients(law)),
    ]


def _laws(law: LawContents, unit: str, scored: str) -> list[Text | Table]:
    """Return what Bayes loses, and how likely the law makes new rows."""
    return [
        Text(law.bayes),
        Table(
            "Laws by their share of Bayes",
            CURVE_HEADER,
            curve_rows(law),
            bold=law.chosen,
        ),
        Text(
            "The posterior of the coefficients, and laws with less of it: mixtures of "
            "regressions that let rows differ by more than their columns say. Gains at "
            "zero within two standard errors mean that the model is right, as far as "
            "predictions of single rows can show it; a rise is what Bayes loses. The "
            f"bold one predicts. {law.about_curve}",
            "note",
        ),
        Text(f"How likely it makes new {unit}s", "heading"),
        Table(
            "Log densities",
            ("distribution", "log density", "beside the law"),
            density_rows(law),
            bold=0,
        ),
        Text(
            f"Mean log density, or probability of counts and classes, of a {unit} in "
            f"nats, on {scored}; higher is better.",
            "note",
        ),
    ]


def _coefficients(law: LawContents) -> list[Text | Table | Figure]:
    """Return the figure and the table of coefficients."""
    rows = coefficient_rows(law)
    more = len(rows) - MOST_LISTED
    listed = f" {more} more are in result.json." if more > 0 else ""
    heads = (*COEFFICIENT_HEADER[:2], law.effect, *COEFFICIENT_HEADER[3:])
    return [
        coefficient_figure(law),
        Table("Coefficients", heads, rows[:MOST_LISTED]),
        Text(law.about_coefficients + listed, "note"),
    ]


def curve_rows(law: LawContents) -> list[tuple[str, ...]]:
    """Return share, gain over Bayes with its error, and effective parameters of each law on the path."""
    gains = zip(law.shares, law.gain, law.gain_error, law.p_eff, strict=True)
    return [
        (
            f"{share:g}{', chosen' if place == law.chosen else ''}",
            with_error(gain, error) if place else "0",
            short(size),
        )
        for place, (share, gain, error, size) in enumerate(gains)
    ]


def coefficient_rows(law: LawContents) -> list[tuple[str, ...]]:
    """Return column, step, value and ends of the interval of each coefficient."""
    return [
        (one.column, one.per, *map(number, (one.value, one.low, one.high)))
        for one in law.coefficients
    ]


def density_rows(law: LawContents) -> list[tuple[str, ...]]:
    """Return the mean log density of each distribution, and its difference from the law's."""
    rows = []
    for name, measured in law.densities:
        beside = ""
        if measured.relation:
            difference = with_error(measured.difference, measured.difference_error)
            beside = f"{measured.relation} ({difference})"
        rows.append((name, with_error(measured.value, measured.error), beside))
    return rows


def coefficient_figure(law: LawContents) -> Figure:
    """Return the first coefficients with their intervals."""
    first = law.coefficients[:MOST_DRAWN]
    names = [f"{one.column} ({one.per})" for one in first]
    value, low, high = (
        np.array([getattr(one, end) for one in first])
        for end in ("value", "low", "high")
    )
    texts = [row[2:] for row in coefficient_rows(law)]
    picture = interactive.rows_of_dots(
        names,
        value,
        [value - low, high - value],
        law.effect,
        texts=[text[0] for text in texts[: len(names)]],
        line=float(law.is_ratio),
        ratio=law.is_ratio,
    )
    words = "; ".join(
        f"{name} {' '.join(text)}" for name, text in zip(names, texts, strict=False)
    )
    text = (
        f"The {law.effect}s of {law.response}, with intervals of 95 %: where one "
        "reaches the line, it may be chance."
    )
    if len(first) < len(law.coefficients):
        text += f" The first {len(first)} of {len(law.coefficients)}."
    heads = ("column", "per", "value", "low", "high", "slope", "error")
    columns = {name: [getattr(one, name) for one in law.coefficients] for name in heads}
    return drawn(
        picture, f"{law.effect} and interval: {words}.", text, "coefficients", columns
    )
