"""Printed output of `langevax fit`, in order."""

import math
import shlex
from pathlib import Path

from langevax.app.errors import count
from langevax.app.evaluation.metrics import Measured
from langevax.app.fitting.prepared import FitData
from langevax.app.folder import REPORT, RESULT, SCHEMA
from langevax.app.options import FitOptions
from langevax.app.output import Output
from langevax.app.report.contents import FitContents, LawContents
from langevax.app.report.law import (
    COEFFICIENT_HEADER,
    CURVE_HEADER,
    coefficient_rows,
    curve_rows,
)
from langevax.app.report.numbers import with_error
from langevax.app.report.summary import split_sizes, value_of

MOST_PRINTED = 20
"""Remarks, and rows of coefficients."""


def print_data(output: Output, options: FitOptions, data: FitData) -> None:
    """Print what was read, and how it is used."""
    rows = data.summary["rows"]
    columns = data.summary["columns"]
    sizes = f"{count(rows, 'row')}, {count(columns, 'column')}"
    output.say("Table", f"{options.table}: {sizes}")
    output.say("Curves" if data.axes else "Columns", data.reading.description)
    most = len(data.notes) if options.dry_run else MOST_PRINTED
    for note in data.notes[:most]:
        output.note(note)
    if (more := len(data.notes) - most) > 0:
        remarks = count(more, "more remark")
        output.note(f"{remarks}, all of them in {SCHEMA} and {RESULT}.")
    for sentence in (*data.warnings, *data.leaks):
        output.warn(sentence)
    output.say("Target", f"{options.target!r}: {data.task}")
    output.say("Split", split_sizes(data.split))


def print_worth(output: Output, contents: FitContents) -> None:
    """Print what the fit is worth, the scores of all methods, and of a regression what it says."""
    output.blank()
    for i, sentence in enumerate(contents.summary):
        output.say("" if i else "Worth", sentence)
    if contents.certainty:
        output.say("Certainty", contents.certainty)
    output.blank()
    comparison = contents.comparison
    ranked = comparison.ranked
    header = [
        count(len(comparison.rows), contents.unit),
        *(measured.metric for measured in ranked[0].measures),
        f"beside the {comparison.word}",
        "seconds",
        "settings chosen by",
    ]
    rows = [
        [
            score.name,
            value_of(score.main),
            *map(as_cell, score.measures[1:]),
            beside(score.main),
            f"{score.seconds:.2f}",
            score.note,
        ]
        for score in ranked
    ]
    output.table(header, rows, [score.ours for score in ranked].index(True))
    output.blank()
    if contents.law is not None:
        _print_law(output, contents.law)


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
    if not main.relation:
        return ""
    return f"{main.relation}, {with_error(main.difference, main.difference_error)}"


def _print_law(output: Output, law: LawContents) -> None:
    """Print the misspecification curve, and the coefficients with their intervals."""
    output.table(CURVE_HEADER, curve_rows(law))
    output.blank()
    rows = coefficient_rows(law)
    header = f"{law.effect} of {law.response}", *COEFFICIENT_HEADER[1:]
    output.table(header, rows[:MOST_PRINTED])
    if (more := len(rows) - MOST_PRINTED) > 0:
        output.note(f"{count(more, 'more coefficient')}, all of them in {RESULT}.")
    output.note(law.about_coefficients)
    output.blank()


def print_evidence(output: Output, contents: FitContents) -> None:
    """Print where the global optimum lies, and what else was checked of a regression."""
    if contents.certificate:
        output.say("Certificate", contents.optimum)
    if contents.law is not None:
        output.say("Checked", contents.law.checked)


def print_end(output: Output, folder: Path) -> None:
    """Print where the files are."""
    output.say("Report", str(folder / REPORT))
    output.say("Predict with", predict_command(folder))


def predict_command(folder: Path) -> str:
    """Return the command that predicts for another table.

    Example:
        >>> predict_command(Path("my model"))
        "langevax predict 'my model' TABLE"
    """
    return f"langevax predict {shlex.quote(str(folder))} TABLE"
