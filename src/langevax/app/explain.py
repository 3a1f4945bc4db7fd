"""`langevax explain`: the training rows that made a prediction, and the rows that a table is best checked for."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.app.errors import BadInput, count, nearest
from langevax.app.fitted import with_rows
from langevax.app.fitting.prepared import FitData
from langevax.app.options import ExplainOptions
from langevax.app.output import Output, plain
from langevax.app.report.effects import pulls
from langevax.app.report.numbers import number, short
from langevax.run import keep_compiled_programs
from langevax.sklearn.row_effects import LeftOut, RowEffects


def run(options: ExplainOptions) -> None:
    """Read the fit and its rows; print what moved one prediction, or the rows that are least like the others."""
    output = Output(options.json)
    keep_compiled_programs()
    estimator, data = with_rows(options.model, options.table, "--table")
    where = f"DIR {str(options.model)!r}"
    if not isinstance(estimator, RowEffects):
        raise BadInput(f"{where} is no network on a table of columns; fit one.")
    if estimator.solver_ != "path":
        raise BadInput(
            f"{where} was trained by steps, which end before the optimum; fit it again "
            "without --num-steps, on at most 20,000 rows."
        )
    try:
        rows = FittedRows(estimator, data, estimator.leave_one_out())
    except ValueError as error:  # too many rows at once
        raise BadInput(f"{where}: {error}") from error
    if rows.left_out.reason:
        output.warn(f"Do not rely on all of this: {rows.left_out.reason}.")
    if options.row is None:
        output.result(plain(rows.to_check(output, options.most)))
    else:
        place = rows.place(options.row)
        output.result(plain(rows.moved(output, place, options.most)))


@dataclass(frozen=True)
class FittedRows:
    """The rows of a fit, by their places in the split, in the units and words of the table."""

    model: RowEffects
    data: FitData
    left_out: LeftOut

    def to_check(self, output: Output, most: int) -> dict[str, Any]:
        """Return the training rows that the network, without each, predicts worst."""
        train = self.data.split.train.tolist()
        residuals = np.nan_to_num(np.abs(self.left_out.residuals), nan=-1.0)
        worst = np.argsort(-residuals, kind="stable")[:most].tolist()
        output.say(
            "Check",
            f"the {count(len(worst), 'row')} of {len(train):,} for training that the "
            "others speak against most: wrong targets, rows of another kind, or cases "
            "that the columns do not explain.",
        )
        effective = short(self.left_out.effective_parameters)
        output.table(
            ("row", self.data.split.target, self._predicted, "others move by"),
            [
                (
                    self.data.row_names[train[i]],
                    self._target(train[i]),
                    short(self._own(train[i], self.left_out.predictions[i])),
                    short(self._size(i)),
                )
                for i in worst
            ],
        )
        output.note(
            f"{self._predicted.capitalize()} is what the network would say without "
            f"{self._alone}; its other predictions then move by so much (root mean square over "
            f"training rows{self._unit}). The network spends {effective} effective "
            f"parameters on {len(train):,} rows."
        )
        rows = [
            self._named(train[i])
            | {
                "without_it": self._own(train[i], self.left_out.predictions[i]),
                "leverage": self.left_out.leverages[i],
                "moves": self._size(i),
                "unsure": self.left_out.unsure[i],
            }
            for i in worst
        ]
        effective_parameters = self.left_out.effective_parameters
        return {
            "rows": rows,
            "effective_parameters": effective_parameters,
            "reason": self.left_out.reason,
        }

    def moved(self, output: Output, place: int, most: int) -> dict[str, Any]:
        """Return what each training row did to the prediction at a row, the strongest first."""
        split = self.data.split
        train = split.train.tolist()
        inputs = self.data.take(np.array([place]))
        predicted = self._own(place, split.outputs(self.model, inputs)[0])
        own = np.flatnonzero(split.train == place).tolist()
        others = pulls(self.model, self.data, place)[train]
        strongest = np.argsort(-np.abs(others), kind="stable")[:most].tolist()
        first = strongest[0]
        kind = "a row for training" if own else "held out"
        name = self.data.row_names[place]
        output.say(
            "Row",
            f"{name}, {kind}: {split.target} {self._target(place)}, "
            f"{self._predicted} {short(predicted)}.",
        )
        direction = "up" if others[first] > 0 else "down"
        output.say(
            "Because",
            f"row {self.data.row_names[train[first]]} ({split.target} "
            f"{self._target(train[first])}) moves it {direction} most: without "
            f"it {short(predicted - others[first])} would be predicted. Check that row "
            "where this is wrong.",
        )
        result = self._named(place) | {"predicted": predicted}
        for i in own:
            alone = self._own(place, self.left_out.predictions[i])
            result |= {"without_it": alone, "leverage": self.left_out.leverages[i]}
            output.say(
                "Itself",
                f"without {self._alone} {short(alone)} would be predicted here; by "
                f"{self.left_out.leverages[i]:.0%} the prediction follows the row's "
                f"own target. Others would move by {short(self._size(i))} (root mean "
                f"square over training rows{self._unit}).",
            )
        output.table(
            ("row", split.target, "moves it by", "unsure"),
            [
                (
                    self.data.row_names[train[i]],
                    self._target(train[i]),
                    f"{others[i]:+.3g}",
                    "yes" if self.left_out.unsure[i] else "",
                )
                for i in strongest
            ],
        )
        moved_by = [
            self._named(train[i])
            | {"moves_it_by": others[i], "unsure": self.left_out.unsure[i]}
            for i in strongest
        ]
        return result | {"moved_by": moved_by, "reason": self.left_out.reason}

    def place(self, row: str) -> int:
        """Return the place of the row with this number or id."""
        names: list[str] = []
        for column in self.data.names.columns:
            names = [str(name) for name in self.data.names[column]]
            if row in names:
                return names.index(row)
        raise BadInput(
            f"ROW {row!r} is no row of the fit with a target; rows are numbered from 1 "
            f"below the header. {nearest(row, names)}"
        )

    @property
    def _predicted(self) -> str:
        classes = self.data.split.classes
        return "probability" if classes else "predicted"

    @property
    def _alone(self) -> str:
        """Return the words for the rows that leave together."""
        group = self.data.split.grouped_by
        return f"all rows of its {group!r}" if group else "the row"

    @property
    def _unit(self) -> str:
        return ", of log odds" if self.data.split.classes else ""

    def _size(self, i: int) -> float:
        """Return by how much predictions at training rows change without the i-th of them."""
        scale = getattr(self.model, "target_scale_", np.ones(()))
        return float(self.left_out.changes[i] * np.mean(scale))

    def _own(self, place: int, outputs: Any) -> float:
        """Return the number predicted, or the probability of the row's class."""
        split = self.data.split
        return float(outputs[split.targets[place]] if split.classes else outputs)

    def _target(self, place: int) -> str:
        split = self.data.split
        target = split.targets[place]
        return split.classes[target] if split.classes else number(target)

    def _named(self, place: int) -> dict[str, Any]:
        split = self.data.split
        target = split.targets[place]
        return {
            "row": self.data.row_names[place],
            "target": split.classes[target] if split.classes else target,
        }
