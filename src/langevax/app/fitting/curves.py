"""A table of curves, wide or long: find curves and targets, split them, encode."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count
from langevax.app.fitting.prepared import (
    FitData,
    check_names,
    check_size,
    remarks_and_warnings,
    split_of,
    task_of,
    without_target,
)
from langevax.app.fitting.splitting import HELD_OUT, row_groups, split_rows
from langevax.app.options import FitOptions
from langevax.app.report.contents import TableReading
from langevax.app.tables.columns import ReadColumn, read_columns
from langevax.app.tables.curves import (
    LongCurves,
    Readings,
    WideCurves,
    cells_of,
    curve_columns,
    readings_of,
)
from langevax.app.tables.files import LoadedTable
from langevax.app.tables.records import sentences
from langevax.app.tables.styles import Choices, as_words
from langevax.app.tables.targets import TargetColumn, read_target
from langevax.sklearn import RandomConvolutions

MODES = 32
"""Waves that represent a curve, per channel."""


@dataclass(frozen=True)
class CurveData:
    """Curves with a target, before the split."""

    schema: WideCurves | LongCurves
    curves: Any
    """(n, G), or a list of n."""
    target: TargetColumn
    names: pl.DataFrame
    words: str
    """A description of the curves."""
    notes: list[str]
    axes: tuple[str, tuple[str, ...]]
    rows: np.ndarray
    """(n,) a row of the table of each curve."""


def prepare_curves(options: FitOptions, loaded: LoadedTable) -> FitData:
    """Prepare a table of curves."""
    table = loaded.frame
    choices = Choices.parse(options.read, table.columns)
    data = (_wide if options.curves == "wide" else _long)(options, loaded, choices)
    check_size(len(data.curves), options, "curve")
    groups, of_groups = row_groups(options.group, table, data.rows)
    train, test, of_split = split_rows(data.target, HELD_OUT, options.seed, groups)
    remarks, warnings = remarks_and_warnings(loaded.decisions)
    notes = [*remarks, *data.notes, *of_split, *of_groups]
    return FitData(
        schema=data.schema,
        split=split_of(
            options,
            data.target,
            (train, test),
            groups,
            inputs=np.empty((len(data.curves), 0)),
            unit="curve",
            names=(),
            groups={},
            quantities=(),
        ),
        notes=notes,
        summary={
            "rows": table.height,
            "columns": table.width,
            "curves": len(data.curves),
        },
        inputs=data.curves,
        names=data.names,
        reading=TableReading(table.height, data.words, remarks=tuple(notes)),
        task=task_of(options, data.target),
        warnings=warnings,
        axes=data.axes,
    )


def with_inputs_of(model: Any, data: FitData, most_alone: int = 20) -> FitData:
    """Return curves with the inputs that a fitted estimator encoded, for other methods and the report.

    Of smooth waves, wave 0 is the level. Of patterns, the directions after the first ones are taken together.
    """
    assert data.axes is not None
    encoder = model.encoder_
    channels = data.axes[1]
    patterns = isinstance(encoder, RandomConvolutions)
    if patterns:
        names = [str(name) for name in encoder.get_feature_names_out()]
    else:
        names = [
            f"wave {k}" + f" of {channel}" * (len(channels) > 1)
            for channel, scales in zip(channels, encoder.scales_, strict=True)
            for k in range(len(scales))
        ]
    alone = min(most_alone, len(names)) if patterns else len(names)
    groups = {name: [i] for i, name in enumerate(names[:alone])}
    if alone < len(names):
        groups["the others"] = list(range(alone, len(names)))
    split = replace(
        data.split,
        inputs=np.asarray(encoder.transform(data.inputs)),
        one_scale=patterns,
        names=tuple(names),
        groups=groups,
        quantities=tuple(range(len(names))),
    )
    return replace(data, split=split)


def _wide(options: FitOptions, loaded: LoadedTable, choices: Choices) -> CurveData:
    """Return the curves of a table with a row for each."""
    group = [options.group] if options.group else []
    table = loaded.frame.drop([*options.drop, *group])
    readings = read_columns(table, choices, loaded.separator)
    reading = readings[options.target]
    target = read_target(table, options.target, options.task, reading)
    inputs = table.drop(options.target)
    columns = curve_columns(inputs, options.keep, readings)
    min_columns = options.derivative + 2
    if len(columns.names) < min_columns:
        raise BadInput(
            f"TABLE {str(options.table)!r} has {count(len(columns.names), 'column')} "
            f"of values, where --curves wide with --derivative {options.derivative} "
            f"needs at least {min_columns}."
        )
    remedy = "correct it, or pass --drop with columns that are not values of the curve"
    cells = cells_of(inputs.select(columns.names), readings, remedy)
    values = np.stack(list(cells.values.values()), 1)[target.rows]
    notes = columns.notes + cells.notes + sentences(reading.decisions)
    notes += without_target(table.height - len(target.rows), "row")
    present = ~np.isnan(values).all(1)
    if not present.all():
        notes.append(f"{count(int((~present).sum()), 'row')} without a value left out.")
        values = values[present]
        target = replace(
            target, rows=target.rows[present], values=target.values[present]
        )
    missing = int(np.isnan(values).sum())
    lacking = "none missing"
    if missing:
        lacking = count(missing, "missing value")
        notes.append(f"{lacking} interpolated.")
    times = columns.times
    axis = "t, the name of the column"
    if times is None:
        times = np.linspace(0, 1, len(columns.names))
        axis = "t, even steps"
        notes.append(
            "The names of the columns are not numbers: times are even steps from 0 to "
            "1."
        )
    words = (
        f"{count(len(values), 'curve')} of {len(times):,} values from {times[0]:g} to "
        f"{times[-1]:g}; {lacking}"
    )
    return CurveData(
        schema=WideCurves(
            options.target,
            target.task,
            target.classes,
            columns.names,
            tuple(times.tolist()),
            styles=cells.styles,
        ),
        curves=values,
        target=target,
        names=pl.DataFrame({"row": target.rows + 1}),
        words=words,
        notes=notes,
        axes=(axis, ("value",)),
        rows=target.rows,
    )


def _long(options: FitOptions, loaded: LoadedTable, choices: Choices) -> CurveData:
    """Return the curves of a table with a row for each reading."""
    table = loaded.frame
    id = options.id
    time = options.time
    assert id is not None
    assert time is not None
    for option, names in (
        ("--id", [id]),
        ("--time", [time]),
        ("--value", options.value),
    ):
        check_names(table, option, names)
    used = table.select(time, *options.value, options.target)
    read = read_columns(used, choices, loaded.separator)
    readings = readings_of(table, id, time, options.value, read)
    _check_constant("--target", options.target, table, readings, id)
    if options.group is not None:
        _check_constant("--group", options.group, table, readings, id)
    rows = _rows_with_target(table[options.target], readings)
    reading = _rows_of(read[options.target], rows)
    target = read_target(table[rows.tolist()], options.target, options.task, reading)
    curves = [readings.curves[i] for i in target.rows]
    channels = tuple(options.value)
    domain, words = _described(curves, len(channels))
    axis = f"{time}, days since the first reading" if readings.dates else time
    lacking = without_target(len(readings.ids) - len(target.rows), "curve")
    return CurveData(
        schema=LongCurves(
            options.target,
            target.task,
            target.classes,
            id,
            time,
            channels,
            domain=domain,
            dates=readings.dates,
            styles=readings.styles,
        ),
        curves=curves,
        target=target,
        names=pl.DataFrame({id: [readings.ids[i] for i in target.rows]}),
        words=words,
        notes=readings.notes + sentences(reading.decisions) + lacking,
        axes=(axis, channels),
        rows=rows[target.rows],
    )


def _described(curves: list[Any], num_channels: int) -> tuple[tuple[float, float], str]:
    """Return the first and the last time, and a description."""
    times = [channel for curve in curves for channel, _ in curve]
    sizes = [len(one) for one in times]
    first = float(min(one[0] for one in times))
    last = float(max(one[-1] for one in times))
    span = f"{min(sizes):,} to {max(sizes):,}"
    if min(sizes) == max(sizes):
        span = f"{min(sizes)}"
    channels = "" if num_channels == 1 else f" in {num_channels} channels"
    words = (
        f"{count(len(curves), 'curve')}{channels} of {span} readings from {first:g} to "
        f"{last:g}"
    )
    domain = (first, last) if first < last else (first - 0.5, last + 0.5)
    return domain, words


def _rows_of(reading: ReadColumn, rows: np.ndarray) -> ReadColumn:
    return replace(reading, values=reading.values[rows.tolist()])


def _check_constant(
    option: str,
    name: str,
    table: pl.DataFrame,
    readings: Readings,
    id: str,
) -> None:
    """Raise `BadInput` where an id has two values of a column."""
    first: dict[int, str] = {}
    words = as_words(table[name]).to_list()
    for code, word in zip(readings.codes.tolist(), words, strict=True):
        if code >= 0 and word is not None and first.setdefault(code, word) != word:
            raise BadInput(
                f"{option} {name!r} varies within {id} {readings.ids[code]!r}: "
                f"{first[code]} and {word}; it must be constant for each curve: name "
                "another column, or another --id."
            )


def _rows_with_target(target: pl.Series, readings: Readings) -> np.ndarray:
    """Return a row of each curve that has the target, or its first row where none has."""
    rows = readings.first_rows.copy()
    known = as_words(target).is_not_null().to_numpy()
    present = np.flatnonzero((readings.codes >= 0) & known)[::-1]
    rows[readings.codes[present]] = present
    return rows
