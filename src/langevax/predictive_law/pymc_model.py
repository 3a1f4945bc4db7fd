"""A PyMC model as one of rows: how its draws and its new rows are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from langevax import checks
from langevax._typing import PyTree
from langevax.predictive_law.row_model import NamedModel
from langevax.pymc import WITHOUT_NAME, Model, posterior, unconstrained


def pymc_model(model: Model) -> "PyMCModel":
    """Return a model whose rows can be separated, or whose `finite_sum` says why not."""
    target: Any = posterior(model)
    is_density = any(rv.type.dtype.startswith("float") for rv in model.observed_RVs)
    return PyMCModel(target, is_density, model)


@dataclass(frozen=True)
class PyMCModel(NamedModel):
    """A PyMC model, whose new rows are a dictionary of the arrays that have one entry for each row."""

    model: Any = None

    def positions_of(self, draws: PyTree) -> PyTree:
        """Return draws in unconstrained coordinates; what `pm.sample` returns has them by chains."""
        group = getattr(draws, "posterior", None)
        if group is not None:
            names = [rv.name for rv in self.model.free_RVs if rv.name in group]
            arrays = {name: np.asarray(group[name]) for name in names}
            draws = {
                name: array.reshape(-1, *array.shape[2:])
                for name, array in arrays.items()
            }
        return super().positions_of(draws)

    def unconstrained(self, values: Mapping[str, jax.Array]) -> PyTree:
        """Return draws in the coordinates of PyMC's transforms."""
        return unconstrained(self.model, values)

    def rows(self, data: tuple[Any, ...]) -> PyTree:
        """Return new values of the arrays that have one entry for each row."""
        stored = self.finite_sum.data
        if alone := [name for name in stored if name.startswith(WITHOUT_NAME)]:
            shapes = ", ".join(str(stored[name].shape) for name in alone)
            raise ValueError(
                "the model holds arrays without a name with one entry per row (of "
                f"shape {shapes}), of which new rows have other values; write them as "
                "pm.Data('name', array)."
            )
        new = data[0] if len(data) == 1 else data
        if not isinstance(new, Mapping) or new.keys() != stored.keys():
            raise ValueError(
                f"new must be one dictionary of {sorted(stored)}, got "
                f"{checks.shown(new)}; pass these arrays by name."
            )
        return super().rows(({name: new[name] for name in stored},))
