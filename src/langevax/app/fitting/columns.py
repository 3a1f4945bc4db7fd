"""A table of numbers, dates and words: find target and inputs, split the rows, encode."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing
from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.fitting.prepared import (
    FitData,
    check_size,
    remarks_and_warnings,
    split_of,
    task_of,
    without_target,
)
from langevax.app.fitting.reading import ColumnsRead, table_reading
from langevax.app.fitting.splitting import HELD_OUT, copies_of, row_groups, split_rows
from langevax.app.options import FitOptions
from langevax.app.report.summary import split_sizes
from langevax.app.tables.columns import read_columns
from langevax.app.tables.cycles import helpful_cycles
from langevax.app.tables.exposures import check_exposure
from langevax.app.tables.files import LoadedTable
from langevax.app.tables.leaks import leaks
from langevax.app.tables.records import Decision, sentences
from langevax.app.tables.repeats import repeated_cases
from langevax.app.tables.schema import Column, Encoder, Schema, learn, useful
from langevax.app.tables.styles import Choices
from langevax.app.tables.targets import for_family, read_target


def prepare_columns(options: FitOptions, table: LoadedTable) -> FitData:
    """Prepare columns of numbers, dates and words."""
    read = _read(options, table)
    target = read.target
    check_size(read.frame.height, options)
    groups, of_groups = row_groups(options.group, table.frame, target.rows)
    train, test, of_split = split_rows(target, HELD_OUT, options.seed, groups)
    columns, of_columns = _learn(read, train, groups)
    split = split_of(options, target, (train, test), groups, **_encoded(columns, read))
    suspects, alike = _suspects(read), _alike(read, split)
    decisions = (
        *table.decisions,
        *read.readings[options.target].decisions,
        *target.decisions,
        *read.left_out,
        *of_columns,
    )
    remarks, warnings = remarks_and_warnings(decisions)
    lacking = without_target(table.frame.height - len(target.rows), "row")
    beside = [*of_split, *of_groups, *copies_of(read.frame, target)]
    words, summary = _described(table.frame, read, len(split.names))
    task = task_of(options, target)
    of_file = [*lacking, f"{split_sizes(split)}.", *beside]
    in_order = [
        Decision("file", task[0].upper() + task[1:] + ".", options.target),
        *decisions,
        *alike,
        *(Decision("file", sentence) for sentence in of_file),
    ]
    named = {one.column for one in alike}
    return FitData(
        schema=Schema(
            options.target,
            target.task,
            target.classes,
            columns,
            (*decisions, *suspects, *alike),
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
        like_ids=tuple(name for name in _like_ids(read) if name not in named),
        warnings=warnings,
        alike=tuple(sentences(alike)),
    )


def _read(options: FitOptions, table: LoadedTable) -> ColumnsRead:
    """Return the target and the columns to learn from, as they are read."""
    choices = Choices.parse(options.read, table.frame.columns, options.target)
    group = [options.group] if options.group else []
    frame = table.frame.drop([*options.drop, *group])
    columns = read_columns(frame, choices, table.separator, table.totals)
    readings = dict(zip(frame.columns, columns, strict=True))
    task, asked_by = options.asked
    reading = readings[options.target]
    target = read_target(frame, options.target, task, reading, asked_by)
    if options.family is not None:
        target = for_family(target, options.target, options.family, ())
    if options.threshold != "0.5" and len(target.classes) != 2:
        number = len(target.classes) or "numbers"
        raise BadInput(
            f"--threshold {options.threshold} is for two classes, and --target {options.target!r} has {number}; leave "
            "it out."
        )
    inputs = frame.drop(options.target)
    of_inputs = [readings[name] for name in inputs.columns]
    frame, styles, left_out = useful(inputs, of_inputs, options.keep, target.rows)
    if options.exposure is not None:
        check_exposure(frame, styles, options.exposure, target.rows)
    if not styles:
        reasons = " ".join(sentences(left_out)) or "It is the only one."
        raise BadInput(
            f"TABLE {str(options.table)!r} has no column to learn {options.target!r} from. {reasons}"
        )
    return ColumnsRead(options, target, readings, frame, styles, left_out)


def _learn(
    read: ColumnsRead, train: np.ndarray, groups: np.ndarray | None
) -> tuple[tuple[Column, ...], list[Decision]]:
    """Return the columns of the training rows, dates with the cycles that help, and decisions on them."""
    target, training = read.target, read.frame[train.tolist()]
    columns, decisions = learn(training, read.styles)
    dates = {
        c.name: training[c.name]
        for c in columns
        if c.kind == "date" and not c.style.clock
    }
    if not dates:
        return columns, decisions
    cycles, of_cycles = helpful_cycles(
        Encoder(columns)(training),
        target.values[train],
        dates,
        len(target.classes),
        read.options.seed,
        None if groups is None else groups[train],
    )
    with_cycles = [replace(one, cycles=cycles.get(one.name, ())) for one in columns]
    return tuple(with_cycles), decisions + of_cycles


def _suspects(read: ColumnsRead) -> list[Decision]:
    """Return decisions on columns that may leak the target."""
    exposure, target = read.options.exposure, read.target
    frame = read.frame.drop([exposure] if exposure else [])
    return leaks(frame, target.values, target.task)


def _like_ids(read: ColumnsRead) -> list[str]:
    """Return inputs that may only number rows or groups of them."""
    names = [name for name in read.styles if read.readings[name].resembles_id]
    return [name for name in names if name not in read.options.keep]


def _alike(read: ColumnsRead, split: TrainTestSplit) -> list[Decision]:
    """Return a decision on a column whose rows of one value may belong together, where no group is named."""
    if split.row_groups is not None:
        return []
    outputs = split.train_targets[:, None]
    if split.classes:
        outputs = np.eye(len(split.classes))[split.train_targets]
    return repeated_cases(
        read.frame[split.train.tolist()],
        split.train_inputs,
        split.groups,
        outputs,
        _like_ids(read),
        split.dates,
        read.options.seed,
    )


def _encoded(columns: tuple[Column, ...], read: ColumnsRead) -> dict[str, Any]:
    """Return inputs and their names, as a split takes them."""
    encoder, styles = Encoder(columns), read.styles
    dates = [name for name, style in styles.items() if style.kind == "date"]
    return {
        "inputs": encoder(read.frame),
        "names": encoder.names,
        "groups": encoder.groups,
        "quantities": encoder.quantities,
        "cycles": encoder.cycles,
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
