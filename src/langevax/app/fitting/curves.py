"""A table of curves, wide or long: find curves and targets, split them, encode."""

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count
from langevax.app.fitting.prepared import (
    NO_MISSING,
    FitData,
    check_names,
    check_size,
    remarks_and_warnings,
    split_of,
    task_of,
    without_target,
)
from langevax.app.fitting.splitting import row_groups, split_rows
from langevax.app.options import FitOptions
from langevax.app.report.contents import TableReading
from langevax.app.tables.columns import read_columns
from langevax.app.tables.curves import (
    LongCurves,
    Readings,
    WideCurves,
    cells_of,
    curve_columns,
    readings_of,
)
from langevax.app.tables.files import LoadedTable
from langevax.app.tables.inference import ReadColumn
from langevax.app.tables.records import sentences
from langevax.app.tables.styles import Choices, as_words
from langevax.app.tables.targets import TargetColumn, read_target
from langevax.sklearn.inputs.shapes import CurveShapes

MODES = 32
"""Waves that represent a curve, per channel."""
MOST_DIRECTIONS = 20
"""Directions of patterns whose relevance is measured one by one."""


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
    summary: dict[str, Any]
    notes: list[str]
    axes: tuple[str, tuple[str, ...]]
    rows: np.ndarray
    """(n,) a row of the table of each curve."""


def prepare_curves(options: FitOptions, loaded: LoadedTable) -> FitData:
    """Prepare a table of curves."""
    table = loaded.frame
    choices = Choices.parse(options.read, table.columns, options.target)
    data = (_wide if options.curves == "wide" else _long)(options, loaded, choices)
    check_size(len(data.curves), options, "curve")
    groups, of_groups = row_groups(options.group, table, data.rows)
    train, test, of_split = split_rows(data.target, options.seed, groups)
    names, inputs = _wave_columns(options, data, train)
    remarks, warnings = remarks_and_warnings(
        (*loaded.decisions, *data.target.decisions)
    )
    notes = [*remarks, *data.notes, *of_split, *of_groups]
    words = f"{data.words}, as {count(len(names), 'input')}, or as patterns"
    return FitData(
        schema=data.schema,
        split=split_of(
            options,
            data.target,
            (train, test),
            groups,
            inputs=inputs,
            unit="curve",
            names=names,
            groups={name: [i] for i, name in enumerate(names)},
            quantities=tuple(range(len(names))),
        ),
        target=data.target,
        notes=notes,
        summary={
            "rows": table.height,
            "columns": table.width,
            "curves": len(data.curves),
            **data.summary,
        },
        description=("Curves", words),
        inputs=data.curves,
        names=data.names,
        reading=TableReading(table.height, words, remarks=tuple(notes)),
        task=task_of(options, data.target),
        warnings=warnings,
        axes=data.axes,
    )


def with_inputs_of(model: Any, data: FitData) -> FitData:
    """Return curves with the inputs of a fitted estimator, where these are patterns: other methods get the same."""
    if data.axes is None or not isinstance(model.encoder_, CurveShapes):
        return data
    names = tuple(str(name) for name in model.encoder_.get_feature_names_out())
    drawn = min(MOST_DIRECTIONS, len(names) - 1)
    groups = {name: [i] for i, name in enumerate(names[:drawn])}
    split = replace(
        data.split,
        inputs=model.encoder_.transform(data.inputs),
        one_scale=True,
        names=names,
        groups=groups | {"the others": list(range(drawn, len(names)))},
        quantities=tuple(range(len(names))),
    )
    return replace(data, split=split)


def _wide(options: FitOptions, loaded: LoadedTable, choices: Choices) -> CurveData:
    """Return the curves of a table with a row for each."""
    group = [options.group] if options.group else []
    table = loaded.frame.drop([*options.drop, *group])
    read = read_columns(table, choices, loaded.separator, loaded.totals)
    readings = dict(zip(table.columns, read, strict=True))
    reading = readings[options.target]
    target = read_target(table, options.target, options.task, reading)
    inputs = table.drop(options.target)
    columns = curve_columns(inputs, options.keep, readings)
    min_columns = options.derivative + 2
    if len(columns.names) < min_columns:
        raise BadInput(
            f"TABLE {str(options.table)!r} has {count(len(columns.names), 'column')} of values, where --curves wide "
            f"with --derivative {options.derivative} needs at least {min_columns}."
        )
    remedy = "correct it, or pass --drop {name} where it is not a value of the curve"
    cells = cells_of(inputs.select(columns.names), readings, "column", remedy)
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
    lacking = NO_MISSING
    if missing:
        lacking = count(missing, "missing value")
        notes.append(f"{lacking} interpolated.")
    times, axis = columns.times, "t, the name of the column"
    if times is None:
        times, axis = np.linspace(0, 1, len(columns.names)), "t, even steps"
        notes.append(
            "The names of the columns are not numbers: times are even steps from 0 to 1."
        )
    words = f"{count(len(values), 'curve')} of {len(times):,} values from {times[0]:g} to {times[-1]:g}; {lacking}"
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
        summary={
            "values": len(times),
            "domain": [times[0], times[-1]],
            "missing": missing,
        },
        notes=notes,
        axes=(axis, ("value",)),
        rows=target.rows,
    )


