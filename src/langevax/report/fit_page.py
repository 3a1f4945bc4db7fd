"""The page of a fit: bounds on the optimum, the particles as they moved, and how well the network predicts.

Each figure has a caption, a description for readers who cannot see it, and its data to download.
"""

from pathlib import Path
from typing import Any

import numpy as np

from langevax.figures import interactive, moving
from langevax.figures.canvas import thinned
from langevax.figures.moving import MovingPanel, Scene
from langevax.report import curve_figures
from langevax.report.contents import DecisionSurface, FitContents, FittedCurve, SlopeFunction
from langevax.report.numbers import fixed, number, whole, with_error
from langevax.report.page import Caption, Figure, Picture, moving_figure, write_page

MAX_COLUMNS, MAX_PARTICLES = 20, 300  # drawn
CELL, SHRINKS_TO = 27, 10  # smallest pixels of a class in a confusion matrix of more than SHRINKS_TO classes
MEANINGS = {
    "lower_bound": "no network of this kind has a lower objective (95 %), unless a well exists that no search entered",
    "upper_bound": "some network of this kind has an objective no higher than this (95 %), whatever the walks missed",
    "width": "upper minus lower end",
    "unknown_share": "the width, of what the untrained prior leaves above the lower end; certified up to 25 %",
    "prior_objective": "the objective of the untrained prior",
    "trustworthy": "whether the interval is that narrow",
    "num_descents": "descents that looked for wells",
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
    ranked = sorted(contents.scores, key=lambda score: np.nan_to_num(score.value, nan=-np.inf), reverse=True)
    write_page(
        file,
        "fit.html.jinja",
        title=f"{contents.table}: {contents.target}",
        contents=contents,
        score_word=_score_word(contents),
        motion=_motion(contents),
        curve_figures=[] if contents.curves is None else curve_figures.figures(contents.curves),
        scores=_scores(contents, ranked),
        ranked=ranked,
        band=_band(contents) if len(contents.band.steps) else None,
        relevance=_relevance(contents) if contents.relevance.names else None,
        predictions=_confusion(contents) if contents.classes else _predictions(contents),
        certificate=[
            (NAMES.get(key, key.replace("_", " ")), _certified(contents.certificate, key), meaning)
            for key, meaning in MEANINGS.items()
            if key in contents.certificate
        ],
        setting_groups=_setting_groups(contents.settings),
        versions=_setting_rows(contents.versions),
    )


def _score_word(contents: FitContents) -> str:
    """Return the name of the score as readers write it."""
    return {"R2": "R²"}.get(contents.score_name, contents.score_name)


def _motion(contents: FitContents) -> Figure:
    """Particles at the left, the function they represent at the right."""
    motion = contents.motion
    total = motion.x.shape[1]
    drawn = thinned(total, MAX_PARTICLES)
    x, y, outer = (values[:, drawn] for values in (motion.x, motion.y, motion.outer))
    labels = {"x_label": motion.x_label, "y_label": motion.y_label, "outer_label": motion.outer_label}
    up, count = int(np.sum(outer[-1] >= 0)), len(drawn)
    words = (
        f"{count} particles in the plane of {motion.x_label} and {motion.y_label} at step {whole(motion.steps[-1])}: "
        f"{up} push the output up and {count - up} push it down."
    )
    text = "Each triangle is a neuron: up and red where it pushes the output up, down and blue where it pushes it down."
    text += f" {count} of {whole(total)} particles are drawn." if count < total else ""
    particles = MovingPanel("particles", moving.cloud(x, y, outer, **labels), words, text)
    return moving_figure(Scene((particles, _fit(motion.fit)), motion.steps))


def _fit(fit: FittedCurve | DecisionSurface | SlopeFunction) -> MovingPanel:
    if isinstance(fit, SlopeFunction):
        return curve_figures.moving_slope(fit)
    return _curve(fit) if isinstance(fit, FittedCurve) else _surface(fit)


def _curve(curve: FittedCurve) -> MovingPanel:
    values = curve.values
    picture = moving.curve(curve.grid, values, curve.data_x, curve.data_y, x_label=curve.x_label, y_label=curve.y_label)
    words = (
        f"Mean prediction of {curve.y_label} for {curve.x_label} from {number(curve.grid[0])} to "
        f"{number(curve.grid[-1])}: from {number(values[-1][0])} to {number(values[-1][-1])} at the last step, "
        f"over {whole(len(curve.data_x))} rows."
    )
    text = (
        f"The function that the neurons represent together. The line is the mean prediction with {curve.x_label} set "
        "to each value; grey dots are rows of the table."
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
    )
    if two:
        share = f"{classes[1]} is the likelier class in {np.mean(values[-1] > 0.5):.0%} of it"
        shade = "The shade is the probability of each class, and on the line both are equally likely"
    else:
        areas = np.bincount(values[-1].astype(int).ravel(), minlength=len(classes))
        share = f"{classes[int(areas.argmax())]} is the likeliest class in {areas.max() / areas.sum():.0%} of it"
        shade = "The shade is the likeliest class"
    words = f"Plane of {surface.x_label} and {surface.y_label} at the last step: {share}."
    text = f"The decisions of the neurons together. {shade}; markers are rows of the table, a shape for each class."
    return MovingPanel("fit", picture, words, text)


def _scores(contents: FitContents, ranked: list[Any]) -> Figure:
    """All methods, best first; the template has the text of the caption."""
    values = [score.value for score in ranked]
    texts = [fixed(value, 3) for value in values]
    label = f"{_score_word(contents)} on held-out {contents.unit}s"
    dots = interactive.score_dots([s.name for s in ranked], values, [s.ours for s in ranked], texts, label)
    words = f"{label}: " + ", ".join(f"{s.name} {text}" for s, text in zip(ranked, texts, strict=True)) + "."
    columns = {
        "method": [s.name for s in ranked],
        contents.score_name: values,
        "seconds": [s.seconds for s in ranked],
        "note": [s.note for s in ranked],
    }
    return Figure([Picture(dots, words)], [Caption("", "scores", columns)])


def _band(contents: FitContents) -> Figure:
    """The lower bound with the band that contains the optimum, and the gap alone."""
    path = contents.band
    final = with_error(path.gap[-1], path.gap_error[-1])
    label = f"gap {final}" if path.trustworthy[-1] else "a gap not to be trusted"
    bounds = interactive.band(path.steps, path.lower_bound, path.lower_bound_error, path.gap, path.trustworthy, label)
    first, last = whole(path.steps[0]), whole(path.steps[-1])
    words = (
        f"Lower bound D from {number(path.lower_bound[0])} at step {first} to {number(path.lower_bound[-1])} at step "
        f"{last}; the gap above it at the end: {final}."
    )
    text = (
        "Points are the lower bound D with one standard error; the shaded band reaches from D to the upper end of the "
        "certificate. The least training objective of all networks of this kind at this temperature lies inside the "
        "band, unless a well exists that no search entered."
        + _doubt(int(np.sum(~np.asarray(path.trustworthy, bool))), len(path.steps))
    )
    pictures, captions = [Picture(bounds, words)], [Caption(text, "certificate", path._asdict())]
    undrawn = int(np.sum(~(np.isfinite(path.gap) & (np.asarray(path.gap) > 0))))
    if undrawn < len(path.steps):
        alone = interactive.gaps(path.steps, path.gap, path.gap_error, path.trustworthy)
        words = f"The gap at step {first}: {with_error(path.gap[0], path.gap_error[0])}; at step {last}: {final}."
        text = "The gap alone, with one standard error; a power law in the step is a straight line."
        text += f" {undrawn} of {len(path.steps)} gaps are unknown or not positive and not drawn." if undrawn else ""
        pictures.append(Picture(alone, words))
        captions.append(Caption(text))
    return Figure(pictures, captions)


def _doubt(doubtful: int, count: int) -> str:
    if not doubtful:
        return ""
    which = "All points are hollow:" if doubtful == count else f"Hollow points ({doubtful} of {count}) are"
    return f" {which} not to be trusted: their walks lost their variety, or the band is wide."


def _relevance(contents: FitContents) -> Figure:
    """The columns with the largest fall of the score."""
    relevance, word = contents.relevance, _score_word(contents)
    order = np.argsort(-np.nan_to_num(np.asarray(relevance.mean, float), nan=-np.inf), kind="stable")
    columns = {
        "column": [relevance.names[i] for i in order],
        "mean": np.asarray(relevance.mean)[order],
        "deviation": np.asarray(relevance.deviation)[order],
    }
    names, mean, deviation = (values[:MAX_COLUMNS] for values in columns.values())
    words = (
        f"{names[0]} matters most: shuffling it lowers {word} by {with_error(mean[0], deviation[0])}. "
        f"{len(names)} columns are drawn, the last of them {names[-1]} with {with_error(mean[-1], deviation[-1])}."
    )
    text = (
        f"Fall of {word} on held-out rows when one column is shuffled, with one standard deviation over shuffles. A "
        "column whose bar reaches the line at zero may not matter."
    )
    text += f" The first {MAX_COLUMNS} of {len(order)} columns." if len(order) > MAX_COLUMNS else ""
    dots = interactive.relevance(names, mean, deviation, f"fall in {word}")
    return Figure([Picture(dots, words)], [Caption(text, "relevance", columns)])


def _predictions(contents: FitContents) -> Figure:
    """Predicted numbers against observed numbers."""
    observed, predicted = np.asarray(contents.observed, float), np.asarray(contents.predicted, float)
    error = number(np.sqrt(np.mean((predicted - observed) ** 2)) if observed.size else None, 3)
    words = f"{whole(observed.size)} held-out {contents.unit}s about the diagonal; root mean square error {error}."
    text = (
        f"Each point is a {contents.unit} that the network has not seen; on the line, the prediction is right. "
        f"The root mean square error is {error}."
    )
    drawn = len(thinned(observed.size, interactive.MAX_POINTS))
    text += f" {whole(drawn)} of {whole(observed.size)} {contents.unit}s are drawn." if drawn < observed.size else ""
    points = interactive.predictions(observed, predicted, contents.target)
    columns = {"observed": observed, "predicted": predicted}
    return Figure([Picture(points, words, square=True)], [Caption(text, "predictions", columns)])


def _confusion(contents: FitContents) -> Figure:
    """Observed classes against predicted classes."""
    classes, size = contents.classes, len(contents.classes)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (np.asarray(contents.observed, int), np.asarray(contents.predicted, int)), 1)
    right = f"{whole(np.trace(counts))} of {whole(counts.sum())}"
    wrong = counts * (1 - np.eye(size, dtype=int))
    row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
    times = "once" if wrong.max() == 1 else f"{whole(wrong.max())} times"
    worst = f" The most frequent error: {classes[row]} predicted as {classes[column]}, {times}." if wrong.max() else ""
    percent = " and percent of the row" if size <= interactive.MAX_SHARES else ""
    text = (
        f"Rows are observed classes, columns predicted classes, in counts{percent}; a darker shade is a larger share "
        f"of the row. On the diagonal, the prediction is right: {right}.{worst}"
        f"{' On a narrow screen the matrix scrolls sideways.' if size > SHRINKS_TO else ''}"
    )
    words = f"{right} held-out {contents.unit}s are on the diagonal.{worst}"
    columns = {
        "observed": [name for name in classes for _ in classes],
        "predicted": list(classes) * size,
        "count": counts.ravel(),
    }
    min_width = 130 + CELL * size if size > SHRINKS_TO else 0
    picture = Picture(interactive.confusion(counts, classes), words, min_width=min_width)
    return Figure([picture], [Caption(text, "confusion", columns)])


def _certified(certificate: dict[str, Any], key: str) -> str:
    """Return a number of the certificate in words."""
    value = certificate[key]
    if isinstance(value, str):
        return value
    if key == "trustworthy":
        return "yes" if value else "no"
    if key == "unknown_share" and value is not None and np.isfinite(value):
        return f"{number(100 * value, 2)} %"
    return whole(value) if isinstance(value, int) else number(value, 4)


def _setting_groups(settings: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return settings without a group first, then each group under its name."""
    single = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    groups = [(name, _setting_rows(value)) for name, value in settings.items() if isinstance(value, dict)]
    return [("", _setting_rows(single)), *groups] if single or not groups else groups


def _setting_rows(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _setting(value)) for name, value in values.items()]


def _setting(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return whole(value) if abs(value) >= 10_000 else str(value)
    return number(value, 6) if isinstance(value, float) else str(value)
