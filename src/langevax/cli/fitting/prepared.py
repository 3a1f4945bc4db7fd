"""What is trained on, whatever the kind of table, and which of it is held out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from sklearn.model_selection import train_test_split

from langevax.cli.errors import BadInput, count, listing
from langevax.cli.tables.given import AnySchema
from langevax.cli.tables.target import Target
from langevax.report.split import Split

FEWEST_ROWS = 10


@dataclass(frozen=True)
class Prepared:
    """What is trained on, and what there is to say of it."""

    schema: AnySchema
    split: Split
    target: Target
    notes: list[str]
    read: dict[str, Any]
    """Rows and columns of the table, what they hold, and missing values in them."""
    told: tuple[str, str]
    """The same in words: a label and a sentence."""
    inputs: Any
    """An entry for each row of `split`, as the estimator takes them."""
    named: pl.DataFrame
    """A row for each of `split`: the number of the row in the table (1 is the first below the header), or an id."""
    axes: tuple[str, tuple[str, ...]] | None = None
    """Of curves: what times are called, and the values of each channel."""

    def take(self, rows: np.ndarray) -> Any:
        """Inputs of these rows of `split`."""
        return self.inputs[rows] if isinstance(self.inputs, np.ndarray) else [self.inputs[i] for i in rows]


def check_size(number: int, table: str, noun: str = "row") -> None:
    """Raise `BadInput` where there are too few examples to learn from and to hold some out."""
    if number < FEWEST_ROWS:
        raise BadInput(
            f"TABLE {table!r} has {count(number, noun)} with a target; a fit and a hold-out need at least "
            f"{FEWEST_ROWS}."
        )


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
