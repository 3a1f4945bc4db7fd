"""Printed output of `langevax fit`, in order."""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from langevax.app.errors import count
from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.metrics import Measured
from langevax.app.fit import FitOptions
from langevax.app.fitting.data import FitData
from langevax.app.folder import REPORT, RESULT, SCHEMA, Folder
from langevax.app.output import Output
from langevax.app.report.contents import LawContents
from langevax.app.report.law import (
    COEFFICIENT_HEADER,
    CURVE_HEADER,
    INTERVAL_LABELS,
    coefficient_rows,
    curve_rows,
)
from langevax.app.report.numbers import with_error
from langevax.app.report.summary import split_sizes, value_of

MOST_NOTES = 20  # that are printed


def print_data(output: Output, options: FitOptions, data: FitData) -> None:
    """Print what was read, and how it is used."""
    summary, split = data.summary, data.split
    output.say(
        "Table",
        f"{options.table}: {count(summary['rows'], 'row')}, {count(summary['columns'], 'column')}",
    )
    output.say(*data.description)
    for note in data.notes[:MOST_NOTES]:
        output.note(note)
    if (more := len(data.notes) - MOST_NOTES) > 0:
        output.note(
            f"{count(more, 'more remark')}, all of them in {SCHEMA} and {RESULT}."
        )
    for sentence in (*data.warnings, *data.leaks):
        output.warn(sentence)
    output.say("Target", f"{options.target!r}: {data.task}")
    output.say("Split", split_sizes(split))


def training(
    model: Any, seconds: float, grouped_by: str = ""
) -> tuple[tuple[str, str], ...]:
    """Return steps, scaling, temperature and time, in labels and sentences."""
    end = (
        "nothing drifted"
        if model.certificate_ is None
        else "the outputs were near to the certified ones"
    )
    until = f", until {end}" if model.converged_ else ", while its outputs still moved"
    steps = count(int(model.n_iter_), "step")
    times = (
        f"{seconds:.1f} s, including {model.seconds_to_first_step_:.1f} s of compiling"
    )
    lines = [
        ("Training", f"{steps} at temperature {model.temperature_:.3g}{until}; {times}")
    ]
    if hasattr(model, "encoder_name_"):
        lines.append(
            (
                "Inputs",
                encoder_sentence(
                    model.encoder_name_, model.encoder_errors_, grouped_by
                ),
            )
        )
    lines.append(("Scaling", model.scaling_reason_))
    if model.temperature_reason_:
        lines.append(
            ("Temperature", f"{model.temperature_:.3g}, {model.temperature_reason_}")
        )
        lines.append(("Left out", held_out(model.held_out_scores_, len(model.scores_))))
    return tuple(lines)


ENCODERS = {
    "basis": "smooth waves",
    "convolutions": "short patterns",
    "signatures": "signatures",
    "shapelets": "shapelets",
}
"""The inputs of a network on curves, in words."""


def encoder_sentence(
    name: str, errors: Mapping[str, float] | None, grouped_by: str = ""
) -> str:
    """Return what a network on curves learns from, and why.

    Example:
        >>> encoder_sentence("convolutions", {"basis": 0.5, "convolutions": 0.25})
        'short patterns: leave-one-out error 0.25, of smooth waves 0.5'
        >>> encoder_sentence("basis", {"basis": 0.2, "convolutions": 0.3, "shapelets": 0.4})
        'smooth waves: leave-one-out error 0.2, of short patterns 0.3, of shapelets 0.4'
        >>> encoder_sentence("basis", None)
        'smooth waves, as asked for'
        >>> encoder_sentence("convolutions", {"basis": 0.5, "convolutions": 0.25}, "patient")
        "short patterns: error with each 'patient' left out 0.25, of smooth waves 0.5"
    """
    if errors is None:
        return f"{ENCODERS[name]}, as asked for"
    others = [
        f"of {ENCODERS[other]} {error:.3g}"
        for other, error in errors.items()
        if other != name
    ]
    what = (
        f"error with each {grouped_by!r} left out"
        if grouped_by
        else "leave-one-out error"
    )
    return ", ".join([f"{ENCODERS[name]}: {what} {errors[name]:.3g}", *others])


def held_out(scores: dict[str, float], num_rows: int) -> str:
    """Return what the networks of the folds scored on the rows left out."""
    where = (
        f"on {num_rows:,} training rows, each by a network of a fold that leaves it out"
    )
    loss = with_error(scores["loss"], scores["loss_error"])
    if "r2" in scores:
        return f"R2 {scores['r2']:.3f}, RMSE {scores['rmse']:.4g} {where}"
    others = f"{scores['linear_loss']:.3g} by logistic regression, {scores['base_loss']:.3g} by the shares of the classes"
    calibration = f"calibration error {scores['calibration_error']:.2g}"
    return f"log loss {loss} {where} ({others}); {calibration}"


