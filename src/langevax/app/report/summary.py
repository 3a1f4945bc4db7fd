"""The worth of a fit in sentences: the terminal prints them, and the page begins its sections with them."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from langevax.app.evaluation.certainty import Calibration, Coverage
from langevax.app.evaluation.comparison import Comparison, Score
from langevax.app.evaluation.holdout import Relevance, TrainTestSplit
from langevax.app.evaluation.metrics import Measured, positive_class
from langevax.app.report.numbers import fixed, number, whole, with_error
from langevax.predictive_law.law_certificate import ANOTHER_LAW
from langevax.predictive_law.law_search import SMALLER_SHARE

RARE = 0.2  # share of the rows, below which a class is rare
TOO_GOOD_R2, TOO_GOOD_LOSS = (
    0.98,
    0.15,
)  # above the first, or below this share of the base rate's log loss
LOOKED_AT = 3  # columns that matter most
COMPARABLE = 0.1  # share of the largest relevance
FEWEST_FOUND = 30  # rows of a class, below which its scores are said to be uncertain
FEWEST_ROWS = (
    50  # scored, below which differences between methods are hardly more than chance
)
SHARES = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
)  # of the rows, those with the highest probabilities
MINUS = re.compile(r"(?<![\w.])-(?=\d)")
RAISED_EFFORT = re.compile(
    r"raise effort \(it was [^)]*\)"
)  # of a law's verdict, in Python


def worth(
    comparison: Comparison,
    target: str,
    classes: tuple[str, ...],
    unit: str = "row",
    relevance: Relevance | None = None,
    like_ids: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the sentences at the top: whether the model is of use, beside the others, and what they rest on.

    Args:
        comparison: the scores.
        target: its name.
        classes: empty for regression.
        unit: what a row is called.
        relevance: of the columns; None where they have no meaning.
        like_ids: columns that may only number rows or groups of them.
    """
    sentences = (
        _of_classes(comparison, classes, target, unit)
        if classes
        else _of_numbers(comparison, target)
    )
    sentences[1] = f"Measured on {scored_rows(comparison, unit)}: {sentences[1]}"
    if beside := _beside_others(comparison):
        sentences.append(beside)
    if classes and (rare := _rare_classes(comparison, classes, unit)):
        sentences.append(rare)
    if len(comparison.rows) < FEWEST_ROWS:
        sentences.append(
            f"{_count(len(comparison.rows), unit).capitalize()} are few: a difference between methods may be chance. "
            f"Add {unit}s before you rely on one."
        )
    if relevance is not None and (
        first := [name for name in _first(relevance, LOOKED_AT) if name in like_ids]
    ):
        which = "is" if len(first) == 1 else "are"
        sentences.append(
            f"{_quoted(first)} {which} among the columns that matter most, and may only number {unit}s or groups of "
            f"them, which says nothing of new {unit}s: if so, fit without {'it' if len(first) == 1 else 'them'}, "
            f"or with --group where several {unit}s belong together."
        )
    if (
        relevance is not None
        and _too_good(comparison)
        and (first := _first(relevance, 2))
    ):
        names = _quoted(first)
        which = (
            "which matters most, is" if len(first) == 1 else "which matter most, are"
        )
        sentences.append(
            f"So good a score is rare: check that {names}, {which} known before {target!r} is."
        )
    return tuple(sentences)


def _first(relevance: Relevance, most: int) -> list[str]:
    """Return the columns that matter most."""
    mean = np.nan_to_num(relevance.mean, nan=-np.inf)
    order = np.argsort(-mean, kind="stable")[:most]
    return [
        relevance.names[i]
        for i in order
        if mean[i] > 0 and mean[i] >= COMPARABLE * mean.max()
    ]


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))


def scored_rows(comparison: Comparison, unit: str = "row") -> str:
    """Return on which rows the scores are.

    Example:
        >>> observed, zeros = np.zeros(3), np.zeros(3, int)
        >>> scored_rows(Comparison(zeros, zeros, observed, observed, ()))
        '3 held-out rows'
    """
    count = _count(len(comparison.rows), unit)
    if comparison.num_folds == 1:
        new = (
            f", of other {comparison.grouped_by!r} than the training {unit}s"
            if comparison.grouped_by
            else ""
        )
        return count.replace(f" {unit}", f" held-out {unit}", 1) + new
    without = (
        f"all {unit}s of its {comparison.grouped_by!r}"
        if comparison.grouped_by
        else "it"
    )
    return f"{count}, each scored by a {comparison.word} trained without {without} ({comparison.num_folds} folds)"


