"""The page of a fit: is it of use, was the table read right, how sure is it, how far is it from the optimum.

Each figure has a caption, a description for readers who cannot see it, and its data to download.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.metrics import LEVEL_ERRORS, positive_class
from langevax.app.report import curve_figures, law, summary
from langevax.app.report.contents import ColumnReading, CoolingContents, FitContents
from langevax.app.report.numbers import fixed, number, short, whole, with_error
from langevax.app.report.page import (
    MOST_DRAWN,
    MOST_LISTED,
    Figure,
    Picture,
    Section,
    Table,
    Text,
    drawn,
    write_page,
)
from langevax.figures import interactive

CERTIFICATE_FIELDS = {
    "lower_bound": (
        "lower end of the optimum",
        (
            "no network or law of this kind has a lower objective (95 %), unless a "
            "minimum exists that no search entered"
        ),
    ),
    "upper_bound": (
        "upper end of the optimum",
        (
            "some network or law has an objective no higher than this (95 %), whatever "
            "the walks missed"
        ),
    ),
    "width": ("width", "upper minus lower end"),
    "unknown_share": (
        "unknown share",
        (
            "the width, of what the untrained network or the posterior leaves above "
            "the lower end"
        ),
    ),
    "prior_objective": ("untrained objective", "the objective of the untrained prior"),
    "bayes_objective": ("objective of Bayes", "the objective of the posterior"),
    "score_bounds": (
        "score of the best law",
        "mean log density of the training rows, in nats",
    ),
    "law_score": ("score of this law", "the same"),
    "missing_share": (
        "missing mass",
        "mass of the best law where this law has next to no particle: an estimate",
    ),
    "trustworthy": (
        "certified",
        "whether the interval is narrow enough, and a law agrees with it",
    ),
}
"""Name and meaning of the fields of a certificate."""


def write_fit_page(contents: FitContents, file: Path) -> None:
    """Write the report of a fit as one HTML file that opens offline."""
    write_page(
        file,
        title=f"{contents.table}: {contents.target}",
        answer=contents.summary[0],
        top=[
            *map(Text, contents.summary[1:]),
            *(
                Text(f"This may be too good to be true. {leak}", "doubt")
                for leak in contents.reading.leaks
            ),
            *(Text(caution, "doubt") for caution in contents.cautions),
        ],
        sections=_sections(contents),
        details=_details(contents),
    )


def _sections(contents: FitContents) -> list[Section]:
    """Return the sections in reading order."""
    scored = summary.scored_rows(contents.comparison, contents.unit)
    word = contents.comparison.word
    sections = [
        Section(
            "Is it of use?",
            [
                _scores(contents, scored),
                _methods(contents),
                Text(
                    "Numbers after ± are standard errors; in brackets, by how much a "
                    f"method is better than the {word}, or worse with a minus. All "
                    "methods chose their settings once, on the training "
                    f"{contents.unit}s, in the seconds shown.",
                    "note",
                ),
            ],
        )
    ]
    if contents.law is not None:
        sections += law.sections(contents.law, contents.target, contents.unit, scored)
    predictions = _confusion(contents) if contents.classes else _predictions(contents)
    sections.append(Section("Where is it right?", [predictions]))
    if contents.curves is not None:
        sections += curve_figures.sections(contents.curves)
    elif contents.relevance.names:
        parts = [_relevance(contents), *_effects(contents)]
        sections.append(Section("What does it look at?", parts))
    sections.append(Section("Was the table read right?", _reading(contents)))
    sections.append(Section("How sure is it?", _certainty(contents, scored)))
    if contents.cooling is not None:
        parts = [_cooling(contents.cooling, contents)]
        sections.append(Section("How was it trained?", parts))
    sections.append(Section("How far is it from the optimum?", _optimum(contents)))
    return sections


def _scores(contents: FitContents, scored: str) -> Figure:
    """All methods, best first."""
    comparison = contents.comparison
    ranked = comparison.ranked
    metrics = ("log loss", "AUC") if contents.classes else ("R2",)
    columns: dict[str, list[Any]] = {"method": [score.name for score in ranked]}
    for i, measured in enumerate(ranked[0].measures):
        for name in ("value", "error", "difference", "difference_error"):
            of_metric = [getattr(score.measures[i], name) for score in ranked]
            columns[f"{measured.metric} {name}"] = of_metric
    columns["seconds"] = [score.seconds for score in ranked]
    word = comparison.word
    text = (
        f"On {scored}. The green diamond is this {word}, grey dots are other methods "
        f"on the same {contents.unit}s. Bars are two standard errors of the difference "
        f"from the {word}: a bar that reaches the line is level with it."
    )
    pictures = [_dots(comparison, metric) for metric in metrics]
    return Figure(pictures, text, "scores", columns)


def _dots(comparison: Comparison, metric: str) -> Picture:
    """A metric of all methods."""
    ranked = comparison.ranked
    names = [score.name for score in ranked]
    measures = [score.named(metric) for score in ranked]
    texts = [fixed(one.value, 3) for one in measures]
    better = "lower" if metric == "log loss" else "higher"
    label = f"{metric.replace('R2', 'R²')}, {better} is better"
    dots = interactive.rows_of_dots(
        names,
        [one.value for one in measures],
        [LEVEL_ERRORS * np.nan_to_num(one.difference_error) for one in measures],
        label,
        texts=texts,
        line=comparison.ours.named(metric).value,
        ours=[score.ours for score in ranked],
    )
    values = [f"{name} {text}" for name, text in zip(names, texts, strict=True)]
    return Picture(dots, f"{label}: {', '.join(values)}.")


def _methods(contents: FitContents) -> Table:
    """The scores of all methods, the best first."""
    ranked = contents.comparison.ranked
    metrics = [one.metric.replace("R2", "R²") for one in ranked[0].measures]
    beside = f"beside the {contents.comparison.word}, by {metrics[0]}"
    rows = []
    for score in ranked:
        main = score.main
        difference = ""
        if main.relation:
            size = with_error(main.difference, main.difference_error)
            difference = f"{main.relation} ({size})"
        values = map(summary.value_of, score.measures)
        seconds = "" if score.base else f"{score.seconds:,.2f}"
        rows.append(((score.name, score.note), *values, difference, seconds))
    return Table(
        "Scores of all methods",
        ("method", *metrics, beside, "seconds"),
        rows,
        bold=next(i for i, score in enumerate(ranked) if score.ours),
    )


def _predictions(contents: FitContents) -> Figure:
    """Predicted numbers against observed numbers."""
    observed = contents.comparison.observed
    predicted = contents.comparison.outputs
    error = short(contents.comparison.ours.named("RMSE").value)
    rows = f"{whole(observed.size)} {contents.unit}s"
    half, most = (
        short(np.quantile(np.abs(predicted - observed), share)) for share in (0.5, 0.9)
    )
    text = (
        f"Each point is a {contents.unit} that the {contents.comparison.word} has not "
        f"seen; on the line, the prediction is right. Of {rows} half are off by less "
        f"than {half}, and nine of ten by less than {most}."
    )
    if observed.size > interactive.POINTS_DRAWN:
        text += f" {whole(interactive.POINTS_DRAWN)} points are drawn."
    points = interactive.beside_diagonal(
        observed,
        predicted,
        f"observed {contents.target}",
        f"predicted {contents.target}",
    )
    words = f"{rows} about the diagonal; root mean square error {error}."
    columns = {"observed": observed, "predicted": predicted}
    return drawn(points, words, text, "predictions", columns, square=True)


def _confusion(contents: FitContents) -> Figure:
    """Observed classes against predicted classes."""
    classes = contents.classes
    size = len(contents.classes)
    comparison = contents.comparison
    counts = np.zeros((size, size), int)
    np.add.at(counts, (comparison.observed, comparison.called), 1)
    right = f"{whole(np.trace(counts))} of {whole(counts.sum())}"
    wrong = counts * (1 - np.eye(size, dtype=int))
    row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
    worst = ""
    if wrong.max():
        worst = (
            f" The most frequent error: {classes[row]} predicted as {classes[column]}, "
            f"{whole(wrong.max())} times."
        )
    answer = "the likeliest class"
    if comparison.threshold != 0.5:
        answer = (
            f"{classes[1]!r} where its probability is above {comparison.threshold:.2g}"
        )
    text = (
        "Rows are observed classes, columns predicted classes; a darker shade is a "
        f"larger share of the row. On the diagonal, the prediction is right: {right}, "
        f"by answering {answer}.{worst}"
    )
    words = f"{right} {contents.unit}s are on the diagonal.{worst}"
    columns = {
        "observed": [name for name in classes for _ in classes],
        "predicted": list(classes) * size,
        "count": counts.ravel(),
    }
    picture = interactive.confusion(counts, classes)
    return drawn(picture, words, text, "confusion", columns)


def _relevance(contents: FitContents) -> Figure:
    """The columns whose shuffling costs most."""
    relevance = contents.relevance
    metric = contents.comparison.ours.main.metric
    word = metric.replace("R2", "R²")
    change = f"rise of the {word}" if contents.classes else f"fall of {word}"
    order = np.argsort(-relevance.mean, kind="stable")
    columns = {
        "column": [relevance.names[i] for i in order],
        "mean": relevance.mean[order],
        "deviation": relevance.deviation[order],
    }
    names, mean, deviation = (values[:MOST_DRAWN] for values in columns.values())
    texts = [number(value, 2) for value in mean]
    words = (
        f"{names[0]} matters most, {change} {texts[0]}. {len(names)} columns are "
        f"drawn, the last of them {names[-1]} with {texts[-1]}."
    )
    text = (
        f"{change[0].upper()}{change[1:]} on {whole(relevance.num_rows)} held-out "
        f"{contents.unit}s when one column is shuffled, with one standard deviation "
        "over shuffles. A column whose bar reaches the line at zero may not matter; "
        "columns that say the same share what they matter, and what matters need not "
        "be a cause."
    )
    if len(order) > MOST_DRAWN:
        text += f" The first {MOST_DRAWN} of {len(order)} columns."
    dots = interactive.rows_of_dots(names, mean, deviation, change, texts=texts)
    return drawn(dots, words, text, "relevance", columns)


def _effects(contents: FitContents) -> list[Text | Table]:
    """The table of effects, where there are any."""
    if not contents.effects:
        return []
    unit = 1.0
    percent = ""
    what = "prediction"
    if contents.classes:
        rare = contents.classes[positive_class(contents.comparison.observed)]
        unit = 100.0
        percent = " %"
        what = f"probability of {rare}"
    rows = []
    for effect in contents.effects:
        change = unit * (effect.at_high - effect.at_low)
        low, high = (
            f"{short(unit * mean)}{percent}" for mean in (effect.at_low, effect.at_high)
        )
        sign = "+" if change > 0 else ""
        about = f"{effect.low} to {effect.high}"
        rows.append((effect.column, about, low, high, sign + number(change, 2)))
    heads = ("column", "from, to", "low", "high", "change")
    return [
        Text("How it changes the prediction", "heading"),
        Table("Effects of columns", heads, rows),
        Text(
            f"Mean {what} over held-out {contents.unit}s with one column set to the "
            "ends of its first and last tenth, or to the words of the lowest and the "
            "highest mean; the other columns as they are.",
            "note",
        ),
    ]


def _reading(contents: FitContents) -> list[Text | Table]:
    """Return how columns were read, with the decisions on each; of too many, those with decisions come first."""
    reading = contents.reading
    columns = list(reading.columns)
    if len(columns) > MOST_LISTED:
        columns.sort(key=lambda one: (one.role != "target", not one.remarks))
    parts: list[Text | Table] = [
        Text(f"{whole(reading.rows)} rows: {reading.description}."),
        *(Text(remark, "note") for remark in reading.remarks),
    ]
    if columns:
        rows = [_column(column) for column in columns[:MOST_LISTED]]
        heads = ("column", "used as", "read as", "missing", "values")
        parts.append(Table("Columns of the table", heads, rows, bold=0))
    if (more := len(columns) - MOST_LISTED) > 0:
        parts.append(Text(f"{whole(more)} more columns are in result.json.", "note"))
    return parts


def _column(column: ColumnReading) -> tuple[Any, ...]:
    """Return a row of the table of columns."""
    missing = whole(column.missing + column.unreadable)
    if column.unreadable:
        missing += f", {whole(column.unreadable)} of them unreadable"
    remarks = [
        remark.removeprefix(f"Column {column.name!r} ") for remark in column.remarks
    ]
    values = (column.values, *remarks)
    return column.name, column.role, column.kind or "–", missing, values


def _certainty(contents: FitContents, scored: str) -> list[Text | Table | Figure]:
    """Return the evidence on single predictions, and those that are furthest off."""
    known = contents.certainty or (
        "Not measured: this fit trained no networks without a part of the rows, or had "
        "too few rows."
    )
    parts: list[Text | Table | Figure] = [Text(known)]
    if contents.calibration is not None:
        parts.append(_calibration(contents))
    if contents.far_off:
        named = (contents.unit, "observed", "predicted", "moved most by")
        heads = named[: len(contents.far_off[0])]
        parts += [
            Text(f"The {contents.unit}s that it gets most wrong", "heading"),
            Table("Worst errors", heads, contents.far_off),
            Text(
                f"Of {scored}: mistakes in the table, or cases that its columns do not "
                "tell apart. Rows count from 1 below the header.",
                "note",
            ),
        ]
    return parts


def _calibration(contents: FitContents) -> Figure:
    """Observed shares against predicted probabilities."""
    one = contents.calibration
    assert one is not None
    rows = whole(one.num_rows.sum())
    bins = len(one.num_rows)
    picture = interactive.beside_diagonal(
        one.predicted,
        one.observed,
        f"predicted probability of {one.event}",
        f"observed share of {one.event}",
        LEVEL_ERRORS * one.error,
    )
    ends = f"{one.observed[0]:.1%} to {one.observed[-1]:.1%}"
    words = (
        f"Calibration of {one.event} in {bins} groups, whose observed shares go from "
        f"{ends}."
    )
    text = (
        f"{rows} {contents.unit}s in {bins} groups by the probability of {one.event}: "
        "on the line, it happens as often as predicted. Bars are two standard errors."
    )
    columns = {
        "predicted": one.predicted,
        "observed": one.observed,
        "standard_error": one.error,
        "rows": one.num_rows,
    }
    return drawn(picture, words, text, "calibration", columns, square=True)


def _cooling(cooling: CoolingContents, contents: FitContents) -> Figure:
    """Losses along falling temperatures, and where one was chosen."""
    picture = interactive.cooling(
        cooling.temperature,
        cooling.loss,
        cooling.error,
        cooling.chosen,
        cooling.trained_temperature,
        cooling.trained_loss,
        "mean log loss" if contents.classes else "mean square error / 2, standardised",
    )
    temperature = short(cooling.temperature[cooling.chosen])
    loss = short(cooling.loss[cooling.chosen])
    words = (
        f"Temperatures fall to the right; {temperature} was chosen, where "
        f"{contents.unit}s left out have {loss}."
    )
    text = (
        f"The temperature falls from left to right. Diamonds are the {contents.unit}s "
        "left out of folds, with one standard error of the difference from the least; "
        "the vertical line is the temperature chosen."
    )
    if cooling.trained_loss.size:
        text += f" Grey is the network of this page on the {contents.unit}s that it was trained on."
    columns = {
        "temperature": [*cooling.temperature, *cooling.trained_temperature],
        "rows": ["left out"] * len(cooling.loss)
        + ["trained on"] * len(cooling.trained_loss),
        "loss": [*cooling.loss, *cooling.trained_loss],
    }
    return drawn(picture, words, text, "temperatures", columns)


def _optimum(contents: FitContents) -> list[Text | Figure]:
    """Return the certificate, and the interval as it closed."""
    certified = contents.certificate.get("trustworthy", True)
    parts: list[Text | Figure] = [
        Text(contents.optimum, "plain" if certified else "doubt")
    ]
    if contents.law is not None:
        parts.append(Text(contents.law.checked))
    if contents.certificate.get("history"):
        parts.append(_interval(contents))
    return parts


def _interval(contents: FitContents) -> Figure:
    """Return the figure of the interval that contains the optimum, as it closed."""
    work, lower, upper = np.array(contents.certificate["history"], float).T
    text = f"width {upper[-1] - lower[-1]:.2g}"
    labels = {}
    every = "networks of this kind at this temperature"
    if contents.law is not None:
        labels = law.INTERVAL_LABELS
        every = "laws at this share of Bayes"
    picture = interactive.closing(work, lower, upper, text, **labels)
    first, last = (f"from {number(lower[i])} to {number(upper[i])}" for i in (0, -1))
    words = f"The interval closed {first} at first, {last} at the end."
    caption = (
        f"The least training objective of all {every} lies in the band. Its upper end "
        "is proved up to errors of sampling; its lower end assumes that no minimum was "
        "missed by all searches."
    )
    columns = {"work": work, "lower_bound": lower, "upper_bound": upper}
    return drawn(picture, words, caption, "certificate", columns)


def _details(contents: FitContents) -> list[Section]:
    """Return the folded sections."""
    details = []
    if contents.predict_command:
        interval = "a set of classes" if contents.classes else "an interval"
        about = (
            "Its columns are read as those of this table were. With --interval 0.9, "
            f"each prediction has {interval}."
        )
        parts = [Text(contents.predict_command, "code"), Text(about)]
        details.append(Section("Predict for another table", parts))
    if contents.training:
        details.append(Section("How it was trained", [_listing(contents.training)]))
    certificate = [
        (name, contents.certificate[key], meaning)
        for key, (name, meaning) in CERTIFICATE_FIELDS.items()
        if key in contents.certificate
    ]
    if certificate:
        parts = [
            Text(str(contents.certificate.get("verdict", ""))),
            _listing(certificate),
        ]
        details.append(Section("The certificate in numbers", parts))
    if contents.settings:
        parts = []
        for name, values in contents.settings.items():
            parts += [Text(name, "heading"), _listing(values.items())]
        details.append(Section("Settings to run it again", parts))
    if contents.command:
        command = Text(contents.command, "code")
        details.append(Section("The command that makes this page", [command]))
    if contents.versions:
        details.append(Section("Versions", [_listing(contents.versions.items())]))
    return details


def _listing(rows: Iterable[tuple[Any, ...]]) -> Table:
    words = [(name.replace("_", " "), *map(_word, rest)) for name, *rest in rows]
    return Table("Names and values", (), words)


def _word(value: Any) -> str:
    """Return a value of a setting or of a certificate."""
    if isinstance(value, tuple):
        return " to ".join(map(_word, value))
    if value is None or isinstance(value, bool | np.bool_):
        return {None: "none", True: "yes", False: "no"}[value]
    return number(value, 6) if isinstance(value, int | float) else str(value)
