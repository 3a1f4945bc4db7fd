"""The figures of a fit on curves, each with its caption, its words for those who do not see it, and its data."""

import numpy as np

from langevax.figures import moving
from langevax.figures.interactive import OURS
from langevax.figures.moving import Moved
from langevax.report import curve_pictures
from langevax.report.curve_contents import CurveContents, Functions, Sample, Slope
from langevax.report.numbers import number, whole
from langevax.report.page import Html, Panel, caption, csv_link, figure


def curves(told: CurveContents) -> Html:
    """What it learned from: a sample of curves, as they were given, and as the network sees them."""
    panels = [Panel(curve_pictures.sample(each, told.time), _words(each)) for each in told.given]
    panels += [Panel(curve_pictures.sample(each, told.time), _words(each, "seen by the network")) for each in told.seen]
    first = told.given[0]
    shown = sum(len(group.curves) for group in first.groups)
    some = f"{whole(shown)} of {whole(first.size)} training curves" if shown < first.size else "All training curves"
    groups = "by thirds of the target" if first.ordered else "by class"
    to_see = f"{some}, in colour and dash {groups}."
    if told.seen:
        which = "The last picture is" if len(told.seen) == 1 else "The last pictures are"
        to_see += f" {which} what the network sees of them: sums of smooth waves."
    return figure(panels, caption(to_see, csv_link("curves", _table(told.given))))


def slopes(told: CurveContents) -> Html:
    """Which parts of a curve matter."""
    panels = []
    for each in told.slopes:
        place = curve_pictures.strongest(each)
        words = (
            f"Median of beta of t, the answer of {told.answer} to a change of the {each.label} at t: strongest at "
            f"{number(each.grid[place], 4)}, where it is {number(each.median[place], 3)}."
        )
        above = f"β(t), answer to {each.label}"
        panels.append(Panel(curve_pictures.slopes(each, told.time, above), words))
    what = told.slopes[0].label if len(told.slopes) == 1 else "curve"
    to_see = (
        f"How {told.answer} answers to a small change of the {what} at each t: above zero it rises, below it falls, at "
        "zero it does not care. The line is the median over training curves, the darker band holds half of them, the "
        "lighter nine tenths: a linear model would have one line for all. The circle marks where the median is "
        "strongest."
    )
    return figure(panels, caption(to_see, csv_link("slopes", _columns(told.slopes))))


def weights(told: CurveContents) -> Html:
    """What the neurons look at."""
    panels = []
    for each in told.weights:
        prior = np.inf if each.prior is None else each.prior
        beyond = float(np.mean((each.most[1] > prior) | (each.most[0] < -prior)))
        words = (
            f"Weight functions theta of t of the neurons on the {each.label}: nine tenths of them reach beyond the "
            f"prior's band over {beyond:.0%} of the times."
        )
        above = f"θ(t), weight of {each.label}"
        panels.append(Panel(curve_pictures.functions(each, told.time, above, OURS), words))
    to_see = (
        "The weights of a neuron are a function of t, and it sees the mean of curve times weight. The line is the "
        "median over all neurons, each turned so that it pushes the output up; the darker band holds half of them, the "
        "lighter nine tenths. Between the dashed lines were nine tenths before training: where the band has left them, "
        "or the median has left zero, the curves have told the neurons something."
    )
    return figure(panels, caption(to_see, csv_link("weights", _columns(told.weights))))


def moving_slope(slope: Slope, frames: np.ndarray) -> Moved:
    """The median slope as it comes about."""
    values, none = np.asarray(slope.values)[frames], np.zeros(0)
    above = f"β(t), answer to {slope.label}"
    picture = moving.curve(slope.grid, values, none, none, x_label=slope.time, y_label=above)
    place = int(np.abs(values[-1]).argmax())
    words = f"Median of beta of t at the last step: {slope.answer} answers most at {number(slope.grid[place], 4)}."
    to_see = (
        f"What the neurons make together: how {slope.answer} answers to a change of the {slope.label} at each t, the "
        "median over training curves. The weights at the left are of waves that a curve is a sum of: wave k rises and "
        "falls k times, wave 0 is the level."
    )
    return Moved("slopes", picture, words, to_see)


def _words(told: Sample, how: str = "given") -> str:
    groups = "; ".join(f"{len(group.curves)} of {group.name}" for group in told.groups)
    return f"Training curves, {told.label}, as {how}: {groups}."


def _table(samples: tuple[Sample, ...]) -> dict[str, list]:
    """A row a value."""
    rows = [
        (sample.label, group.name, i, t, x)
        for sample in samples
        for group in sample.groups
        for i, (times, values) in enumerate(group.curves)
        for t, x in zip(times.tolist(), values.tolist(), strict=True)
    ]
    heads = ("channel", "group", "curve", "t", "value")
    return {head: [row[i] for row in rows] for i, head in enumerate(heads)}


def _columns(told: tuple[Functions, ...]) -> dict[str, np.ndarray]:
    """A row a time."""
    parts = {"quarter": lambda f: f.half[0], "three_quarters": lambda f: f.half[1]}
    parts |= {
        "twentieth": lambda f: f.most[0],
        "nineteen_twentieths": lambda f: f.most[1],
        "median": lambda f: f.median,
    }
    if told[0].prior is not None:
        parts["prior"] = lambda f: f.prior
    columns = {"channel": np.concatenate([np.full(len(f.grid), f.label, object) for f in told])}
    columns["t"] = np.concatenate([f.grid for f in told])
    return columns | {name: np.concatenate([part(f) for f in told]) for name, part in parts.items()}