def error_source(comparison: Comparison, unit: str = "row") -> str:
    """Return what standard errors are over.

    Example:
        >>> observed, zeros = np.zeros(3), np.zeros(3, int)
        >>> error_source(Comparison(zeros, zeros, observed, observed, (), grouped_by="who"))
        "values of 'who' and folds"
    """
    return (
        f"values of {comparison.grouped_by!r} and folds"
        if comparison.grouped_by
        else f"{unit}s and folds"
    )


def split_sizes(split: TrainTestSplit) -> str:
    """Return how many rows and groups train and are held out.

    Example:
        >>> rows = {"train": np.arange(3), "test": np.arange(3, 4), "row_groups": np.array([0, 0, 1, 2])}
        >>> empty = {"names": (), "groups": {}, "quantities": (), "inputs": np.zeros((4, 0)), "targets": np.zeros(4)}
        >>> split_sizes(TrainTestSplit("t.csv", "y", "regression", (), **empty, **rows, grouped_by="who"))
        "3 rows to train on, 1 held out: 2 and 1 values of 'who'"
    """
    sizes = f"{_count(len(split.train), split.unit)} to train on, {whole(len(split.test))} held out"
    if split.row_groups is None:
        return sizes
    own, new = (
        whole(len(np.unique(split.row_groups[rows])))
        for rows in (split.train, split.test)
    )
    return f"{sizes}: {own} and {new} values of {split.grouped_by!r}"


def certainty(
    coverage: Coverage | None,
    calibration: Calibration | None,
    classes: tuple[str, ...],
    unit: str = "row",
    dates: Sequence[str] = (),
    held_out: tuple[str, float, int] | None = None,
) -> str:
    """Return how far single predictions can be relied on; empty where nothing is known.

    Args:
        coverage: of intervals or sets.
        calibration: of classes.
        classes: empty for regression.
        unit: what a row is called.
        dates: names of the inputs that are dates.
        held_out: the score of the saved network on rows that it has not seen: its name, it, and the number of rows.
    """
    parts = []
    if held_out is not None:
        name, score, rows = held_out
        parts.append(
            f"The saved model has {name} {number(score, 3)} on the {_count(rows, unit)} of holdout.csv, which the "
            "scores by folds contain, too."
        )
    if coverage is not None:
        rows = f"{whole(coverage.inside)} of {_count(coverage.num_rows, f'held-out {unit}')}"
        share, nominal = _percent(coverage.share), _percent(coverage.nominal)
        if classes:
            parts.append(
                f"Sets of classes made to contain the right one for {nominal} of new {unit}s do so for {rows} "
                f"({share}), with {number(coverage.width, 3)} of {len(classes)} classes on average."
            )
            if (
                coverage.rarest is not None
                and coverage.rarest[2] < RARE * coverage.num_rows
            ):
                place, own, size = coverage.rarest
                rows = f"{whole(own)} of {_count(size, unit)}"
                parts.append(
                    f"Of {classes[place]!r}, the rarest class of these {unit}s, they do so for {rows}."
                )
        else:
            parts.append(
                f"Intervals made to contain {nominal} of new targets contain {rows} ({share}); they are "
                f"{number(coverage.width, 3)} wide on average, where {nominal} of the targets spread over "
                f"{number(coverage.spread, 3)}."
            )
            if coverage.clipped:
                parts.append(
                    f"{whole(coverage.clipped)} of these {_count(coverage.num_rows, 'interval')} would begin below 0, "
                    "where no target of the table is, and begin at 0."
                )
    if calibration is not None:
        off = np.abs(calibration.observed - calibration.predicted) > 2 * np.maximum(
            calibration.error, 1e-9
        )
        bins, of = int(off.sum()), len(off)
        judged = (
            "as often as predicted"
            if not bins
            else f"as often as predicted in {of - bins} of {of} groups"
        )
        happens = "is right" if len(classes) > 2 else "happens"
        parts.append(
            f"Grouped by probability, {calibration.event} {happens} {judged}, within two standard errors, on "
            f"{_count(int(calibration.num_rows.sum()), unit)}."
        )
    if dates:
        parts.append(
            f"Scores are of {unit}s from the same period as the training {unit}s, by {dates[0]!r}: to learn how well "
            f"it predicts the future, fit the earlier {unit}s alone and predict the later ones."
        )
    return " ".join(parts)


