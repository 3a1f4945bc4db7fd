"""The worth of a fit in sentences: the terminal prints them, and the page begins its sections with them."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from langevax.app.errors import count, enumerated
from langevax.app.evaluation.certainty import Calibration, Coverage
from langevax.app.evaluation.comparison import Comparison, Score
from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.evaluation.metrics import LEVEL_ERRORS, Measured, positive_class
from langevax.app.report.numbers import fixed, short, whole, with_error
from langevax.predictive_law.law_certificate import ANOTHER_LAW
from langevax.predictive_law.law_search import SMALLER_SHARE

FEW_SCORED = 50  # scored, below which differences between methods may be chance
ON_THE_COMMAND_LINE = (
    (re.escape(SMALLER_SHARE), ""),
    (re.escape(ANOTHER_LAW), "fit again with another --seed, and compare."),
    (
        r"raise effort(?: \(it was [^)]*\))?",
        "pass a larger --effort to langevax certify",
    ),
    ("or certify none", "or pass --skip certificate"),
    (r"(?<![\w.])-(?=\d)", "−"),
    ("% of", " % of"),
)
"""What the verdict of a certificate advises in Python, and the same on the command line."""


def worth(
    comparison: Comparison,
    target: str,
    classes: tuple[str, ...],
    unit: str = "row",
) -> tuple[str, ...]:
    """Return the sentences at the top: whether the model is of use, beside the others, and what they rest on.

    Args:
        comparison: the scores.
        target: its name.
        classes: empty for regression.
        unit: what a row is called.
    """
    if classes:
        first, measured = _of_classes(comparison, classes, target, unit)
    else:
        first, measured = _of_numbers(comparison, target)
    rows = len(comparison.rows)
    sentences = [first, f"Measured on {scored_rows(comparison, unit)}: {measured}"]
    sentences += _beside_others(comparison)
    if classes:
        sentences += _rarest_class(comparison, classes, unit)
    if rows < FEW_SCORED:
        sentences.append(
            f"{count(rows, unit).capitalize()} are few: a difference between methods "
            f"may be chance. Add {unit}s before you rely on one."
        )
    return tuple(sentences)


def scored_rows(comparison: Comparison, unit: str = "row") -> str:
    """Return on which rows the scores are.

    Example:
        >>> observed, zeros = np.zeros(3), np.zeros(3, int)
        >>> scored_rows(Comparison(zeros, zeros, observed, observed, ()))
        '3 held-out rows'
    """
    rows = len(comparison.rows)
    group = comparison.grouped_by
    if comparison.num_folds == 1:
        new = f", of other {group!r} than the training {unit}s" if group else ""
        return f"{count(rows, f'held-out {unit}')}{new}"
    without = f"all {unit}s of its {group!r}" if group else "it"
    return (
        f"{count(rows, unit)}, each scored by a {comparison.word} trained without "
        f"{without} ({comparison.num_folds} folds)"
    )


def split_sizes(split: TrainTestSplit) -> str:
    """Return how many rows and groups train and are held out.

    Example:
        >>> rows = {"train": np.arange(3), "test": np.arange(3, 4), "row_groups": np.array([0, 0, 1, 2])}
        >>> empty = {"names": (), "groups": {}, "quantities": (), "inputs": np.zeros((4, 0)), "targets": np.zeros(4)}
        >>> split_sizes(TrainTestSplit("t.csv", "y", "regression", (), **empty, **rows, grouped_by="who"))
        "3 rows to train on, 1 held out: 2 and 1 values of 'who'"
    """
    sizes = (
        f"{count(len(split.train), split.unit)} to train on, {whole(len(split.test))} "
        "held out"
    )
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
            f"The saved model has {name} {short(score)} on the {count(rows, unit)} of "
            "holdout.csv, which the scores by folds contain, too."
        )
    if coverage is not None:
        rows = (
            f"{whole(coverage.inside)} of "
            f"{count(coverage.num_rows, f'held-out {unit}')}"
        )
        share = _percent(coverage.share)
        nominal = _percent(coverage.nominal)
        width = short(coverage.width)
        spread = short(coverage.spread)
        if classes:
            parts.append(
                f"Sets of classes made to contain the right one for {nominal} of new "
                f"{unit}s do so for {rows} ({share}), with {width} of {len(classes)} "
                "classes on average."
            )
        else:
            parts.append(
                f"Intervals made to contain {nominal} of new targets contain {rows} "
                f"({share}); they are {width} wide on average, where {nominal} of the "
                f"targets spread over {spread}."
            )
    if calibration is not None:
        off = np.abs(calibration.observed - calibration.predicted)
        bins = int(np.sum(off > LEVEL_ERRORS * calibration.error))
        of = len(off)
        where = f" in {of - bins} of {of} groups" if bins else ""
        happens = "is right" if len(classes) > 2 else "happens"
        parts.append(
            f"Grouped by probability, {calibration.event} {happens} as often as "
            f"predicted{where}, within two standard errors, on "
            f"{count(int(calibration.num_rows.sum()), unit)}."
        )
    if dates:
        parts.append(
            f"Scores are of {unit}s from the same period as the training {unit}s, by "
            f"{dates[0]!r}: to learn how well it predicts the future, fit the earlier "
            f"{unit}s alone and predict the later ones."
        )
    return " ".join(parts)


def optimum(
    certificate: dict[str, Any],
    temperature: float,
    num_rows: int,
    unit: str = "row",
) -> str:
    """Return what the certificate says, and of what.

    Example:
        >>> bounds = {"lower_bound": 0.2334, "upper_bound": 0.2361, "trustworthy": True, "verdict": ""}
        >>> optimum(bounds, 0.135, 353).partition(" (")[0]
        'The training objective, on 353 rows at temperature 0.135, has its global minimum between 0.2334 and 0.2361'
        >>> optimum(bounds | {"trustworthy": False, "verdict": "Too wide; raise effort."}, 0.1, 9).partition(". ")[2]
        'Too wide; pass a larger --effort to langevax certify.'
    """
    if not certificate:
        return (
            "Not certified: the distance from the best possible network is not known."
        )
    rows = f"on {count(num_rows, unit)} at temperature {temperature:.3g}"
    if not certificate["trustworthy"]:
        return (
            f"The distance from the global minimum of the training objective, {rows}, "
            f"is not known. {_on_the_command_line(certificate['verdict'])}"
        )
    low = certificate["lower_bound"]
    high = certificate["upper_bound"]
    places = min(max(1 - int(np.floor(np.log10(max(high - low, 1e-8)))), 2), 8)
    return (
        f"The training objective, {rows}, has its global minimum between "
        f"{fixed(low, places)} and {fixed(high, places)} (95 % each end; the lower one "
        "unless a narrow minimum was missed by all searches). This says how low "
        "training can go, and nothing about how well the network predicts."
    )


def law_optimum(verdict: str, num_rows: int, unit: str = "row") -> str:
    """Return what the certificate of a law says, and of what.

    Example:
        >>> wide = "Not certified: the least value of the objective is unknown since walks did not reach this law"
        >>> law_optimum(f"{wide}; raise effort (it was 1e+08){SMALLER_SHARE}.", 9).partition("; ")[2][:48]
        'pass a larger --effort to langevax certify. The '
        >>> law_optimum(f"Not certified: it lacks mass; {ANOTHER_LAW}", 9).partition(". ")[0]
        'Not certified: it lacks mass; fit again with another --seed, and compare'
    """
    return (
        f"{_on_the_command_line(verdict)} The objective is the misfit of a law to "
        f"{count(num_rows, f'training {unit}')} plus its divergence from the prior."
    )


def _on_the_command_line(verdict: str) -> str:
    for pattern, replacement in ON_THE_COMMAND_LINE:
        verdict = re.sub(pattern, replacement, verdict)
    return verdict


def value_of(measured: Measured) -> str:
    """Return the value of a metric with its error."""
    return with_error(measured.value, measured.error)


def _of_numbers(comparison: Comparison, target: str) -> tuple[str, str]:
    r2 = comparison.ours.main
    own, mean = (
        short(score.named("RMSE").value) for score in (comparison.ours, comparison.base)
    )
    off = (
        f"predictions are off by {own} (root mean square), the mean of the target by "
        f"{mean}."
    )
    if comparison.base.main.relation != "worse":
        return f"No better than always predicting the mean: R² {value_of(r2)}.", off
    return (
        f"Explains {_share(r2)} of the variance of {target!r}; always predicting the "
        "mean explains none.",
        off,
    )


def _of_classes(
    comparison: Comparison,
    classes: tuple[str, ...],
    target: str,
    unit: str,
) -> tuple[str, str]:
    ours = comparison.ours
    base = comparison.base
    loss = (
        f"log loss {short(ours.value)}, and {short(base.value)} by the shares of the "
        "classes."
    )
    if base.main.relation != "worse":
        return "Its probabilities are no better than the shares of the classes.", loss
    if len(classes) == 2:
        place = positive_class(comparison.observed)
        rare, other = (
            f"{target} = {name}" if name.replace(".", "").isdecimal() else name
            for name in (classes[place], classes[1 - place])
        )
        pairs = _share(ours.named("AUC"))
        return (
            f"Ranks {rare!r} above {other!r} in {pairs} of pairs (AUC); guessing, in "
            "50 %.",
            loss,
        )
    frequent = classes[int(np.bincount(comparison.observed).argmax())]
    right = _share(ours.named("accuracy"))
    often = _percent(base.named("accuracy").value)
    return (
        f"Right on {right} of {unit}s; always answering {frequent!r} is right on "
        f"{often}.",
        loss,
    )


def _beside_others(comparison: Comparison) -> list[str]:
    others = [score for score in comparison.ranked if not score.ours and not score.base]
    if not others:
        return []
    better, level, worse = (
        [score for score in others if score.main.relation == relation]
        for relation in ("better", "level", "worse")
    )
    all_of = f"{len(others)} other methods" if len(others) > 1 else "the other method"
    if better:
        main = comparison.ours.main
        scores = enumerated([short(score.value) for score in better])
        return [
            (
                f"Of {all_of}, {_listed(better)} did better beyond the error of the "
                f"difference: {main.metric.replace('R2', 'R²')} {scores} against "
                f"{short(main.value)}."
            )
        ]
    if level:
        behind = f" Worse: {_listed(worse)}." if worse else ""
        return [f"Level with it, within error: {_listed(level)}.{behind}"]
    return [f"Better than all of {all_of}, beyond the error of the difference."]


def _rarest_class(
    comparison: Comparison,
    classes: tuple[str, ...],
    unit: str,
    rare: float = 0.2,
) -> list[str]:
    """Return how many rows of the rarest class are found, where its share is small."""
    sizes = np.bincount(comparison.observed, minlength=len(classes))
    place = int(np.where(sizes > 0, sizes, sizes.max() + 1).argmin())
    if sizes[place] >= rare * len(comparison.rows):
        return []
    called = comparison.called == place
    right = int(np.sum(called & (comparison.observed == place)))
    sentence = (
        f"Of {count(len(comparison.rows), unit)}, {whole(sizes[place])} are "
        f"{classes[place]!r}: its answers find {whole(right)} of them, with "
        f"{whole(int(called.sum()) - right)} false alarms."
    )
    if len(classes) == 2 and comparison.threshold == 0.5:
        sentence += (
            " To find more, with more false alarms, fit with --threshold balanced."
        )
    return [sentence]


def _listed(scores: Sequence[Score]) -> str:
    names = [{"linear": "linear model"}.get(score.name, score.name) for score in scores]
    return enumerated([name if name[0].isupper() else f"the {name}" for name in names])


def _share(measured: Measured) -> str:
    """Return a metric that is a share as percent, with its error."""
    if not np.isfinite(measured.error):
        return _percent(measured.value)
    return f"{with_error(100 * measured.value, 100 * measured.error)} %"


def _percent(share: float) -> str:
    return f"{short(100 * share)} %"
