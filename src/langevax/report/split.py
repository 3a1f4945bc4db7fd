"""An encoded table, split: what methods are compared on, and what a report of a fit is measured on."""

from dataclasses import dataclass

import numpy as np

from langevax.report.peers import Task


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows held out, as numbers, with what the numbers are."""

    table: str
    target: str
    task: Task
    classes: tuple[str, ...]
    """Empty for regression."""
    names: tuple[str, ...]
    """Of the columns of `inputs`."""
    groups: dict[str, list[int]]
    """Of each table column, its places in `inputs`: a column of words has several."""
    quantities: tuple[int, ...]
    """Places of the inputs that are quantities; the others are indicators."""
    inputs: np.ndarray
    """(row, input)."""
    targets: np.ndarray
    """(row,) numbers, or indices into `classes`."""
    train: np.ndarray
    """Indices of rows."""
    test: np.ndarray
    unit: str = "row"
    """What a row is called."""

    @property
    def train_inputs(self) -> np.ndarray:
        return self.inputs[self.train]

    @property
    def train_targets(self) -> np.ndarray:
        return self.targets[self.train]

    @property
    def test_inputs(self) -> np.ndarray:
        return self.inputs[self.test]

    @property
    def test_targets(self) -> np.ndarray:
        return self.targets[self.test]
