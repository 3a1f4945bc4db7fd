"""A table of numbers, dates and words: find target and inputs, split the rows, encode."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing
from langevax.app.fitting.prepared import (
    NO_MISSING,
    FitData,
    check_size,
    remarks_and_warnings,
    split_of,
    task_of,
    without_target,
)
from langevax.app.fitting.reading import table_reading
from langevax.app.fitting.splitting import copies_of, row_groups, split_rows
from langevax.app.options import FitOptions
from langevax.app.report.summary import split_sizes
from langevax.app.tables.columns import read_columns
from langevax.app.tables.cycles import helpful_cycles
from langevax.app.tables.exposures import check_exposure
from langevax.app.tables.files import LoadedTable
from langevax.app.tables.inference import ReadColumn
from langevax.app.tables.leaks import leaks
from langevax.app.tables.records import Decision, sentences
from langevax.app.tables.repeats import repeated_cases
from langevax.app.tables.schema import Column, Encoder, Schema, learn, useful
from langevax.app.tables.styles import Choices, Style
from langevax.app.tables.targets import TargetColumn, for_family, read_target


def prepare_columns(options: FitOptions, table: LoadedTable) -> FitData:
    """Prepare columns of numbers, dates and words."""
    inputs, readings, target = _read(options, table)
    keep = options.keep
    frame, styles, left_out = useful(
        inputs, [readings[name] for name in inputs.columns], keep, target.rows
    )
    if options.exposure is not None:
        check_exposure(frame, styles, options.exposure, target.rows)
    if not styles:
        reasons = " ".join(sentences(left_out)) or "It is the only one."
        raise BadInput(
            f"TABLE {str(options.table)!r} has no column to learn {options.target!r} from. {reasons}"
        )
    check_size(frame.height, options)
    groups, of_groups = row_groups(options.group, table.frame, target.rows)
    train, test, of_split = split_rows(target, options.seed, groups)
    training = frame[train.tolist()]
    columns, categories = learn(training, styles)
    columns, of_cycles = _with_cycles(
        columns, training, target, train, options.seed, groups
    )
    split = split_of(
        options, target, (train, test), groups, **_encoded(columns, frame, styles)
    )
    known = [options.exposure] if options.exposure else []
    suspects = leaks(frame.drop(known), target.values, target.task)
    like_ids = tuple(
        name for name in styles if readings[name].resembles_id and name not in keep
    )
    alike: list[Decision] = []
    if groups is None:
        alike = repeated_cases(
            training,
            split.train_inputs,
            split.groups,
            _outputs(target)[train],
            like_ids,
            split.dates,
            options.seed,
        )
    words, summary = _described(table.frame, frame, styles, len(split.names))
    decisions = (
        *table.decisions,
        *readings[options.target].decisions,
        *target.decisions,
        *left_out,
        *categories,
        *of_cycles,
    )
    lacking = without_target(table.frame.height - len(target.rows), "row")
    beside = [*of_split, *of_groups, *copies_of(frame, target)]
    remarks, warnings = remarks_and_warnings(decisions)
    task = task_of(options, target)
    of_file = [f"{split_sizes(split)}.", *beside]
    dropped = dict.fromkeys(options.drop, "--drop")
    if options.group:
        dropped[options.group] = "--group"
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
        target=target,
        notes=lacking + remarks + beside,
        summary=summary,
        inputs=split.inputs,
        names=_row_names(table.frame, readings, left_out, target.rows),
        reading=table_reading(
            table.frame.height,
            words,
            readings,
            options.target,
            styles,
            dropped,
            (
                Decision("file", task[0].upper() + task[1:] + ".", options.target),
                *decisions,
                *alike,
                *(Decision("file", sentence) for sentence in [*lacking, *of_file]),
            ),
            suspects,
        ),
        task=task,
        like_ids=tuple(
            name for name in like_ids if name not in {one.column for one in alike}
        ),
        warnings=warnings,
        alike=tuple(sentences(alike)),
    )


def _read(
    options: FitOptions, table: LoadedTable
) -> tuple[pl.DataFrame, dict[str, ReadColumn], TargetColumn]:
    """Return the columns that may be inputs, how they and the target are read, and the target."""
    choices = Choices.parse(options.read, table.frame.columns, options.target)
    group = [options.group] if options.group else []
    frame = table.frame.drop([*options.drop, *group])
    read = read_columns(frame, choices, table.separator, table.totals)
    readings = dict(zip(frame.columns, read, strict=True))
    task, asked_by = options.asked
    target = read_target(
        frame, options.target, task, readings[options.target], asked_by
    )
    if options.family is not None:
        target = for_family(target, options.target, options.family, ())
    if options.threshold != "0.5" and len(target.classes) != 2:
        number = len(target.classes) or "numbers"
        raise BadInput(
            f"--threshold {options.threshold} is for two classes, and --target {options.target!r} has {number}; leave "
            "it out."
        )
    return frame.drop(options.target), readings, target


def _encoded(
    columns: tuple[Column, ...], frame: pl.DataFrame, styles: dict[str, Style]
) -> dict[str, Any]:
    """Return inputs and their names, as a split takes them."""
    encoder = Encoder(columns)
    dates = [name for name, style in styles.items() if style.kind == "date"]
    return {
        "inputs": encoder(frame),
        "names": encoder.names,
        "groups": encoder.groups,
        "quantities": encoder.quantities,
        "cycles": encoder.cycles,
        "dates": tuple(name for name in dates if not styles[name].clock),
        "clocks": tuple(name for name in styles if styles[name].clock),
    }


def _outputs(target: TargetColumn) -> np.ndarray:
    """Return (row, output) numbers, or indicators of classes."""
    if target.classes:
        return np.eye(len(target.classes))[target.values]
    return target.values[:, None]


def _described(
    table: pl.DataFrame, frame: pl.DataFrame, styles: dict[str, Style], num_inputs: int
) -> tuple[str, dict[str, Any]]:
    """Return how many columns of each kind are used and what is missing, in words and as numbers."""
    missing = {one.name: one.null_count() for one in frame if one.null_count()}
    kinds = [style.kind for style in styles.values()]
    used = {kind: kinds.count(kind) for kind in ("numeric", "categorical", "date")}
    clocks = sum(style.clock for style in styles.values())
    shown = {
        "of numbers": used["numeric"],
        "of words": used["categorical"],
        "of dates": used["date"] - clocks,
        "of times or durations": clocks,
    }
    words = ", ".join(f"{number:,} {kind}" for kind, number in shown.items() if number)
    lacking = NO_MISSING
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


def _row_names(
    table: pl.DataFrame,
    readings: dict[str, ReadColumn],
    left_out: Sequence[Decision],
    rows: np.ndarray,
) -> pl.DataFrame:
    """Return the numbers of the rows, and the first column that was left out because it identifies them."""
    names = pl.DataFrame({"row": rows + 1})
    for one in left_out:
        reading = readings.get(one.column)
        if reading is not None and reading.identifies_rows:
            if one.column.lower() in ("row", "observed", "predicted"):
                return names
            return names.with_columns(table[one.column][rows.tolist()])
    return names


def _with_cycles(
    columns: tuple[Column, ...],
    frame: pl.DataFrame,
    target: TargetColumn,
    train: np.ndarray,
    seed: int,
    groups: np.ndarray | None,
) -> tuple[tuple[Column, ...], list[Decision]]:
    """Return the columns of the training rows with the cycles of dates that help, and decisions on them."""
    dates = {
        c.name: frame[c.name] for c in columns if c.kind == "date" and not c.style.clock
    }
    if not dates:
        return columns, []
    cycles, decisions = helpful_cycles(
        Encoder(columns)(frame),
        target.values[train],
        dates,
        len(target.classes),
        seed,
        None if groups is None else groups[train],
    )
    with_cycles = [replace(one, cycles=cycles.get(one.name, ())) for one in columns]
    return tuple(with_cycles), decisions