def optimum(
    certificate: dict[str, Any], temperature: float, num_rows: int, unit: str = "row"
) -> str:
    """Return what the certificate says, and of what.

    Example:
        >>> bounds = {"lower_bound": 0.2334, "upper_bound": 0.2361, "trustworthy": True, "verdict": ""}
        >>> optimum(bounds, 0.135, 353).partition(" (")[0]
        'The training objective, on 353 rows at temperature 0.135, has its global minimum between 0.2334 and 0.2361'
        >>> optimum(bounds | {"trustworthy": False, "verdict": "Too wide; raise effort."}, 0.1, 9).partition(". ")[2]
        'Too wide; go on with langevax certify and a larger --effort.'
    """
    if not certificate:
        return (
            "Not certified: the distance from the best possible network is not known."
        )
    rows = f"on {_count(num_rows, unit)} at temperature {temperature:.3g}"
    if not certificate["trustworthy"]:
        verdict = str(certificate["verdict"]).replace(
            "raise effort", "go on with langevax certify and a larger --effort"
        )
        return f"The distance from the global minimum of the training objective, {rows}, is not known. {verdict}"
    low, high = certificate["lower_bound"], certificate["upper_bound"]
    places = min(max(1 - int(np.floor(np.log10(max(high - low, 1e-8)))), 2), 8)
    return (
        f"The training objective, {rows}, has its global minimum between {fixed(low, places)} and "
        f"{fixed(high, places)} (95 % each end; the lower one unless a narrow minimum was missed by all searches). "
        "This says how low training can go, and nothing about how well the network predicts."
    )


def law_optimum(verdict: str, num_rows: int, unit: str = "row") -> str:
    """Return what the certificate of a law says, and of what, with the command line's remedies.

    Example:
        >>> wide = "Not certified: the least value of the objective is unknown since walks did not reach this law"
        >>> law_optimum(f"{wide}; raise effort (it was 1e+08){SMALLER_SHARE}.", 9).partition("; ")[2][:48]
        'pass a larger --effort to langevax certify. The '
        >>> law_optimum(f"Not certified: it lacks mass; {ANOTHER_LAW}", 9).partition(". ")[0]
        'Not certified: it lacks mass; fit again with another --seed, and compare'
    """
    verdict = verdict.replace(SMALLER_SHARE, "").replace(
        ANOTHER_LAW, "fit again with another --seed, and compare."
    )
    verdict = RAISED_EFFORT.sub("pass a larger --effort to langevax certify", verdict)
    verdict = MINUS.sub(
        "−", verdict.replace("or certify none", "or pass --no-certificate")
    ).replace("% of", " % of")
    return (
        f"{verdict} The objective is the misfit of a law to "
        f"{_count(num_rows, f'training {unit}')} plus its divergence from the prior."
    )


def called_first(comparison: Comparison) -> list[tuple[float, int, int]]:
    """Return, for shares of the rows with the highest probability of the rarer class: (share, rows, rows found)."""
    place = positive_class(comparison.observed)
    order = np.argsort(-comparison.outputs[:, place], kind="stable")
    hits = np.cumsum(comparison.observed[order] == place)
    sizes = [(share, int(np.ceil(share * len(order)))) for share in SHARES]
    return [(share, size, int(hits[size - 1])) for share, size in sizes if size >= 5]


def value_of(measured: Measured) -> str:
    """Return the value of a metric with its error."""
    return with_error(measured.value, measured.error)


def _of_numbers(comparison: Comparison, target: str) -> list[str]:
    r2 = comparison.ours.main
    own, mean = (
        number(score.named("RMSE").value, 3)
        for score in (comparison.ours, comparison.base)
    )
    off = f"predictions are off by {own} (root mean square), the mean of the target by {mean}."
    if not _beats_the_base(comparison):
        return [f"No better than always predicting the mean: R² {value_of(r2)}.", off]
    explained = f"Explains {_share(r2)} of the variance of {target!r}; always predicting the mean explains none."
    return [explained, off]


def _of_classes(
    comparison: Comparison, classes: tuple[str, ...], target: str, unit: str
) -> list[str]:
    ours, base = comparison.ours, comparison.base
    beside = base.main
    loss = f"log loss {number(ours.value, 3)}, and {number(base.value, 3)} by the shares of the classes"
    if np.isfinite(beside.difference_error):
        more = "more" if beside.difference < 0 else "less"
        loss += (
            f": {with_error(abs(beside.difference), beside.difference_error)} {more}"
        )
    loss += "."
    if not _beats_the_base(comparison):
        return ["Its probabilities are no better than the shares of the classes.", loss]
    if len(classes) == 2:
        place = positive_class(comparison.observed)
        rare, other = (
            f"{target} = {name}" if name.replace(".", "").isdecimal() else name
            for name in (classes[place], classes[1 - place])
        )
        ranks = f"Ranks {rare!r} above {other!r} in {_share(ours.named('AUC'))} of pairs (AUC); guessing, in 50 %."
        return [ranks, loss]
    frequent = classes[int(np.bincount(comparison.observed).argmax())]
    often = _percent(base.named("accuracy").value)
    right = f"Right on {_share(ours.named('accuracy'))} of {unit}s; always answering {frequent!r} is right on {often}."
    return [right, loss]


