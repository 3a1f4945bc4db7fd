"""The page of a fit: is it of use, was the table read right, how sure is it, how far is it from the optimum.

Each figure has a caption, a description for readers who cannot see it, and its data to download.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from langevax.app.evaluation.metrics import LEVEL, positive_class
from langevax.app.report import curve_figures, law, summary
from langevax.app.report.contents import (
    ColumnReading,
    DecisionSurface,
    FitContents,
    FittedCurve,
    LawContents,
    ParticleMotion,
    SlopeFunction,
)
from langevax.app.report.effects import MAX_ROWS
from langevax.app.report.numbers import day, fixed, number, whole, with_error
from langevax.app.report.page import Caption, Figure, Picture, moving_figure, write_page
from langevax.figures import interactive, moving
from langevax.figures.canvas import thinned
from langevax.figures.moving import MovingPanel, Scene

MAX_COLUMNS, MAX_PARTICLES = 20, 300  # drawn
CELL, SHRINKS_TO = (
    27,
    10,
)  # smallest pixels of a class in a confusion matrix of more than SHRINKS_TO classes
PARTS, FEWEST_IN_PART = 5, 10  # of the rows by their prediction
MAX_LISTED, MAX_CLASSES = 60, 30  # columns and classes in tables
DIGITS, MOST_PLACES = (
    3,
    6,
)  # of numbers that stand below each other: digits of the largest, decimals
DRAWN = {"regression": ("R2",), "classification": ("log loss", "AUC")}  # metrics
SYMBOLS = {"R2": "R²"}
MEANINGS = {
    "lower_bound": "no network of this kind has a lower objective (95 %), unless a well exists that no search entered",
    "upper_bound": "some network of this kind has an objective no higher than this (95 %), whatever the walks missed",
    "width": "upper minus lower end",
    "unknown_share": "the width, of what the untrained prior leaves above the lower end; certified up to 25 %",
    "prior_objective": "the objective of the untrained prior",
    "trustworthy": "whether the interval is that narrow",
    "num_descents": "descents that searched for wells",
    "work": "gradients of one neuron at one row that were spent",
}
NAMES = {
    "lower_bound": "lower end of the optimum",
    "upper_bound": "upper end of the optimum",
    "trustworthy": "certified",
    "prior_objective": "untrained objective",
    "num_descents": "searches for wells",
}


def write_fit_page(contents: FitContents, file: Path) -> None:
    """Write the report of a fit as one HTML file that opens offline."""
    comparison = contents.comparison
    write_page(
        file,
        "fit.html.jinja",
        title=f"{contents.table}: {contents.target}",
        contents=contents,
        motion=None if contents.motion is None else _motion(contents, contents.motion),
        curve_figures=[]
        if contents.curves is None
        else curve_figures.figures(contents.curves),
        scores=_scores(contents),
        word=comparison.word,
        of_law=None if contents.law is None else _of_law(contents.law),
        scored=summary.scored_rows(comparison, contents.unit),
        errors_over=summary.error_source(comparison, contents.unit),
        metrics=[
            SYMBOLS.get(one.metric, one.metric) for one in comparison.ours.measures
        ],
        methods=_methods(contents),
        classes=_classes(contents),
        called_first=_called_first(contents),
        by_prediction=_by_prediction(contents),
        interval=_interval(contents) if contents.certificate.get("history") else None,
        relevance=_relevance(contents) if contents.relevance.names else None,
        effects=_effects(contents),
        change_unit=", points of %" if contents.classes else "",
        effect_rows=min(MAX_ROWS, contents.relevance.num_rows),
        predictions=_confusion(contents)
        if contents.classes
        else _predictions(contents),
        calibration=_calibration(contents),
        columns=[_column(column) for column in _listed(contents.reading.columns)],
        unlisted=max(0, len(contents.reading.columns) - MAX_LISTED),
        certificate=_certificate_rows(contents),
        setting_groups=_setting_groups(contents.settings),
        versions=_setting_rows(contents.versions),
    )


def _certificate_rows(contents: FitContents) -> list[tuple[str, str, str]]:
    """Return name, value and meaning of the numbers of a certificate."""
    names, meanings = (
        (NAMES, MEANINGS) if contents.law is None else (law.NAMES, law.MEANINGS)
    )
    return [
        (
            names.get(key, key.replace("_", " ")),
            _certified(contents.certificate[key]),
            meaning,
        )
        for key, meaning in meanings.items()
        if key in contents.certificate
    ]


def _of_law(contents: LawContents) -> dict[str, Any]:
    """Return the figure and the tables of a predictive law."""
    rows = law.coefficient_rows(contents)
    return {
        "figure": law.figure(contents),
        "intervals": law.coefficient_figure(contents),
        "densities": law.density_rows(contents),
        "coefficients": rows[:MAX_LISTED],
        "unlisted": max(0, len(rows) - MAX_LISTED),
    }


def _score_word(contents: FitContents) -> str:
    """Return the name of the main metric as readers write it."""
    metric = contents.comparison.ours.main.metric
    return SYMBOLS.get(metric, metric)


def _methods(contents: FitContents) -> list[dict[str, Any]]:
    """Return the rows of the table of methods, the best first."""
    rows = []
    for score in contents.comparison.ranked:
        main = score.main
        rows.append(
            {
                "name": score.name,
                "ours": score.ours,
                "values": [summary.value_of(measured) for measured in score.measures],
                "beside": main.relation,
                "difference": with_error(main.difference, main.difference_error)
                if main.relation
                else "",
                "seconds": "" if score.base else fixed(score.seconds, 2),
                "note": score.note,
            }
        )
    return rows


def _classes(contents: FitContents) -> list[tuple[str, ...]]:
    """Return the rows of the table of classes: its rows in all, scored, found, and wrongly called."""
    comparison = contents.comparison
    if not contents.classes:
        return []
    called, observed = comparison.called, comparison.observed
    rows = []
    for place, (name, size) in enumerate(
        zip(contents.classes, contents.class_counts, strict=True)
    ):
        own = observed == place
        hits, false = (
            int(np.sum(own & (called == place))),
            int(np.sum(~own & (called == place))),
        )
        share = size / max(1, sum(contents.class_counts))
        rows.append(
            (
                name,
                f"{whole(size)} ({100 * share:.3g} %)",
                whole(own.sum()),
                whole(hits),
                whole(false),
            )
        )
    return rows[:MAX_CLASSES]


def _called_first(contents: FitContents) -> tuple[str, list[tuple[str, ...]]]:
    """Return the rarer of two classes, and how many of its rows have the highest probabilities."""
    comparison = contents.comparison
    if len(contents.classes) != 2:
        return "", []
    place = positive_class(comparison.observed)
    total = int(np.sum(comparison.observed == place))
    base = total / len(comparison.observed)
    rows = [
        (
            f"{100 * share:g} %",
            whole(size),
            f"{whole(hits)} of {whole(total)}",
            f"{100 * hits / size:.3g} %",
            f"{hits / size / base:.1f}",
        )
        for share, size, hits in summary.called_first(comparison)
        if base
    ]
    return contents.classes[place], rows


def _by_prediction(contents: FitContents) -> list[tuple[str, ...]]:
    """Return the rows of the table of parts of the rows by their prediction: predicted and observed means, errors."""
    observed, predicted = contents.comparison.observed, contents.comparison.outputs
    if contents.classes or len(observed) < PARTS * FEWEST_IN_PART:
        return []
    rows = []
    for part in np.array_split(np.argsort(predicted, kind="stable"), PARTS):
        y, p = observed[part], predicted[part]
        mean = with_error(float(y.mean()), float(y.std(ddof=1) / np.sqrt(len(y))))
        half, most = (
            number(np.quantile(np.abs(y - p), share), 3) for share in (0.5, 0.9)
        )
        rows.append(
            (
                f"{number(p.min(), 3)} to {number(p.max(), 3)}",
                whole(len(part)),
                number(p.mean(), 3),
                mean,
                half,
                most,
            )
        )
    return rows


def _effects(contents: FitContents) -> list[tuple[str, ...]]:
    """Return the rows of the table of effects, with changes to the digits of the largest."""
    unit = 100.0 if contents.classes else 1.0
    changes = [unit * (effect.at_high - effect.at_low) for effect in contents.effects]
    largest = max((abs(change) for change in changes), default=0.0)
    places = max(0, DIGITS - 1 - math.floor(math.log10(largest))) if largest else 0
    rows = []
    for effect, change in zip(contents.effects, changes, strict=True):
        means = [effect.at_low, effect.at_middle, effect.at_high]
        cells = [
            "–"
            if y is None
            else f"{number(unit * y, DIGITS)} %"
            if contents.classes
            else number(y)
            for y in means
        ]
        sign = "+" if round(change, places) > 0 else ""
        few = 0 < places <= MOST_PLACES
        shown = (
            fixed(round(change, places) + 0.0, places)
            if few
            else number(change, DIGITS)
        )
        rows.append(
            (effect.column, f"{effect.low} to {effect.high}", *cells, sign + shown)
        )
    return rows


def places_of(value: float) -> int:
    """Return decimals: three, or more where a number would be left with less than two digits.

    Example:
        >>> places_of(0.651), places_of(0.000699), places_of(0.0), places_of(float("nan"))
        (3, 5, 3, 3)
    """
    small = value and math.isfinite(value)
    return (
        min(MOST_PLACES, max(3, 1 - math.floor(math.log10(abs(value))))) if small else 3
    )


def _listed(columns: tuple[ColumnReading, ...]) -> list[ColumnReading]:
    """Return the columns to list: of too many, those with remarks before the others."""
    if len(columns) <= MAX_LISTED:
        return list(columns)
    places = sorted(range(1, len(columns)), key=lambda i: not columns[i].remarks)[
        : MAX_LISTED - 1
    ]
    return [columns[i] for i in [0, *sorted(places)]]


def _column(column: ColumnReading) -> dict[str, Any]:
    """Return a row of the table of columns."""
    present, missing = (
        column.read + column.unreadable,
        column.missing + column.unreadable,
    )
    share = "" if not present else f"{100 * column.read / present:.3g} %"
    prefix = f"Column {column.name!r}"
    remarks = [remark.removeprefix(prefix).lstrip(": ") for remark in column.remarks]
    return {
        "name": column.name,
        "role": column.role,
        "kind": column.kind or "–",
        "read": share
        if not column.unreadable
        else f"{share}, all but {whole(column.unreadable)}",
        "missing": whole(missing) if missing else "none" if column.kind else "–",
        "values": column.values,
        "remarks": [remark[0].upper() + remark[1:] for remark in remarks],
    }


def _calibration(contents: FitContents) -> Figure | None:
    """Observed shares against predicted probabilities."""
    calibration = contents.calibration
    if calibration is None:
        return None
    rows, bins = whole(calibration.num_rows.sum()), len(calibration.num_rows)
    picture = interactive.calibration(
        calibration.predicted,
        calibration.observed,
        calibration.error,
        list(calibration.num_rows),
        calibration.event,
    )
    first, last = (
        f"predicted {calibration.predicted[i]:.1%}, observed {calibration.observed[i]:.1%}"
        for i in (0, -1)
    )
    words = f"Calibration of {calibration.event} in {bins} groups: lowest {first}; highest {last}."
    text = (
        f"{rows} {contents.unit}s in {bins} groups by the probability of {calibration.event}: on the line, it happens "
        "as often as predicted. Bars are two standard errors."
    )
    columns = {
        "predicted": calibration.predicted,
        "observed": calibration.observed,
        "standard_error": calibration.error,
        "rows": calibration.num_rows,
    }
    return Figure([Picture(picture, words)], [Caption(text, "calibration", columns)])


def _motion(contents: FitContents, motion: ParticleMotion) -> Figure:
    """Particles at the left, the function they represent at the right."""
    total = motion.x.shape[1]
    drawn = thinned(total, MAX_PARTICLES)
    x, y, outer = (values[:, drawn] for values in (motion.x, motion.y, motion.outer))
    labels = {
        "x_label": motion.x_label,
        "y_label": motion.y_label,
        "outer_label": motion.outer_label,
    }
    up, count = int(np.sum(outer[-1] >= 0)), len(drawn)
    words = (
        f"{count} particles in the plane of {motion.x_label} and {motion.y_label} at step {whole(motion.steps[-1])}: "
        f"{up} push the output up and {count - up} push it down."
    )
    text = "Each triangle is a neuron: up and red where it pushes the output up, down and blue where it pushes it down."
    text += f" {count} of {whole(total)} particles are drawn." if count < total else ""
    particles = MovingPanel(
        "particles", moving.cloud(x, y, outer, **labels), words, text
    )
    return moving_figure(Scene((particles, _fit(motion.fit)), motion.steps))


def _fit(fit: FittedCurve | DecisionSurface | SlopeFunction) -> MovingPanel:
    if isinstance(fit, SlopeFunction):
        return curve_figures.moving_slope(fit)
    return _curve(fit) if isinstance(fit, FittedCurve) else _surface(fit)


def _curve(curve: FittedCurve) -> MovingPanel:
    values = curve.values
    labels: dict[str, Any] = {
        "x_label": curve.x_label,
        "y_label": curve.y_label,
        "x_dates": curve.x_dates,
    }
    picture = moving.curve(curve.grid, values, curve.data_x, curve.data_y, **labels)
    first, last = (
        (day if curve.x_dates else number)(curve.grid[end]) for end in (0, -1)
    )
    words = (
        f"Mean prediction of {curve.y_label} for {curve.x_label} from {first} to {last}: from "
        f"{number(values[-1][0])} to {number(values[-1][-1])} at the last step, over {whole(len(curve.data_x))} rows."
    )
    text = (
        f"The function that the neurons represent together. The line is the mean prediction with {curve.x_label} set "
        f"to each value; grey dots are {whole(len(curve.data_x))} rows of the table."
    )
    return MovingPanel("fit", picture, words, text)


def _surface(surface: DecisionSurface) -> MovingPanel:
    values, classes = surface.values, surface.classes
    two = len(classes) == 2
    picture = moving.surface(
        surface.grid_x,
        surface.grid_y,
        values if two else values.astype(np.uint8),
        classes,
        surface.data_x,
        surface.data_y,
        surface.data_class,
        x_label=surface.x_label,
        y_label=surface.y_label,
        x_dates=surface.x_dates,
        y_dates=surface.y_dates,
    )
    if two:
        share = f"{classes[1]} is the likelier class in {np.mean(values[-1] > 0.5):.0%} of it"
        shade = "The shade is the probability of each class, and on the line both are equally likely"
    else:
        areas = np.bincount(values[-1].astype(int).ravel(), minlength=len(classes))
        share = f"{classes[int(areas.argmax())]} is the likeliest class in {areas.max() / areas.sum():.0%} of it"
        shade = "The shade is the likeliest class"
    words = (
        f"Plane of {surface.x_label} and {surface.y_label} at the last step: {share}."
    )
    drawn = whole(len(surface.data_x))
    text = f"The decisions of the neurons together. {shade}; markers are {drawn} rows, a shape for each class."
    return MovingPanel("fit", picture, words, text)


def _scores(contents: FitContents) -> Figure:
    """All methods, best first; the template has the text of the caption."""
    comparison = contents.comparison
    names, ours = (
        [s.name for s in comparison.ranked],
        [s.ours for s in comparison.ranked],
    )
    pictures = []
    for metric in DRAWN[contents.task]:
        measures = [score.named(metric) for score in comparison.ranked]
        values = [one.value for one in measures]
        places = places_of(comparison.ours.named(metric).value)
        texts = [fixed(value, places) for value in values]
        bars = [
            LEVEL * (0.0 if one.relation == "" else one.difference_error)
            for one in measures
        ]
        better = "lower" if metric == "log loss" else "higher"
        label = f"{SYMBOLS.get(metric, metric)}, {better} is better"
        dots = interactive.score_dots(names, values, ours, texts, label, bars)
        words = (
            f"{label}: "
            + ", ".join(
                f"{name} {text}" for name, text in zip(names, texts, strict=True)
            )
            + "."
        )
        pictures.append(Picture(dots, words))
    columns: dict[str, list[Any]] = {"method": names}
    for i, measured in enumerate(comparison.ours.measures):
        of_metric = [score.measures[i] for score in comparison.ranked]
        columns |= {
            measured.metric: [one.value for one in of_metric],
            f"{measured.metric} standard error": [one.error for one in of_metric],
            f"{measured.metric} better by": [one.difference for one in of_metric],
            f"{measured.metric} better by, standard error": [
                one.difference_error for one in of_metric
            ],
        }
    columns |= {
        "seconds": [s.seconds for s in comparison.ranked],
        "note": [s.note for s in comparison.ranked],
    }
    return Figure(pictures, [Caption("", "scores", columns)])


def _interval(contents: FitContents) -> Figure:
    """Return the figure of the interval that contains the optimum, as it closed."""
    work, lower, upper = np.array(contents.certificate["history"], float).T
    text = f"width {upper[-1] - lower[-1]:.2g}"
    labels = {} if contents.law is None else law.INTERVAL_LABELS
    picture = interactive.closing(work, lower, upper, text, **labels)
    words = (
        f"The interval closed from {number(lower[0])} to {number(upper[0])} at first, to {number(lower[-1])} to "
        f"{number(upper[-1])} at the end."
    )
    every = (
        "networks of this kind at this temperature"
        if contents.law is None
        else "laws at this share of Bayes"
    )
    caption = (
        f"The least training objective of all {every} lies in the band. Its upper end "
        "is proved up to errors of sampling; its lower end assumes that no minimum was missed by all searches."
    )
    columns = {"work": work, "lower_bound": lower, "upper_bound": upper}
    return Figure([Picture(picture, words)], [Caption(caption, "certificate", columns)])


def _relevance(contents: FitContents) -> Figure:
    """The columns whose shuffling costs most."""
    relevance, word = contents.relevance, _score_word(contents)
    change, verb = (
        ("rise of the log loss", "raises")
        if contents.classes
        else (f"fall of {word}", "lowers")
    )
    order = np.argsort(
        -np.nan_to_num(np.asarray(relevance.mean, float), nan=-np.inf), kind="stable"
    )
    columns = {
        "column": [relevance.names[i] for i in order],
        "mean": np.asarray(relevance.mean)[order],
        "deviation": np.asarray(relevance.deviation)[order],
    }
    names, mean, deviation = (values[:MAX_COLUMNS] for values in columns.values())
    words = (
        f"{names[0]} matters most: shuffling it {verb} {word} by {with_error(mean[0], deviation[0])}. "
        f"{len(names)} columns are drawn, the last of them {names[-1]} with {with_error(mean[-1], deviation[-1])}."
    )
    text = (
        f"{change[0].upper()}{change[1:]} on {whole(relevance.num_rows)} held-out {contents.unit}s when one column is "
        "shuffled, with one standard deviation over shuffles. A column whose bar reaches the line at zero may not "
        "matter; columns that say the same share what they matter, and what matters need not be a cause."
    )
    text += (
        f" The first {MAX_COLUMNS} of {len(order)} columns."
        if len(order) > MAX_COLUMNS
        else ""
    )
    if relevance.num_columns > len(order):
        text += (
            f" Of the table's {whole(relevance.num_columns)} columns, the {len(order)} along which the network's "
            "outputs are steepest were shuffled."
        )
    dots = interactive.relevance(names, mean, deviation, change)
    return Figure([Picture(dots, words)], [Caption(text, "relevance", columns)])


def _predictions(contents: FitContents) -> Figure:
    """Predicted numbers against observed numbers."""
    observed, predicted = contents.comparison.observed, contents.comparison.outputs
    error = number(contents.comparison.ours.named("RMSE").value, 3)
    words = f"{whole(observed.size)} {contents.unit}s about the diagonal; root mean square error {error}."
    half, most = (
        number(np.quantile(np.abs(predicted - observed), share), 3)
        for share in (0.5, 0.9)
    )
    base = number(np.median(np.abs(observed - np.median(observed))), 3)
    text = (
        f"Each point is a {contents.unit} that the {contents.comparison.word} has not seen; on the line, the "
        f"prediction is right. Of {whole(observed.size)} predictions half are off by less than {half}, and nine of ten "
        f"by less than {most}; "
        f"their median, as the prediction of all, is off by less than {base} for half."
    )
    below = int(np.sum(predicted < 0))
    if below and observed.min() >= 0:
        text += f" Below 0, where no target is, are {whole(below)} of the predictions: read 0 there."
    drawn = len(thinned(observed.size, interactive.MAX_POINTS))
    text += (
        f" {whole(drawn)} of {whole(observed.size)} {contents.unit}s are drawn."
        if drawn < observed.size
        else ""
    )
    points = interactive.predictions(observed, predicted, contents.target)
    columns = {"observed": observed, "predicted": predicted}
    return Figure(
        [Picture(points, words, square=True)], [Caption(text, "predictions", columns)]
    )


def _confusion(contents: FitContents) -> Figure:
    """Observed classes against predicted classes."""
    classes, size = contents.classes, len(contents.classes)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (contents.comparison.observed, contents.comparison.called), 1)
    right = f"{whole(np.trace(counts))} of {whole(counts.sum())}"
    wrong = counts * (1 - np.eye(size, dtype=int))
    row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
    times = "once" if wrong.max() == 1 else f"{whole(wrong.max())} times"
    worst = (
        f" The most frequent error: {classes[row]} predicted as {classes[column]}, {times}."
        if wrong.max()
        else ""
    )
    percent = " and percent of the row" if size <= interactive.MAX_SHARES else ""
    text = (
        f"Rows are observed classes, columns predicted classes, in counts{percent}; a darker shade is a larger share "
        f"of the row. On the diagonal, the prediction is right: {right}.{worst}"
        f"{' On a narrow screen the matrix scrolls sideways.' if size > SHRINKS_TO else ''}"
    )
    words = f"{right} {contents.unit}s are on the diagonal.{worst}"
    columns = {
        "observed": [name for name in classes for _ in classes],
        "predicted": list(classes) * size,
        "count": counts.ravel(),
    }
    min_width = 130 + CELL * size if size > SHRINKS_TO else 0
    picture = Picture(
        interactive.confusion(counts, classes), words, min_width=min_width
    )
    return Figure([picture], [Caption(text, "confusion", columns)])


def _certified(value: Any) -> str:
    """Return a field of the certificate."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return (
        " to ".join(number(end, 6) for end in value)
        if isinstance(value, tuple)
        else number(value, 6)
    )


def _setting_groups(
    settings: dict[str, Any],
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return settings without a group first, then each group under its name."""
    single = {
        name: value for name, value in settings.items() if not isinstance(value, dict)
    }
    groups = [
        (name, _setting_rows(value))
        for name, value in settings.items()
        if isinstance(value, dict)
    ]
    return [("", _setting_rows(single)), *groups] if single or not groups else groups


def _setting_rows(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _setting(value)) for name, value in values.items()]


def _setting(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return whole(value) if abs(value) >= 10_000 else str(value)
    return number(value, 6) if isinstance(value, float) else str(value)
