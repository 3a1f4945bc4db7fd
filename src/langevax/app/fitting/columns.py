"""A table of numbers, dates and words: find target and inputs, split the rows, encode."""

from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing
from langevax.app.fitting.prepared import (
    FitData,
    check_size,
    remarks_and_warnings,
    split_of,
    task_of,
    without_target,
)
from langevax.app.fitting.reading import ColumnsRead, table_reading
from langevax.app.fitting.splitting import (
    HELD_OUT,
    copies_of,
    of_repeated_names,
    row_groups,
    split_rows,
)
from langevax.app.options import FitOptions
from langevax.app.report.summary import split_sizes
from langevax.app.tables.columns import (
    of_far_values,
    of_kinds,
    of_rows_apart,
    of_totals,
    read_columns,
)
from langevax.app.tables.exposures import check_column, check_values
from langevax.app.tables.files import LoadedTable
from langevax.app.tables.leaks import leaks
from langevax.app.tables.records import Decision, option, sentences
from langevax.app.tables.schema import Column, Encoder, Schema, learn, useful
from langevax.app.tables.styles import Choices
from langevax.app.tables.targets import check_family, read_target


def prepare_columns(options: FitOptions, table: LoadedTable) -> FitData:
    """Prepare columns of numbers, dates and words."""
    read = _read(options, table)
    target = read.target
    check_size(read.frame.height, options)
    groups, of_groups = row_groups(options.group, table.frame, target.rows)
    train, test, of_split = split_rows(target, HELD_OUT, options.seed, groups)
    columns, of_columns = learn(read.frame[train.tolist()], read.styles)
    split = split_of(options, target, (train, test), groups, **_encoded(columns, read))
    suspects = _suspects(read)
    decisions = (
        *table.decisions,
        *of_totals(read.readings),
        *of_rows_apart(read.readings),
        *([] if options.group else of_repeated_names(read.readings, read.styles)),
        *of_kinds(table.frame, read.readings),
        *of_far_values(read.readings),
        *read.readings[options.target].decisions,
        *read.left_out,
        *of_columns,
    )
    remarks, warnings = remarks_and_warnings(decisions)
    lacking = without_target(table.frame.height - len(target.rows), "row")
    beside = [*of_split, *of_groups, *copies_of(read.frame, target)]
    words, summary = _described(table.frame, read, len(split.names))
    task = task_of(options, target)
    in_order = _in_order(
        options.target, task, decisions, [*lacking, f"{split_sizes(split)}.", *beside]
    )
    return FitData(
        schema=Schema(
            options.target,
            target.task,
            target.classes,
            columns,
            (*decisions, *suspects),
            target.task == "regression" and bool(np.min(target.values) >= 0),
            options.exposure or "",
        ),
        split=split,
        notes=lacking + remarks + beside,
        summary=summary,
        inputs=split.inputs,
        names=_row_names(table.frame, read),
        reading=table_reading(read, words, in_order, suspects),
        task=task,
        warnings=warnings,
    )


def _in_order(
    target: str,
    task: str,
    decisions: tuple[Decision, ...],
    of_file: list[str],
) -> list[Decision]:
    """Return the sentence on the target, the decisions, and the sentences on the rows of the file."""
    return [
        Decision("file", f"{task[0].upper()}{task[1:]}.", target),
        *decisions,
        *(Decision("file", sentence) for sentence in of_file),
    ]


def _read(options: FitOptions, table: LoadedTable) -> ColumnsRead:
    """Return the target and the columns to learn from, as they are read."""
    choices = Choices.parse(options.read, table.frame.columns)
    group = [options.group] if options.group else []
    frame = table.frame.drop([*options.drop, *group])
    readings = read_columns(frame, choices, table.separator)
    task, asked_by = options.asked
    reading = readings[options.target]
    target = read_target(frame, options.target, task, reading, asked_by)
    if options.family is not None:
        check_family(target, options.target, options.family)
    if options.threshold != "0.5" and len(target.classes) != 2:
        number = len(target.classes) or "numbers"
        raise BadInput(
            f"--threshold {options.threshold} is for two classes, and --target "
            f"{options.target!r} has {number}; leave it out."
        )
    inputs = {name: one for name, one in readings.items() if name != options.target}
    frame, styles, left_out = useful(inputs, options.keep, target.rows)
    if options.exposure is not None:
        check_column(styles, options.exposure)
        where = option("--exposure", options.exposure)
        check_values(frame[options.exposure], where, target.rows)
    if not styles:
        reasons = " ".join(sentences(left_out)) or "It is the only one."
        raise BadInput(
            f"TABLE {str(options.table)!r} has no column to learn {options.target!r} "
            f"from. {reasons}"
        )
    return ColumnsRead(options, target, readings, frame, styles, left_out)


def _suspects(read: ColumnsRead) -> list[Decision]:
    """Return decisions on columns that may leak the target."""
    exposure = read.options.exposure
    target = read.target
    frame = read.frame.drop([exposure] if exposure else [])
    return leaks(frame, target.values, target.task)


def _encoded(columns: tuple[Column, ...], read: ColumnsRead) -> dict[str, Any]:
    """Return inputs and their names, as a split takes them."""
    encoder = Encoder(columns)
    styles = read.styles
    dates = [name for name, style in styles.items() if style.kind == "date"]
    return {
        "inputs": encoder(read.frame),
        "names": encoder.names,
        "groups": encoder.groups,
        "quantities": encoder.quantities,
        "dates": tuple(name for name in dates if not styles[name].clock),
        "clocks": tuple(name for name in styles if styles[name].clock),
    }


def _described(
    table: pl.DataFrame, read: ColumnsRead, num_inputs: int
) -> tuple[str, dict[str, Any]]:
    """Return how many columns of each kind are used and what is missing, in words and as numbers."""
    missing = {one.name: one.null_count() for one in read.frame if one.null_count()}
    styles = read.styles.values()
    kinds = [style.kind for style in styles]
    used = {kind: kinds.count(kind) for kind in ("numeric", "categorical", "date")}
    clocks = sum(style.clock for style in styles)
    shown = {
        "of numbers": used["numeric"],
        "of words": used["categorical"],
        "of dates": used["date"] - clocks,
        "of times or durations": clocks,
    }
    words = ", ".join(f"{number:,} {kind}" for kind, number in shown.items() if number)
    lacking = "none missing"
    if missing:
        number = count(sum(missing.values()), "missing value")
        lacking = f"{number} in {listing(missing, most=3)}"
    summary = {
        "rows": table.height,
        "columns": table.width,
        "used": used,
        "missing": missing,
    }
    return f"{words}, as {count(num_inputs, 'input')}; {lacking}", summary


def _row_names(table: pl.DataFrame, read: ColumnsRead) -> pl.DataFrame:
    """Return the numbers of the rows, and the first column that was left out because it identifies them."""
    rows = read.target.rows
    names = pl.DataFrame({"row": rows + 1})
    for one in read.left_out:
        reading = read.readings.get(one.column)
        if reading is not None and reading.identifies_rows:
            if one.column.lower() in ("row", "observed", "predicted"):
                return names
            return names.with_columns(table[one.column][rows.tolist()])
    return names
