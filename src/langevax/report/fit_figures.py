"""The figures of a fit's page, each with its caption, its words for those who do not see it, and its data."""

import numpy as np

from langevax.figures import interactive, moving
from langevax.figures.moving import Moved, Scene
from langevax.report.contents import Curve, FitContents, Score, Surface
from langevax.report.curve_contents import Slope
from langevax.report.curve_figures import moving_slope
from langevax.report.motion import frames_of, particles_of, player
from langevax.report.numbers import number, whole, with_error
from langevax.report.page import Html, Panel, caption, csv_link, element, figure, join

MOST_COLUMNS = 20
CELL, SHRINKS_WELL = 27, 10  # least pixels of a class in a confusion matrix, and classes from which that is heeded


def score_word(contents: FitContents) -> str:
    """The score's name as a reader writes it."""
    return {"R2": "R²"}.get(contents.score_name, contents.score_name)


def best_first(contents: FitContents) -> list[Score]:
    return sorted(contents.scores, key=lambda score: np.nan_to_num(score.value, nan=-np.inf), reverse=True)


def motion(contents: FitContents) -> Html:
    """Particles at the left, the fit they make at the right."""
    told = contents.motion
    frames, drawn = frames_of(told.steps), particles_of(told.x)
    x, y, pull = (np.asarray(values)[np.ix_(frames, drawn)] for values in (told.x, told.y, told.pull))
    up, count = int(np.sum(pull[-1] >= 0)), len(drawn)
    last = whole(told.steps[-1])
    cloud = moving.cloud(x, y, pull, x_label=told.x_label, y_label=told.y_label, pull_label=told.pull_label)
    words = (
        f"{count} particles in the plane of {told.x_label} and {told.y_label} at step {last}: "
        f"{up} pull up and {count - up} pull down."
    )
    some = f" {count} of {whole(told.x.shape[1])} particles are drawn." if count < told.x.shape[1] else ""
    to_see = (
        "Each triangle is a neuron: up and red where it pushes the output up, down and blue where it pushes the output "
        f"down.{some}"
    )
    return player(Scene((Moved("particles", cloud, words, to_see), _fit(told.fit, frames)), told.steps[frames]))


def _fit(fit: Curve | Surface | Slope, frames: np.ndarray) -> Moved:
    if isinstance(fit, Slope):
        return moving_slope(fit, frames)
    return _curve(fit, frames) if isinstance(fit, Curve) else _surface(fit, frames)


def _curve(curve: Curve, frames: np.ndarray) -> Moved:
    values = np.asarray(curve.values)[frames]
    picture = moving.curve(curve.grid, values, curve.data_x, curve.data_y, x_label=curve.x_label, y_label=curve.y_label)
    words = (
        f"Mean prediction of {curve.y_label} as {curve.x_label} goes from {number(curve.grid[0])} to "
        f"{number(curve.grid[-1])}: from {number(values[-1][0])} to {number(values[-1][-1])} at the last step, "
        f"over {whole(len(curve.data_x))} rows."
    )
    to_see = (
        "The fit that the neurons make together. The line is the mean prediction with "
        f"{curve.x_label} set to each value; grey dots are the rows of the table."
    )
    return Moved("fit", picture, words, to_see)


def _surface(surface: Surface, frames: np.ndarray) -> Moved:
    values, classes = np.asarray(surface.values)[frames], surface.classes
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
    to_see = (
        f"The decision that the neurons make together. {shade}; markers are the rows of the table, a shape for each "
        "class."
    )
    return Moved("fit", picture, words, to_see)


def scores(contents: FitContents) -> Html:
    """Our score and our peers', best first."""
    ranked, word = best_first(contents), score_word(contents)
    values = [score.value for score in ranked]
    texts = [f"{value:.3f}".replace("-", "−") if np.isfinite(value) else "–" for value in values]
    where = f"{word} on held-out {contents.unit}s"
    dots = interactive.score_dots(
        [score.name for score in ranked], values, [score.ours for score in ranked], texts, where
    )
    words = f"{where}: " + ", ".join(f"{s.name} {t}" for s, t in zip(ranked, texts, strict=True)) + "."
    to_see = join(
        "Further right is better. The ",
        element("span", "green diamond", class_="key"),
        " is this network; grey dots are other methods on the same split, their settings chosen as the table says.",
    )
    columns = {
        "method": [s.name for s in ranked],
        contents.score_name: values,
        "seconds": [s.seconds for s in ranked],
        "note": [s.note for s in ranked],
    }
    return figure([Panel(dots, words)], caption(to_see, csv_link("scores", columns)))


