"""From a request to rows of numbers: read, infer, split, learn the schema on the training rows, encode."""

from typing import Any

import polars as pl

from langevax.cli.errors import BadInput, count, listing, nearest
from langevax.cli.fitting.curve_preparation import prepare_curves
from langevax.cli.fitting.prepared import Prepared, check_size, split_rows
from langevax.cli.fitting.request import Request
from langevax.cli.tables.encoder import Encoder
from langevax.cli.tables.reading import read_table
from langevax.cli.tables.schema import Schema, learn, useful
from langevax.cli.tables.target import read_target
from langevax.report.split import Split

KINDS = {"numeric": "of numbers", "categorical": "of words", "date": "of dates"}


def prepare(request: Request) -> Prepared:
    """Everything before training."""
    table = read_table(request.table)
    check_options(request, table)
    return prepare_curves(request, table) if request.curves else prepare_columns(request, table)


def check_options(request: Request, table: pl.DataFrame) -> None:
    """Raise `BadInput` for --drop and --keep of what is no input column."""
    if request.target not in table.columns:
        raise BadInput(
            f"--target {request.target!r} is no column of the table; {nearest(request.target, table.columns)}"
        )
    for option, names in (("--drop", request.drop), ("--keep", request.keep)):
        for name in names:
            if name not in table.columns:
                raise BadInput(f"{option} {name!r} is no column of the table; {nearest(name, table.columns)}")
            if name == request.target:
                raise BadInput(f"{option} {name!r} is the target; name an input column.")


def prepare_columns(request: Request, table: pl.DataFrame) -> Prepared:
    """Columns of numbers, dates and words."""
    target = read_target(table, request.target, request.task)
    notes = []
    if lacking := table.height - len(target.rows):
        notes.append(f"{count(lacking, 'row')} without a target left out.")
    inputs = table[target.rows.tolist()].drop(list(dict.fromkeys([request.target, *request.drop])))
    frame, kinds, why = useful(inputs, request.keep)
    notes += why
    if not kinds:
        reasons = " ".join(why) or "It is the only one."
        raise BadInput(f"TABLE {str(request.table)!r} has no column to learn {request.target!r} from. {reasons}")
    check_size(frame.height, str(request.table))
    train, test, why = split_rows(target, request.test_size, request.seed)
    notes += why
    columns, why = learn(frame[train.tolist()], kinds)
    notes += why
    schema = Schema(request.target, target.task, target.classes, columns)
    encoder = Encoder(columns)
    split = Split(
        table=request.table.name,
        target=request.target,
        task=target.task,
        classes=tuple(str(name) for name in target.classes),
        names=encoder.names,
        groups=encoder.groups,
        quantities=encoder.quantities,
        inputs=encoder(frame),
        targets=target.values,
        train=train,
        test=test,
    )
    read, named = _summary(table, frame, kinds), pl.DataFrame({"row": target.rows + 1})
    return Prepared(schema, split, target, notes, read, _told(read, split), split.inputs, named)


def _summary(table: pl.DataFrame, frame: pl.DataFrame, kinds: dict[str, Any]) -> dict[str, Any]:
    lacking = {column.name: column.null_count() for column in frame if column.null_count()}
    counts = {kind: sum(k == kind for k in kinds.values()) for kind in ("numeric", "categorical", "date")}
    return {"rows": table.height, "columns": table.width, "used": counts, "missing": lacking}


def _told(read: dict[str, Any], split: Split) -> tuple[str, str]:
    kinds = [f"{number} {KINDS[kind]}" for kind, number in read["used"].items() if number]
    lacking = "none missing"
    if read["missing"]:
        lacking = f"{count(sum(read['missing'].values()), 'missing value')} in {listing(read['missing'], most=3)}"
    return "Columns", f"{', '.join(kinds)}, as {count(len(split.names), 'input')}; {lacking}"
