"""From a request to curves: read, find targets and times, split, encode."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from langevax.cli.errors import BadInput, count, nearest
from langevax.cli.fitting.prepared import Prepared, check_size, split_rows
from langevax.cli.fitting.request import Request
from langevax.cli.tables.columns import as_words
from langevax.cli.tables.curve_schema import LongCurves, WideCurves
from langevax.cli.tables.curves import grid_of, readings_of, table_values
from langevax.cli.tables.given import AnySchema
from langevax.cli.tables.target import Target, read_target
from langevax.report.split import Split


class Read(NamedTuple):
    """Curves with a target."""

    schema: AnySchema
    curves: Any
    """(n, G), or a list of n."""
    target: Target
    named: pl.DataFrame
    words: str
    """What the curves are."""
    numbers: dict[str, Any]
    """The same for machines."""
    notes: list[str]
    axes: tuple[str, tuple[str, ...]]
    """What times are called, and the values of each channel."""


def prepare_curves(request: Request, table: pl.DataFrame) -> Prepared:
    """Everything before training on curves."""
    read = _wide(request, table) if request.curves == "wide" else _long(request, table)
    check_size(len(read.curves), str(request.table), "curve")
    train, test, why = split_rows(read.target, request.test_size, request.seed)
    encoder, inputs = _encoded(request, read, train)
    names = _wave_names(encoder, read.axes[1])
    split = Split(
        table=request.table.name,
        target=request.target,
        task=read.target.task,
        classes=tuple(str(name) for name in read.target.classes),
        names=names,
        groups={name: [i] for i, name in enumerate(names)},
        quantities=tuple(range(len(names))),
        inputs=inputs,
        targets=read.target.values,
        train=train,
        test=test,
        unit="curve",
    )
    numbers = {"rows": table.height, "columns": table.width, "curves": len(read.curves), **read.numbers}
    told = "Curves", f"{read.words}, as {count(len(names), 'input')}"
    return Prepared(
        read.schema, split, read.target, read.notes + why, numbers, told, read.curves, read.named, read.axes
    )


def _wide(request: Request, table: pl.DataFrame) -> Read:
    target = read_target(table, request.target, request.task)
    inputs = table.drop(list(dict.fromkeys([request.target, *request.drop])))
    grid = grid_of(inputs, request.keep)
    fewest = request.derivative + 2
    if len(grid.names) < fewest:
        raise BadInput(
            f"TABLE {str(request.table)!r} has {count(len(grid.names), 'column')} of values, where --curves wide "
            f"with --derivative {request.derivative} needs at least {fewest}."
        )
    remedy = "mend it, or pass --drop {name} where it is no value of the curve"
    values = table_values(inputs, grid.names, remedy)[target.rows]
    notes = list(grid.notes)
    if lacking := table.height - len(target.rows):
        notes.append(f"{count(lacking, 'row')} without a target left out.")
    filled = ~np.isnan(values).all(1)
    if not filled.all():
        notes.append(f"{count(int((~filled).sum()), 'row')} without a value left out.")
    target, values = _of(target, np.flatnonzero(filled)), values[filled]
    missing = int(np.isnan(values).sum())
    if missing:
        notes.append(f"{count(missing, 'missing value')} interpolated.")
    times = np.linspace(0, 1, len(grid.names)) if grid.times is None else grid.times
    if grid.times is None:
        notes.append("Columns are named by words: they stand at even steps from 0 to 1.")
    schema = WideCurves(request.target, target.task, target.classes, grid.names, tuple(times.tolist()))
    words = f"{count(len(values), 'curve')} of {len(times):,} values from {times[0]:g} to {times[-1]:g}"
    words += f"; {count(missing, 'missing value')}" if missing else "; none missing"
    numbers = {"values": len(times), "domain": [times[0], times[-1]], "missing": missing}
    axes = "t, even steps" if grid.times is None else "t, the name of the column", ("value",)
    return Read(schema, values, target, pl.DataFrame({"row": target.rows + 1}), words, numbers, notes, axes)


def _long(request: Request, table: pl.DataFrame) -> Read:
    assert request.id is not None
    assert request.time is not None
    named = {"--target": [request.target], "--id": [request.id], "--time": [request.time], "--value": request.value}
    for option, names in named.items():
        for name in names:
            if name not in table.columns:
                raise BadInput(f"{option} {name!r} is no column of the table; {nearest(name, table.columns)}")
    readings = readings_of(table, request.id, request.time, request.value)
    _check_constant(table[request.target], readings.codes, readings.ids, request)
    rows = _rows_with_target(table[request.target], readings.codes, readings.first_rows)
    target = read_target(table[rows.tolist()], request.target, request.task)
    notes = list(readings.notes)
    if lacking := len(readings.ids) - len(target.rows):
        notes.append(f"{count(lacking, 'curve')} without a target left out.")
    curves = [readings.curves[i] for i in target.rows]
    sizes = [len(t) for curve in curves for t, _ in curve]
    first, last = min(t[0] for curve in curves for t, _ in curve), max(t[-1] for curve in curves for t, _ in curve)
    schema = LongCurves(
        *(request.target, target.task, target.classes, request.id, request.time, request.value),
        domain=(float(first), float(last)) if first < last else (float(first) - 0.5, float(last) + 0.5),
        dates=readings.dates,
        modes=request.modes,
    )
    span = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    channels = "" if len(request.value) == 1 else f" in {len(request.value)} channels"
    words = f"{count(len(curves), 'curve')}{channels} of {span} readings from {first:g} to {last:g}"
    numbers = {"readings": sum(sizes), "channels": len(request.value), "domain": list(schema.domain)}
    ids = pl.DataFrame({request.id: [readings.ids[i] for i in target.rows]})
    time = f"{request.time}, days since the first reading" if readings.dates else request.time
    return Read(schema, curves, target, ids, words, numbers, notes, (time, request.value))


def _of(target: Target, kept: np.ndarray) -> Target:
    """Some of the rows of a target."""
    if len(kept) == len(target.rows):
        return target
    rows, values = target.rows[kept], target.values[kept]
    return Target(target.task, target.reason, rows, values, target.classes, target.numeric)


def _check_constant(target: pl.Series, codes: np.ndarray, ids: list[str], request: Request) -> None:
    """Raise where an id has two targets."""
    words = as_words(target).to_numpy()
    seen: dict[int, str] = {}
    for code, word in zip(codes.tolist(), words, strict=True):
        if code >= 0 and word is not None and seen.setdefault(code, word) != word:
            raise BadInput(
                f"--target {request.target!r} varies within {request.id} {ids[code]!r}: {seen[code]} and {word}; it "
                "must be one for each curve: name another column, or another --id."
            )


def _rows_with_target(target: pl.Series, codes: np.ndarray, first_rows: np.ndarray) -> np.ndarray:
    """A row of each curve that has the target, or any where none has."""
    rows = first_rows.copy()
    there = np.flatnonzero((codes >= 0) & as_words(target).is_not_null().to_numpy())[::-1]
    rows[codes[there]] = there
    return rows


def _encoded(request: Request, read: Read, train: np.ndarray) -> tuple[Any, np.ndarray]:
    """The encoder, fitted on the rows to train on, and the columns it makes of all; as in the estimator."""
    from langevax.cli.fitting.estimators import encoder_for

    encoder = encoder_for(request, read.schema)
    curves = read.curves
    trained_on = curves[train] if isinstance(curves, np.ndarray) else [curves[i] for i in train]
    try:
        return encoder.fit(trained_on), np.asarray(encoder.transform(curves))
    except ValueError as error:
        raise BadInput(f"TABLE {str(request.table)!r}: {error}") from error


def _wave_names(encoder: Any, values: tuple[str, ...]) -> tuple[str, ...]:
    """Of the coefficients: wave 0 is the level."""
    several = len(values) > 1
    parts = zip(values, encoder.means_, strict=True)
    return tuple(f"wave {k}" + f" of {value}" * several for value, mean in parts for k in range(len(mean)))