def band(contents: FitContents) -> Html:
    """The lower bound with the band in which the optimum lies, and the gap alone."""
    told = contents.band
    if not len(told.steps):
        return element("p", "No certificate was made along training.")
    final = with_error(told.gap[-1], told.gap_error[-1])
    label = f"gap {final}" if told.trustworthy[-1] else "a gap not to be trusted"
    bounds = interactive.band(told.steps, told.lower_bound, told.lower_bound_error, told.gap, told.trustworthy, label)
    alone = interactive.gaps(told.steps, told.gap, told.gap_error, told.trustworthy)
    doubtful = int(np.sum(~np.asarray(told.trustworthy, bool)))
    first, last = whole(told.steps[0]), whole(told.steps[-1])
    ends = f"from {number(told.lower_bound[0])} at step {first} to {number(told.lower_bound[-1])} at step {last}"
    words = f"Lower bound D {ends}; the gap above it at the end: {final}."
    alone_words = f"The gap at step {first}: {with_error(told.gap[0], told.gap_error[0])}; at step {last}: {final}."
    undrawn = int(np.sum(~(np.isfinite(told.gap) & (np.asarray(told.gap) > 0))))
    to_see = join(
        "Points are the lower bound D with one standard error; the shaded band reaches from D to D plus the gap. The "
        "best possible objective lies inside the band: the narrower it is, the less is left to gain.",
        _doubt(doubtful, len(told.steps)),
    )
    alone_to_see = "The gap alone, with one standard error; a straight line down would be a power of the step." + (
        f" {undrawn} of {len(told.steps)} gaps are unknown or not positive and have no place here." if undrawn else ""
    )
    columns = {
        "step": told.steps,
        "lower_bound": told.lower_bound,
        "lower_bound_error": told.lower_bound_error,
        "gap": told.gap,
        "gap_error": told.gap_error,
        "trustworthy": told.trustworthy,
    }
    panels, captions = [Panel(bounds, words)], [caption(to_see, csv_link("certificate", columns))]
    if undrawn < len(told.steps):
        panels.append(Panel(alone, alone_words))
        captions.append(caption(alone_to_see))
    return figure(panels, *captions)


def _doubt(doubtful: int, count: int) -> str:
    if not doubtful:
        return ""
    which = "All points are hollow" if doubtful == count else f"Hollow points ({doubtful} of {count})"
    return (
        f" {which}{':' if doubtful == count else ' are'} not to be trusted: too little variety survived in their runs."
    )


def relevance(contents: FitContents) -> Html:
    """The columns whose shuffling costs most."""
    told, word = contents.relevance, score_word(contents)
    if not told.names:
        return element("p", "No relevance was computed.")
    order = np.argsort(-np.nan_to_num(np.asarray(told.mean, float), nan=-np.inf), kind="stable")
    top = order[:MOST_COLUMNS]
    names = [told.names[i] for i in top]
    mean, deviation = np.asarray(told.mean)[top], np.asarray(told.deviation)[top]
    dots = interactive.relevance(names, mean, deviation, f"fall in {word}")
    words = (
        f"{names[0]} matters most: shuffling it lowers {word} by {with_error(mean[0], deviation[0])}. "
        f"{len(names)} columns are drawn, the least of them {names[-1]} with {with_error(mean[-1], deviation[-1])}."
    )
    some = f" The first {MOST_COLUMNS} of {len(order)} columns." if len(order) > MOST_COLUMNS else ""
    to_see = (
        f"How much {word} on held-out rows falls when one column is shuffled, with one standard deviation over "
        f"shuffles. A bar that reaches the line at zero: the column may not matter.{some}"
    )
    columns = {
        "column": [told.names[i] for i in order],
        "mean": np.asarray(told.mean)[order],
        "deviation": np.asarray(told.deviation)[order],
    }
    return figure([Panel(dots, words)], caption(to_see, csv_link("relevance", columns)))


def predictions(contents: FitContents) -> Html:
    """Numbers predicted against numbers observed."""
    observed, predicted = np.asarray(contents.observed, float), np.asarray(contents.predicted, float)
    error = number(np.sqrt(np.mean((predicted - observed) ** 2)) if observed.size else None, 3)
    words = (
        f"{whole(observed.size)} held-out {contents.unit}s about the diagonal, off by {error} in the root mean square."
    )
    drawn = len(interactive.thinned(observed.size))
    some = f" {whole(drawn)} of {whole(observed.size)} {contents.unit}s are drawn." if drawn < observed.size else ""
    to_see = (
        f"Each point is a {contents.unit} that the network has not seen; on the line, the prediction is right. "
        f"The typical error (root mean square) is {error}.{some}"
    )
    points = interactive.predictions(observed, predicted, contents.target)
    link = csv_link("predictions", {"observed": observed, "predicted": predicted})
    return figure([Panel(points, words, square=True)], caption(to_see, link))


def confusion(contents: FitContents) -> Html:
    """Which classes are taken for which."""
    observed, predicted = np.asarray(contents.observed, int), np.asarray(contents.predicted, int)
    size = len(contents.classes)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (observed, predicted), 1)
    right = int(np.trace(counts))
    wrong = counts * (1 - np.eye(size, dtype=int))
    row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
    times = "once" if wrong.max() == 1 else f"{whole(wrong.max())} times"
    worst = (
        f" The commonest mistake: {contents.classes[row]} taken for {contents.classes[column]}, {times}."
        if wrong.max()
        else ""
    )
    words = f"{whole(right)} of {whole(counts.sum())} held-out {contents.unit}s are on the diagonal.{worst}"
    percent = " and percent of the row" if size <= interactive.SHARES_FIT else ""
    to_see = (
        f"Rows are what was observed, columns what was predicted, in counts{percent}; a fuller shade is a larger share "
        f"of the row. On the diagonal, the prediction is right: {whole(right)} of {whole(counts.sum())}.{worst}"
        f"{' On a narrow screen the matrix scrolls sideways.' if size > SHRINKS_WELL else ''}"
    )
    matrix = interactive.confusion(counts, contents.classes)
    columns = {
        "observed": [contents.classes[i] for i in range(size) for _ in range(size)],
        "predicted": list(contents.classes) * size,
        "count": counts.ravel(),
    }
    least = 130 + CELL * size if size > SHRINKS_WELL else 0
    return figure([Panel(matrix, words, least_width=least)], caption(to_see, csv_link("confusion", columns)))