def _beats_the_base(comparison: Comparison) -> bool:
    return comparison.base.main.relation == "worse"


def _too_good(comparison: Comparison) -> bool:
    own, base = comparison.ours.value, comparison.base.value
    return (
        own > TOO_GOOD_R2
        if comparison.ours.main.metric == "R2"
        else own < TOO_GOOD_LOSS * base
    )


def _beside_others(comparison: Comparison) -> str:
    others = [score for score in comparison.ranked if not score.ours and not score.base]
    if not others:
        return ""
    better = [score for score in others if score.main.relation == "better"]
    level = [score for score in others if score.main.relation == "level"]
    count = f"{len(others)} other methods" if len(others) > 1 else "the other method"
    metric = {"R2": "R²"}.get(comparison.ours.main.metric, comparison.ours.main.metric)
    if better:
        own, values = comparison.ours.value, [score.value for score in better]
        digits = next(
            (
                d
                for d in (3, 4, 5)
                if number(own, d) not in [number(value, d) for value in values]
            ),
            6,
        )
        shown = _joined([number(value, digits) for value in values])
        return (
            f"Of {count}, {_listed(better)} did better beyond the error of the difference: {metric} {shown} against "
            f"{number(own, digits)}."
        )
    if level:
        simple = "".join(
            _simplest(score.main) for score in level if score.name == "linear"
        )
        rest = [score for score in others if score not in level]
        worse = f" Worse: {_listed(rest)}." if rest else ""
        return f"Level with it, within error: {_listed(level)}.{simple}{worse}"
    return f"Better than all of {count}, beyond the error of the difference."


def _rare_classes(comparison: Comparison, classes: tuple[str, ...], unit: str) -> str:
    sizes = np.bincount(comparison.observed, minlength=len(classes))
    place = int(np.where(sizes > 0, sizes, sizes.max() + 1).argmin())
    if sizes[place] >= RARE * len(comparison.rows) and sizes[place] >= FEWEST_FOUND:
        return ""
    called = comparison.called == place
    right = int(np.sum(called & (comparison.observed == place)))
    sentence = (
        f"Of {_count(len(comparison.rows), unit)}, {whole(sizes[place])} are {classes[place]!r}: "
        f"{_answer(comparison, classes, place)} finds {whole(right)} of them, with "
        f"{whole(int(called.sum()) - right)} false alarms."
    )
    if len(classes) == 2 and comparison.threshold == 0.5 and 2 * right < sizes[place]:
        sentence += (
            " To find more, with more false alarms, fit with --threshold balanced."
        )
    if len(classes) == 2 and (first := called_first(comparison)):
        share, size, hits = min(first, key=lambda one: abs(one[0] - 0.1))
        sentence += f" The {_percent(share)} with the highest probability ({whole(size)}) hold {whole(hits)} of them."
    return sentence


def _answer(comparison: Comparison, classes: tuple[str, ...], place: int) -> str:
    """Return when the class at a place is answered."""
    if comparison.threshold == 0.5 or len(classes) != 2:
        return "answering the likeliest class"
    level = comparison.threshold if place == 1 else 1 - comparison.threshold
    return f"answering {classes[place]!r} from a probability of {100 * level:.2g} % on"


def _listed(scores: Sequence[Score]) -> str:
    return _joined([_name(score) for score in scores])


def _joined(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _simplest(linear: Measured) -> str:
    """Return that a linear model is simpler, and by how much it is behind where that is more than one error."""
    sentence = " The linear model is the simplest of them"
    if linear.difference > -linear.difference_error:
        return f"{sentence}."
    return f"{sentence}, and {with_error(-linear.difference, linear.difference_error)} behind."


def _name(score: Score) -> str:
    named = {
        "linear": "the linear model",
        "boosted trees": "the boosted trees",
        "MLP": "the MLP",
    }
    named |= {name: f"the {name}" for name in ("kernel machine", "random forest")}
    return named.get(score.name, score.name)


def _share(measured: Measured) -> str:
    """Return a metric that is a share as percent, with its error."""
    if not np.isfinite(measured.error):
        return _percent(measured.value)
    return f"{with_error(100 * measured.value, 100 * measured.error)} %"


def _percent(share: float) -> str:
    """Return a share as percent, with a decimal where it is near an end."""
    value = 100 * share
    near = 0 < value < 10 or 90 < value < 100
    return f"{value:.1f} %".replace(".0 %", " %") if near else f"{value:.0f} %"


def _count(size: int, unit: str) -> str:
    return f"{whole(size)} {unit}{'' if size == 1 else 's'}"