def _long(options: FitOptions, loaded: LoadedTable, choices: Choices) -> CurveData:
    """Return the curves of a table with a row for each reading."""
    table, id, time = loaded.frame, options.id, options.time
    assert id is not None
    assert time is not None
    for option, names in (
        ("--id", [id]),
        ("--time", [time]),
        ("--value", options.value),
    ):
        check_names(table, option, names)
    used = table.select(time, *options.value, options.target)
    columns = read_columns(used, choices, loaded.separator, loaded.totals)
    read = dict(zip(used.columns, columns, strict=True))
    readings = readings_of(table, id, time, options.value, read)
    _check_constant("--target", options.target, table, readings, id)
    if options.group is not None:
        _check_constant("--group", options.group, table, readings, id)
    rows = _rows_with_target(table[options.target], readings)
    reading = _rows_of(read[options.target], rows)
    target = read_target(table[rows.tolist()], options.target, options.task, reading)
    curves = [readings.curves[i] for i in target.rows]
    channels = tuple(options.value)
    domain, words, num_readings = _described(curves, len(channels))
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
            modes=MODES,
            styles=readings.styles,
        ),
        curves=curves,
        target=target,
        names=pl.DataFrame({id: [readings.ids[i] for i in target.rows]}),
        words=words,
        summary={
            "readings": num_readings,
            "channels": len(channels),
            "domain": list(domain),
        },
        notes=readings.notes + sentences(reading.decisions) + lacking,
        axes=(axis, channels),
        rows=rows[target.rows],
    )


def _described(
    curves: list[Any], num_channels: int
) -> tuple[tuple[float, float], str, int]:
    """Return the first and the last time, a description, and the number of readings."""
    times = [channel for curve in curves for channel, _ in curve]
    sizes = [len(one) for one in times]
    first = float(min(one[0] for one in times))
    last = float(max(one[-1] for one in times))
    span = f"{min(sizes):,} to {max(sizes):,}"
    if min(sizes) == max(sizes):
        span = f"{min(sizes)}"
    channels = "" if num_channels == 1 else f" in {num_channels} channels"
    words = f"{count(len(curves), 'curve')}{channels} of {span} readings from {first:g} to {last:g}"
    domain = (first, last) if first < last else (first - 0.5, last + 0.5)
    return domain, words, sum(sizes)


def _rows_of(reading: ReadColumn, rows: np.ndarray) -> ReadColumn:
    return replace(reading, values=reading.values[rows.tolist()])


def _check_constant(
    option: str, name: str, table: pl.DataFrame, readings: Readings, id: str
) -> None:
    """Raise `BadInput` where an id has two values of a column."""
    first: dict[int, str] = {}
    words = as_words(table[name]).to_list()
    for code, word in zip(readings.codes.tolist(), words, strict=True):
        if code >= 0 and word is not None and first.setdefault(code, word) != word:
            raise BadInput(
                f"{option} {name!r} varies within {id} {readings.ids[code]!r}: {first[code]} and {word}; it must be "
                "constant for each curve: name another column, or another --id."
            )


def _rows_with_target(target: pl.Series, readings: Readings) -> np.ndarray:
    """Return a row of each curve that has the target, or its first row where none has."""
    rows = readings.first_rows.copy()
    known = as_words(target).is_not_null().to_numpy()
    present = np.flatnonzero((readings.codes >= 0) & known)[::-1]
    rows[readings.codes[present]] = present
    return rows


def _wave_columns(
    options: FitOptions, data: CurveData, train: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names (wave 0 is the level) and values of the coefficients, encoded as in the estimator."""
    from langevax.sklearn import CurveCoefficients

    parameters = {"num_modes": MODES, "derivative": options.derivative}
    parameters |= data.schema.parameters
    accepted = inspect.signature(CurveCoefficients).parameters
    encoder = CurveCoefficients(
        **{n: value for n, value in parameters.items() if n in accepted}, centre=False
    )
    curves = data.curves
    wide = isinstance(curves, np.ndarray)
    try:
        encoder.fit(curves[train] if wide else [curves[i] for i in train])
        inputs = np.asarray(encoder.transform(curves))
    except ValueError as error:
        raise BadInput(f"TABLE {str(options.table)!r}: {error}") from error
    channels = data.axes[1]
    names = tuple(
        f"wave {k}" + f" of {channel}" * (len(channels) > 1)
        for channel, mean in zip(channels, encoder.means_, strict=True)
        for k in range(len(mean))
    )
    return names, inputs