def print_comparison(
    output: Output,
    comparison: Comparison,
    sentences: Sequence[str],
    certainty: str,
    unit: str,
) -> None:
    """Print what the fit is worth, and the scores of all methods."""
    output.blank()
    for i, sentence in enumerate(sentences):
        output.say("" if i else "Worth", sentence)
    if certainty:
        output.say("Certainty", certainty)
    output.blank()
    ranked = comparison.ranked
    metrics = [measured.metric for measured in ranked[0].measures]
    output.table(
        (
            f"{count(len(comparison.rows), unit)}",
            *metrics,
            f"beside the {comparison.word}",
            "seconds",
            "settings chosen by",
        ),
        [
            (
                score.name,
                value_of(score.main),
                *map(as_cell, score.measures[1:]),
                beside(score.main),
                f"{score.seconds:.2f}",
                score.note,
            )
            for score in ranked
        ],
        bold=next(i for i, score in enumerate(ranked) if score.ours),
    )
    output.blank()


def as_cell(measured: Measured) -> str:
    """Return a metric with as many decimals as say something.

    Example:
        >>> as_cell(Measured("R2", 0.50711, 0.04)), as_cell(Measured("RMSE", 71420.028, 3000.0))
        ('0.507', '71,420')
    """
    if measured.metric != "RMSE" or not measured.value > 0:
        return f"{measured.value:.{4 if measured.metric == 'log loss' else 3}f}"
    return f"{measured.value:,.{max(0, 3 - math.floor(math.log10(measured.value)))}f}"


def beside(main: Measured) -> str:
    """Return how a method compares with the network by its main metric, and the error of the difference.

    Example:
        >>> beside(Measured("R2", 0.5, 0.04, 0.01, 0.02)), beside(Measured("R2", 0.5, 0.04))
        ('level, 0.01 ± 0.02', '')
    """
    return (
        f"{main.relation}, {with_error(main.difference, main.difference_error)}"
        if main.relation
        else ""
    )


def print_law(output: Output, law: LawContents) -> None:
    """Print the misspecification curve, and the coefficients with their intervals."""
    output.table(CURVE_HEADER, curve_rows(law))
    output.blank()
    rows = coefficient_rows(law)
    output.table(
        (f"{law.effect} of {law.response}", *COEFFICIENT_HEADER[1:]), rows[:MOST_NOTES]
    )
    if (more := len(rows) - MOST_NOTES) > 0:
        output.note(f"{count(more, 'more coefficient')}, all of them in {RESULT}.")
    output.note(law.about_coefficients)
    output.blank()


def print_evaluation(
    output: Output,
    optimum: str,
    certificate: Mapping[str, Any],
    law: LawContents | None,
) -> None:
    """Print how the interval closed, where the global optimum lies, and what else was checked of a regression."""
    if certificate:
        unit = "neuron gradients" if law is None else INTERVAL_LABELS["unit"]
        if rows := interval_rows(certificate["history"]):
            output.table((unit, "lower end", "upper end", "width"), rows)
            output.blank()
        output.say("Certificate", optimum)
    if law is not None:
        output.say("Checked", law.checked)


def print_end(output: Output, folder: Folder) -> None:
    """Print where the files are."""
    output.say("Report", str(folder.path / REPORT))
    output.say("Predict with", predict_command(folder.path))


def predict_command(folder: Path) -> str:
    """Return the command that predicts for another table.

    Example:
        >>> predict_command(Path("my model"))
        "langevax predict 'my model' TABLE"
    """
    return f"langevax predict {shlex.quote(str(folder))} TABLE"


def how_to_resume(options: FitOptions, folder: Folder) -> str:
    """Return the message after an interruption."""
    if not folder.begun:
        return "Nothing was saved yet; run the same command again."
    return (
        f"The training so far is saved; continue with\n  {options.command('--resume')}"
    )


def interval_rows(
    history: Sequence[tuple[int, float, float]], most: int = 5
) -> list[tuple[str, ...]]:
    """Return some of the intervals, the last among them.

    Example:
        >>> interval_rows([(1000, 0.0, 0.5), (200000, 0.21, 0.22)])
        [('1.0e+03', '0.000', '0.500', '0.500'), ('2.0e+05', '0.210', '0.220', '0.010')]
    """
    if not history:
        return []
    chosen = np.unique(np.linspace(0, len(history) - 1, most).round().astype(int))
    places = _places(float(history[-1][2] - history[-1][1]))
    return [
        (f"{work:.1e}", *(f"{number:.{places}f}" for number in (low, high, high - low)))
        for work, low, high in (history[i] for i in chosen)
    ]


def _places(size: float) -> int:
    """Return the decimals that show two digits of a number of this size."""
    return (
        min(max(1 - math.floor(math.log10(size)), 2), 8)
        if size > 0 and math.isfinite(size)
        else 4
    )
