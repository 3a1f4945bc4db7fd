"""A PyMC model as one of rows: how its draws and its new rows are read, and how PyMC draws new rows."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import random
from jaxtyping import Key

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.predictive_law.row_model import NamedModel
from langevax.pymc import WITHOUT_NAME, Model, library, posterior, unconstrained
from langevax.run.datatree import draws_dataset

Arrays = Mapping[str, Any]


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
        self._check_names(stored.keys())
        new = _dictionary(data, stored)
        if new.keys() != stored.keys():
            raise ValueError(
                f"new has {sorted(new)}, but rows of the model are {sorted(stored)}; pass these."
            )
        return super().rows(({name: new[name] for name in stored},))

    def simulated(
        self,
        positions: PyTree,
        new: tuple[Any, ...],
        *,
        key: Key[jax.Array, ""],
    ) -> PyTree:
        """Return draws of the observed variables, by PyMC."""
        stored = self.finite_sum.data
        self._check_names(stored.keys())
        return sample_predictive(
            self.model,
            self.constrain(positions),
            _dictionary(new, stored),
            stored,
            key=key,
        )

    def _check_names(self, names: Iterable[str]) -> None:
        """Raise where an array is written into the model, as its values at new rows cannot be passed by name."""
        if alone := [name for name in names if name.startswith(WITHOUT_NAME)]:
            shapes = ", ".join(str(self.finite_sum.data[name].shape) for name in alone)
            raise ValueError(
                f"the model holds arrays without a name with one entry per row (of shape {shapes}), of which new rows "
                "have other values; write them as pm.Data('name', array)."
            )


def _dictionary(data: tuple[Any, ...], stored: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(data) != 1 or not isinstance(data[0], Mapping):
        raise TypeError(
            f"new must be one dictionary of arrays by name; pass those of {sorted(stored)}."
        )
    return data[0]


def sample_predictive(
    model: Model,
    values: Arrays,
    new: Arrays,
    stored: Arrays,
    *,
    key: PRNGKey,
) -> dict[str, np.ndarray]:
    """Return draws of the observed variables at new rows, (particle, row, ...), by PyMC.

    Args:
        model: a PyMC model, whose containers have the new values meanwhile.
        values: of the free variables, (particle, ...).
        new: values of `pm.Data` at the new rows; what is observed may be left out.
        stored: values at the rows of the fit.
        key: a typed JAX key.
    """
    pymc = library()
    containers = _containers(model, stored)
    of_rows = _of_new_rows(model, containers, new)
    before = {name: container.get_value() for name, container in containers.items()}
    of_rows = {name: of_rows[name].astype(before[name].dtype) for name in before}
    size = checks.leading_axis("new", of_rows)
    dims = [(model.named_vars_to_dims.get(name) or (None,))[0] for name in containers]
    coords = {
        name: model.coords[name]
        for name in dims
        if name is not None and model.coords.get(name) is not None
    }
    one_chain = {name: array[None] for name, array in values.items()}
    draws = draws_dataset(one_chain, 1, len(next(iter(values.values()))))
    with model, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pymc.set_data(of_rows, coords={name: range(size) for name in coords})
            drawn = pymc.sample_posterior_predictive(
                draws,
                var_names=[rv.name for rv in model.observed_RVs],
                random_seed=int(random.randint(key, (), 0, 2**31 - 1)),
                progressbar=False,
                return_inferencedata=False,
            )
        finally:
            pymc.set_data(before, coords=coords)
    return {name: np.asarray(array)[0] for name, array in drawn.items()}


def _containers(model: Model, stored: Arrays) -> dict[str, Any]:
    """Return the model's variables of data with one entry for each row."""
    shared = library().SharedVariable
    containers = {name: model.named_vars.get(name) for name in stored}
    for name, container in containers.items():
        if not isinstance(container, shared):
            raise ValueError(
                f"the model holds {name!r} as an array of its own rows; write it as pm.Data({name!r}, array)."
            )
    return containers


def _of_new_rows(
    model: Model, containers: dict[str, Any], new: Arrays
) -> dict[str, np.ndarray]:
    """Return the values of the containers at new rows, zeros for what is observed."""
    values = [model.rvs_to_values[rv] for rv in model.observed_RVs]
    observed = set(library().graph_inputs(values))
    needed = [name for name, one in containers.items() if one not in observed]
    if missing := [name for name in needed if name not in new]:
        raise ValueError(f"new lacks {missing}; pass a dictionary of {needed}.")
    arrays = {name: np.asarray(array) for name, array in new.items()}
    size = checks.leading_axis("new", arrays)
    return {
        name: arrays[name]
        if name in needed
        else np.zeros((size, *one.get_value().shape[1:]))
        for name, one in containers.items()
    }
