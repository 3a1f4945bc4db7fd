"""From a request to rows of numbers: read, infer, split, learn the schema on the training rows, encode."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from sklearn.model_selection import train_test_split

from langevax.cli.encoder import Encoder
from langevax.cli.errors import BadInput, count, listing, nearest
from langevax.cli.request import Request
from langevax.cli.schema import Schema, learn, useful
from langevax.cli.tables import read_table
from langevax.cli.target import Target, read_target
from langevax.report.split import Split

FEWEST_ROWS = 10


@dataclass(frozen=True)
class Prepared:
    """What is trained on, and what there is to say of it."""

    schema: Schema
    split: Split
    target: Target
    notes: list[str]
    read: dict[str, Any]
    """Rows and columns of the table, kinds of the columns used, and missing values in them."""


def prepare(request: Request) -> Prepared:
    """Everything before training."""
    table = read_table(request.table)
    target = read_target(table, request.target, request.task)
    notes = []
    if lacking := table.height - len(target.rows):
        notes.append(f"{count(lacking, 'row')} without a target left out.")
    for option, names in (("--drop", request.drop), ("--keep", request.keep)):
        for name in names:
            if name not in table.columns:
                raise BadInput(f"{option} {name!r} is no column of the table; {nearest(name, table.columns)}")
            if name == request.target:
                raise BadInput(f"{option} {name!r} is the target; name an input column.")
    inputs = table[target.rows.tolist()].drop(list(dict.fromkeys([request.target, *request.drop])))
    frame, kinds, why = useful(inputs, request.keep)
    notes += why
    if not kinds:
        reasons = " ".join(why) or "It is the only one."
        raise BadInput(f"TABLE {str(request.table)!r} has no column to learn {request.target!r} from. {reasons}")
    if frame.height < FEWEST_ROWS:
        raise BadInput(
            f"TABLE {str(request.table)!r} has {count(frame.height, 'row')} with a target; "
            f"a fit and a hold-out need at least {FEWEST_ROWS}."
        )
    train, test, why = split_rows(target, request.test_size, request.seed)
    notes += why
    columns, why = learn(frame[train.tolist()], kinds)
    notes += why
    schema = Schema(request.target, target.task, target.classes, columns)
    encoder = Encoder(schema)
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
    return Prepared(schema, split, target, notes, _summary(table, frame, kinds))


def split_rows(target: Target, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Rows to train on and rows held out; classes in equal shares where each has two rows or more.

    A class with a single row goes to training.
    """
    rows, notes, single = np.arange(len(target.values)), [], np.zeros(len(target.values), bool)
    shares = None
    if target.classes:
        members = np.bincount(target.values, minlength=len(target.classes))
        single = members[target.values] == 1
        names = [str(name) for name, number in zip(target.classes, members, strict=True) if number == 1]
        if names:
            noun = "class" if len(names) == 1 else "classes"
            notes.append(f"The single row of {noun} {listing(names)} goes to training: no score can tell of it.")
        shares = target.values[~single]
    held_out = max(2, int(np.ceil(test_size * len(rows))))
    others = rows[~single]
    fewest = min(held_out, len(others) - held_out)
    if shares is not None and fewest < len(np.unique(shares)):
        notes.append(f"Too few rows to hold out some of every class ({held_out}): split without regard to the classes.")
        shares = None
    if len(others) - held_out < 2:
        raise BadInput(f"--test-size {test_size} leaves {len(rows) - held_out} rows to train on; pass a smaller share.")
    train, test = train_test_split(others, test_size=held_out, random_state=seed, stratify=shares)
    train = np.sort(np.concatenate([train, rows[single]]))
    if len(np.unique(target.values[train])) < 2:
        what = "class" if target.classes else "value of the target"
        raise BadInput(f"the rows to train on have a single {what}; pass another --seed or --test-size.")
    return train, np.sort(test), notes


def _summary(table: pl.DataFrame, frame: pl.DataFrame, kinds: dict[str, Any]) -> dict[str, Any]:
    lacking = {column.name: column.null_count() for column in frame if column.null_count()}
    counts = {kind: sum(k == kind for k in kinds.values()) for kind in ("numeric", "categorical", "date")}
    return {"rows": table.height, "columns": table.width, "used": counts, "missing": lacking}
