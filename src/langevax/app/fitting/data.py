"""From the options of `langevax fit` to encoded rows: read the table, find target and columns, split, encode."""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing, nearest
from langevax.app.evaluation import Task
from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.fit import FitOptions
from langevax.app.fitting.reading import table_reading
from langevax.app.fitting.splitting import copies_of, row_groups, split_rows
from langevax.app.regressions import known_columns
from langevax.app.report.contents import TableReading
from langevax.app.report.summary import split_sizes
from langevax.app.tables.columns import ReadColumn, of_last_row, read_columns
from langevax.app.tables.curves import (
    LongCurves,
    WideCurves,
    cells_of,
    curve_columns,
    readings_of,
)
from langevax.app.tables.exposures import check_column, check_values
from langevax.app.tables.files import LoadedTable, read_table
from langevax.app.tables.leaks import leaks
from langevax.app.tables.records import Decision, sentences
from langevax.app.tables.records import option as typed
from langevax.app.tables.schema import AnySchema, Encoder, Schema, learn, useful
from langevax.app.tables.styles import Choices, as_words
from langevax.app.tables.targets import (
    TargetColumn,
    for_family,
    look_like_counts,
    read_target,
)
from langevax.sklearn.inputs.shapes import CurveShapes

MIN_ROWS = 10
MOST_DIRECTIONS = 20  # of patterns, whose relevance is measured one by one
OTHER_TASK: dict[Task, Task] = {
    "regression": "classification",
    "classification": "regression",
}
KINDS = {"numeric": "of numbers", "categorical": "of words", "date": "of dates"}


@dataclass(frozen=True)
class FitData:
    """The rows or curves to train on and to hold out, and what was read."""

    schema: AnySchema
    split: TrainTestSplit
    target: TargetColumn
    notes: list[str]
    """On what was read, without suspected leaks."""
    summary: dict[str, Any]
    """Rows and columns of the table, their kinds, and missing values."""
    description: tuple[str, str]
    """The same in words: a label and a sentence."""
    inputs: Any
    """An entry for each row of `split`, as the estimator takes them."""
    names: pl.DataFrame
    """For each row of `split`, its number in the table (1 is the first below the header), or its id."""
    reading: TableReading
    """The table as it was read, column by column."""
    task: str
    """The task, why it was chosen, and how to choose the other."""
    warnings: tuple[str, ...] = ()
    """Sentences on what may have been read wrong."""
    leaks: tuple[str, ...] = ()
    """Sentences on columns that may leak the target."""
    axes: tuple[str, tuple[str, ...]] | None = None
    """Of curves: the name of the times, and of the values of each channel."""

    def take(self, rows: np.ndarray) -> Any:
        """Return the inputs of these rows of `split`."""
        return (
            self.inputs[rows]
            if isinstance(self.inputs, np.ndarray)
            else [self.inputs[i] for i in rows]
        )

    @property
    def row_names(self) -> list[str]:
        """The name of each row: its number with its id, or the id of a curve."""
        return [
            f"{first} ({', '.join(map(str, more))})" if more else str(first)
            for first, *more in self.names.rows()
        ]


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


def task_of(options: FitOptions, target: TargetColumn) -> str:
    """Return the task, why it was chosen, and how to choose the other."""
    task = (
        f"classification into {len(target.classes)} classes"
        if target.classes
        else "regression"
    )
    override = (
        ""
        if options.asked[0] or not target.numeric
        else f"; override with --task {OTHER_TASK[target.task]}"
    )
    if override and not options.curves and look_like_counts(target):
        override += ", or with --family poisson where they are counts"
    return f"{task}, {target.reason}{override}"


def estimator_for(options: FitOptions, schema: AnySchema, **more: Any) -> Any:
    """Return the estimator that the options ask for, not fitted."""
    from langevax import sklearn

    if options.family is not None and schema.classes:
        return sklearn.PredictiveClassifier(
            list(schema.classes), random_state=options.seed, **more
        )
    if options.family is not None:
        family: Any = options.family.replace("-", " ")
        return sklearn.PredictiveRegressor(family, random_state=options.seed, **more)
    curves = (
        sklearn.FunctionalMeanFieldRegressor,
        sklearn.FunctionalMeanFieldClassifier,
    )
    columns = (sklearn.MeanFieldRegressor, sklearn.MeanFieldClassifier)
    kind = (curves if options.curves else columns)[schema.task == "classification"]
    of_classes = options.class_parameters if schema.classes else {}
    return kind(**options.estimator_parameters | of_classes | schema.parameters | more)


