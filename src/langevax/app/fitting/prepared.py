"""The rows or curves that `langevax fit` trains on and holds out, and what was read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, nearest
from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.options import FitOptions
from langevax.app.report.contents import TableReading
from langevax.app.tables.records import Decision, sentences
from langevax.app.tables.schema import AnySchema
from langevax.app.tables.targets import TargetColumn, look_like_counts


@dataclass(frozen=True)
class FitData:
    """The rows or curves to train on and to hold out, and what was read."""

    schema: AnySchema
    split: TrainTestSplit
    notes: list[str]
    """On what was read, without suspected leaks."""
    summary: dict[str, Any]
    """Rows and columns of the table, their kinds, and missing values."""
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
    axes: tuple[str, tuple[str, ...]] | None = None
    """Of curves: the name of the times, and of the values of each channel."""

    def take(self, rows: np.ndarray) -> Any:
        """Return the inputs of these rows of `split`."""
        if isinstance(self.inputs, np.ndarray):
            return self.inputs[rows]
        return [self.inputs[i] for i in rows]

    @property
    def leaks(self) -> tuple[str, ...]:
        """Sentences on columns that may leak the target."""
        return self.reading.leaks

    @property
    def training_labels(self) -> np.ndarray:
        """The targets of the training rows, classes by their names."""
        targets = self.split.train_targets
        return np.array(self.schema.classes)[targets] if self.split.classes else targets

    @property
    def row_names(self) -> list[str]:
        """The name of each row: its number with its id, or the id of a curve."""
        return [
            f"{first} ({', '.join(map(str, more))})" if more else str(first)
            for first, *more in self.names.rows()
        ]


def task_of(options: FitOptions, target: TargetColumn) -> str:
    """Return the task, why it was chosen, and how to choose the other."""
    task = "regression"
    other = "classification"
    if target.classes:
        task, other = f"classification into {len(target.classes)} classes", task
    sentence = f"{task}, {target.reason}"
    if options.asked[0] or not target.numeric:
        return sentence
    sentence += f"; override with --task {other}"
    if not options.curves and look_like_counts(target):
        sentence += ", or with --family poisson where they are counts"
    return sentence


def split_of(
    options: FitOptions,
    target: TargetColumn,
    rows: tuple[np.ndarray, np.ndarray],
    together: np.ndarray | None,
    **encoded: Any,
) -> TrainTestSplit:
    """Return the encoded rows, split into training rows and held-out rows."""
    return TrainTestSplit(
        table=options.table.name,
        target=options.target,
        task=target.task,
        classes=tuple(str(name) for name in target.classes),
        targets=target.values,
        train=rows[0],
        test=rows[1],
        row_groups=together,
        grouped_by=options.group or "",
        **encoded,
    )


def remarks_and_warnings(
    decisions: Iterable[Decision],
) -> tuple[list[str], tuple[str, ...]]:
    """Return the sentences of decisions, and those that warn."""
    decisions = list(decisions)
    remarks = [one for one in decisions if one.topic != "warning"]
    warnings = [one for one in decisions if one.topic == "warning"]
    return sentences(remarks), tuple(sentences(warnings))


def without_target(number: int, noun: str) -> list[str]:
    """Return what to say of rows or curves without a target."""
    return [f"{count(number, noun)} without a target left out."] if number else []


def check_names(table: pl.DataFrame, option: str, names: Sequence[str]) -> None:
    """Raise `BadInput` where a name is not that of a column."""
    for name in names:
        if name not in table.columns:
            raise BadInput(
                f"{option} {name!r} is not a column of the table; "
                f"{nearest(name, table.columns)}"
            )


def check_size(
    number: int,
    options: FitOptions,
    noun: str = "row",
    least: int = 10,
) -> None:
    """Raise `BadInput` where rows or curves are too few."""
    if number < least:
        raise BadInput(
            f"TABLE {str(options.table)!r} has {count(number, noun)} with a target; "
            f"training and hold-out need at least {least}, and a score that means "
            f"something needs about 50: add {noun}s."
        )