def prepare(options: FitOptions) -> FitData:
    """Read and split the table of the options; raise `BadInput` where that is impossible."""
    table = read_table(options.table, encoding=options.encoding)
    _check_names(table.frame, "--target", [options.target])
    known = known_columns(options)
    of_inputs = {"--drop": options.drop, "--keep": options.keep} | {
        option: [name] for option, name in known.items()
    }
    for option, names in of_inputs.items():
        _check_names(table.frame, option, names)
        if options.target in names:
            raise BadInput(
                f"{option} {options.target!r} is the target; name an input column."
            )
    for option, name in known.items():
        if name in options.drop:
            raise BadInput(
                f"{option} {name!r} is also in --drop; leave one of them out."
            )
    if options.group is not None:
        _check_names(table.frame, "--group", [options.group])
        for option, names in ({"--target": [options.target]} | of_inputs).items():
            if options.group in names:
                raise BadInput(
                    f"--group {options.group!r} is also in {option}; name it once, in --group."
                )
    return (
        prepare_curves(options, table)
        if options.curves
        else prepare_columns(options, table)
    )


def prepare_columns(options: FitOptions, table: LoadedTable) -> FitData:
    """Prepare columns of numbers, dates and words."""
    choices = Choices.parse(options.read, table.frame.columns)
    frame = table.frame.drop(
        [*options.drop, *([options.group] if options.group else [])]
    )
    read = read_columns(frame, choices, table.separator)
    readings = dict(zip(frame.columns, read, strict=True))
    of_rows = of_last_row(readings)
    reading = readings.pop(options.target)
    target = read_target(
        frame, options.target, options.asked[0], reading, options.asked[1]
    )
    if options.family is not None:
        target = for_family(target, options.target, options.family, options.order)
    _check_classes(options, target)
    known = known_columns(options)
    keep = [*options.keep, *known.values()]
    frame, styles, left_out = useful(
        frame.drop(options.target), list(readings.values()), keep, target.rows
    )
    for option, name in known.items():
        check_column(option, styles, name)
        check_values(option, frame[name], typed(option, name), target.rows)
    if not styles:
        reasons = " ".join(sentences(left_out)) or "It is the only one."
        raise BadInput(
            f"TABLE {str(options.table)!r} has no column to learn {options.target!r} from. {reasons}"
        )
    _check_size(frame.height, options)
    together, of_groups = row_groups(options.group, table.frame, target.rows)
    train, test, split_notes = split_rows(
        target, options.test_size, options.seed, together
    )
    split_notes += of_groups
    columns, categories = learn(frame[train.tolist()], styles)
    suspects = leaks(frame.drop(known.values()), target.values, target.task)
    encoder = Encoder(columns)
    encoded: dict[str, Any] = {
        "names": encoder.names,
        "groups": encoder.groups,
        "quantities": encoder.quantities,
    }
    encoded |= {
        "dates": tuple(
            name
            for name, style in styles.items()
            if style.kind == "date" and not style.clock
        )
    }
    encoded |= {"clocks": tuple(name for name, style in styles.items() if style.clock)}
    split = _split(
        options, target, train, test, together, inputs=encoder(frame), **encoded
    )
    missing = {
        column.name: column.null_count() for column in frame if column.null_count()
    }
    kinds = [style.kind for style in styles.values()]
    used = {kind: kinds.count(kind) for kind in ("numeric", "categorical", "date")}
    clocks = sum(style.clock for style in styles.values())
    shown = {KINDS[kind]: number for kind, number in used.items()}
    shown |= {KINDS["date"]: used["date"] - clocks, "of times or durations": clocks}
    words = ", ".join(f"{number:,} {kind}" for kind, number in shown.items() if number)
    words += f", as {count(len(split.names), 'input')}; "
    words += (
        f"{count(sum(missing.values()), 'missing value')} in {listing(missing, most=3)}"
        if missing
        else NO_MISSING
    )
    decisions = (
        *table.decisions,
        *of_rows,
        *reading.decisions,
        *left_out,
        *categories,
    )
    lacking, copies = (
        _without_target(table.frame.height - len(target.rows), "row"),
        copies_of(frame, target),
    )
    remarks, warnings = _remarks_and_warnings(decisions)
    notes = lacking + remarks + split_notes + copies
    task, sizes = task_of(options, target), f"{split_sizes(split)}."
    of_target = Decision("file", task[0].upper() + task[1:] + ".", options.target)
    beside = [
        Decision("file", sentence)
        for sentence in (*lacking, sizes, *split_notes, *copies)
    ]
    used_columns, everything = styles.keys(), {options.target: reading, **readings}
    never_negative = target.task == "regression" and bool(np.min(target.values) >= 0)
    read = (
        table.frame.height,
        words,
        everything,
        options.target,
        used_columns,
        dict.fromkeys(options.drop, "--drop")
        | ({options.group: "--group"} if options.group else {}),
        (of_target, *decisions, *beside),
        suspects,
    )
    return FitData(
        schema=Schema(
            options.target,
            target.task,
            target.classes,
            columns,
            (*decisions, *suspects),
            never_negative,
            options.exposure or "",
            options.offset or "",
        ),
        split=split,
        target=target,
        notes=notes,
        summary={
            "rows": table.frame.height,
            "columns": table.frame.width,
            "used": used,
            "missing": missing,
        },
        description=("Columns", words),
        inputs=split.inputs,
        names=_row_names(table.frame, readings, left_out, target.rows),
        reading=table_reading(*read),
        task=task,
        warnings=warnings,
        leaks=tuple(sentences(suspects)),
    )


def _row_names(
    table: pl.DataFrame,
    readings: dict[str, ReadColumn],
    left_out: Sequence[Decision],
    rows: np.ndarray,
) -> pl.DataFrame:
    """Return the numbers of the rows, and the first column that was left out because it identifies them."""
    names = pl.DataFrame({"row": rows + 1})
    ids = [
        one.column
        for one in left_out
        if one.column in readings and readings[one.column].identifies_rows
    ]
    taken = ("row", "observed", "predicted")
    return (
        names.with_columns(table[ids[0]][rows.tolist()])
        if ids and ids[0].lower() not in taken
        else names
    )


def _remarks_and_warnings(
    decisions: Iterable[Decision],
) -> tuple[list[str], tuple[str, ...]]:
    decisions = list(decisions)
    remarks = sentences(
        decision for decision in decisions if decision.topic != "warning"
    )
    return remarks, tuple(
        sentences(decision for decision in decisions if decision.topic == "warning")
    )


def prepare_curves(options: FitOptions, loaded: LoadedTable) -> FitData:
    """Prepare a table of curves."""
    table = loaded.frame
    choices = Choices.parse(options.read, table.columns)
    data = (_wide if options.curves == "wide" else _long)(options, loaded, choices)
    _check_size(len(data.curves), options, "curve")
    together, of_groups = row_groups(options.group, table, data.rows)
    train, test, notes = split_rows(
        data.target, options.test_size, options.seed, together
    )
    notes += of_groups
    names, inputs = _wave_columns(options, data, train)
    groups = {name: [i] for i, name in enumerate(names)}
    encoded = {"names": names, "groups": groups, "quantities": tuple(range(len(names)))}
    remarks, warnings = _remarks_and_warnings(loaded.decisions)
    notes = remarks + data.notes + notes
    words = data.words
    if options.encoder in ("auto", "basis"):
        words += f", as {count(len(names), 'input')}" + (
            ", or as patterns" if options.encoder == "auto" else ""
        )
    return FitData(
        schema=data.schema,
        split=_split(
            options,
            data.target,
            train,
            test,
            together,
            inputs=inputs,
            unit="curve",
            **encoded,
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
    inputs = model.encoder_.transform(data.inputs)
    names = tuple(str(name) for name in model.encoder_.get_feature_names_out())
    drawn = min(MOST_DIRECTIONS, len(names) - 1)
    groups = {name: [i] for i, name in enumerate(names[:drawn])} | {
        "the others": list(range(drawn, len(names)))
    }
    columns = {"names": names, "groups": groups, "quantities": tuple(range(len(names)))}
    return replace(
        data, split=replace(data.split, inputs=inputs, one_scale=True, **columns)
    )


NO_MISSING = "none missing"


def _wide(options: FitOptions, loaded: LoadedTable, choices: Choices) -> CurveData:
    table = loaded.frame.drop(
        [*options.drop, *([options.group] if options.group else [])]
    )
    readings = dict(
        zip(
            table.columns,
            read_columns(table, choices, loaded.separator),
            strict=True,
        )
    )
    target = read_target(table, options.target, options.task, readings[options.target])
    inputs = table.drop(options.target)
    columns = curve_columns(inputs, options.keep, readings)
    min_columns = options.derivative + 2
    if len(columns.names) < min_columns:
        raise BadInput(
            f"TABLE {str(options.table)!r} has {count(len(columns.names), 'column')} of values, where --curves wide "
            f"with --derivative {options.derivative} needs at least {min_columns}."
        )
    remedy = "correct it, or pass --drop with columns that are not values of the curve"
    cells = cells_of(inputs.select(columns.names), readings, remedy)
    values = np.stack(list(cells.values.values()), 1)[target.rows]
    notes = columns.notes + cells.notes + sentences(readings[options.target].decisions)
    notes += _without_target(table.height - len(target.rows), "row")
    present = ~np.isnan(values).all(1)
    if not present.all():
        notes.append(f"{count(int((~present).sum()), 'row')} without a value left out.")
    values, target = (
        values[present],
        replace(target, rows=target.rows[present], values=target.values[present]),
    )
    missing = int(np.isnan(values).sum())
    if missing:
        notes.append(f"{count(missing, 'missing value')} interpolated.")
    times = (
        np.linspace(0, 1, len(columns.names))
        if columns.times is None
        else columns.times
    )
    if columns.times is None:
        notes.append(
            "The names of the columns are not numbers: times are even steps from 0 to 1."
        )
    words = f"{count(len(values), 'curve')} of {len(times):,} values from {times[0]:g} to {times[-1]:g}; "
    return CurveData(
        schema=WideCurves(
            *(
                options.target,
                target.task,
                target.classes,
                columns.names,
                tuple(times.tolist()),
            ),
            styles=cells.styles,
        ),
        curves=values,
        target=target,
        names=pl.DataFrame({"row": target.rows + 1}),
        words=words + (count(missing, "missing value") if missing else NO_MISSING),
        summary={
            "values": len(times),
            "domain": [times[0], times[-1]],
            "missing": missing,
        },
        notes=notes,
        axes=(
            "t, even steps" if columns.times is None else "t, the name of the column",
            ("value",),
        ),
        rows=target.rows,
    )


def _long(options: FitOptions, loaded: LoadedTable, choices: Choices) -> CurveData:
    table = loaded.frame
    assert options.id is not None
    assert options.time is not None
    for option, names in (
        ("--id", [options.id]),
        ("--time", [options.time]),
        ("--value", options.value),
    ):
        _check_names(table, option, names)
    used = table.select(options.time, *options.value, options.target)
    read = dict(
        zip(
            used.columns,
            read_columns(used, choices, loaded.separator),
            strict=True,
        )
    )
    readings = readings_of(table, options.id, options.time, options.value, read)
    _check_constant(
        "--target", options.target, table, readings.codes, readings.ids, options
    )
    if options.group is not None:
        _check_constant(
            "--group", options.group, table, readings.codes, readings.ids, options
        )
    rows = _rows_with_target(table[options.target], readings.codes, readings.first_rows)
    reading = replace(
        read[options.target], values=read[options.target].values[rows.tolist()]
    )
    target = read_target(table[rows.tolist()], options.target, options.task, reading)
    curves = [readings.curves[i] for i in target.rows]
    sizes = [len(times) for curve in curves for times, _ in curve]
    first, last = (
        float(end([t[i] for curve in curves for t, _ in curve]))
        for end, i in ((min, 0), (max, -1))
    )
    domain = (first, last) if first < last else (first - 0.5, last + 0.5)
    channels = tuple(options.value)
    span = (
        f"{min(sizes)}"
        if min(sizes) == max(sizes)
        else f"{min(sizes):,} to {max(sizes):,}"
    )
    in_channels = "" if len(channels) == 1 else f" in {len(channels)} channels"
    return CurveData(
        schema=LongCurves(
            *(
                options.target,
                target.task,
                target.classes,
                options.id,
                options.time,
                channels,
            ),
            domain=domain,
            dates=readings.dates,
            modes=options.modes,
            styles=readings.styles,
        ),
        curves=curves,
        target=target,
        names=pl.DataFrame({options.id: [readings.ids[i] for i in target.rows]}),
        words=f"{count(len(curves), 'curve')}{in_channels} of {span} readings from {first:g} to {last:g}",
        summary={
            "readings": sum(sizes),
            "channels": len(channels),
            "domain": list(domain),
        },
        notes=readings.notes
        + sentences(reading.decisions)
        + _without_target(len(readings.ids) - len(target.rows), "curve"),
        axes=(
            f"{options.time}, days since the first reading"
            if readings.dates
            else options.time,
            channels,
        ),
        rows=rows[target.rows],
    )


def _split(
    options: FitOptions,
    target: TargetColumn,
    train: np.ndarray,
    test: np.ndarray,
    together: np.ndarray | None,
    **encoded: Any,
) -> TrainTestSplit:
    return TrainTestSplit(
        table=options.table.name,
        target=options.target,
        task=target.task,
        classes=tuple(str(name) for name in target.classes),
        targets=target.values,
        train=train,
        test=test,
        row_groups=together,
        grouped_by=options.group or "",
        **encoded,
    )


def _check_names(table: pl.DataFrame, option: str, names: list[str]) -> None:
    for name in names:
        if name not in table.columns:
            raise BadInput(
                f"{option} {name!r} is not a column of the table; {nearest(name, table.columns)}"
            )


def _check_classes(options: FitOptions, target: TargetColumn) -> None:
    """Raise `BadInput` where an option for classes does not apply to the target."""
    parameters = options.class_parameters
    if not target.classes and parameters:
        name = next(iter(parameters))
        option = f"--{name.replace('_', '-')} {getattr(options, name)}"
        raise BadInput(
            f"{option} is for classes, and --target {options.target!r} has numbers; leave it out."
        )
    if "threshold" in parameters and len(target.classes) != 2:
        raise BadInput(
            f"--threshold is for two classes, and --target {options.target!r} has {len(target.classes)}; leave it out."
        )


def _check_size(number: int, options: FitOptions, noun: str = "row") -> None:
    if number < MIN_ROWS:
        raise BadInput(
            f"TABLE {str(options.table)!r} has {count(number, noun)} with a target; training and hold-out need at "
            f"least {MIN_ROWS}, and a score that means something needs about 50: add {noun}s."
        )


def _without_target(number: int, noun: str) -> list[str]:
    return [f"{count(number, noun)} without a target left out."] if number else []


def _check_constant(
    option: str,
    name: str,
    table: pl.DataFrame,
    codes: np.ndarray,
    ids: list[str],
    options: FitOptions,
) -> None:
    """Raise `BadInput` where an id has two values of a column."""
    first: dict[int, str] = {}
    for code, word in zip(codes.tolist(), as_words(table[name]).to_list(), strict=True):
        if code >= 0 and word is not None and first.setdefault(code, word) != word:
            raise BadInput(
                f"{option} {name!r} varies within {options.id} {ids[code]!r}: {first[code]} and {word}; it "
                "must be constant for each curve: name another column, or another --id."
            )


def _rows_with_target(
    target: pl.Series, codes: np.ndarray, first_rows: np.ndarray
) -> np.ndarray:
    """Return a row of each curve that has the target, or its first row where none has."""
    rows = first_rows.copy()
    present = np.flatnonzero((codes >= 0) & as_words(target).is_not_null().to_numpy())[
        ::-1
    ]
    rows[codes[present]] = present
    return rows


def _wave_columns(
    options: FitOptions, data: CurveData, train: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names (wave 0 is the level) and values of the coefficients, encoded as in the estimator."""
    from langevax.sklearn import CurveCoefficients

    parameters = options.estimator_parameters | data.schema.parameters
    accepted = inspect.signature(CurveCoefficients).parameters
    encoder = CurveCoefficients(
        **{n: value for n, value in parameters.items() if n in accepted}, centre=False
    )
    curves = data.curves
    try:
        encoder.fit(
            curves[train]
            if isinstance(curves, np.ndarray)
            else [curves[i] for i in train]
        )
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
