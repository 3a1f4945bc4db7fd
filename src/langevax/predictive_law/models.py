"""The models that `predictive` takes: a posterior by rows, a NumPyro or a PyMC model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Key

from langevax import checks, trees
from langevax._typing import PyTree
from langevax.predictive_law.row_model import NamedModel, RowModel
from langevax.problems.blocks import tree_as_rows
from langevax.problems.finite_sum import Posterior
from langevax.problems.finite_sum import posterior as posterior_of
from langevax.pymc import is_model
from langevax.sampling import Samples
from langevax.sampling.target import TransformedTarget

ModelFunction = Callable[..., Any]


@dataclass(frozen=True)
class NumPyroModel(NamedModel):
    """A NumPyro model and the arguments that it was conditioned on."""

    model: ModelFunction = lambda: None
    arguments: tuple[Any, ...] = ()

    def unconstrained(self, values: Mapping[str, jax.Array]) -> PyTree:
        """Return draws in the coordinates of NumPyro's bijections."""
        from numpyro.infer.util import unconstrain_fn

        with jax.numpy_dtype_promotion("standard"):
            return jax.jit(
                jax.vmap(partial(unconstrain_fn, self.model, self.arguments, {}))
            )(values)

    def rows(self, data: tuple[Any, ...]) -> PyTree:
        """Return the new arguments in the places of those that have one entry for each row."""
        if len(data) != len(self.arguments):
            raise ValueError(
                f"new has {len(data)} arguments, but the model took "
                f"{len(self.arguments)}; pass as many."
            )
        stored = self.finite_sum.data
        taken = jax.tree.map(
            lambda row, new: None if row is None else new,
            stored,
            (data, {}),
            is_leaf=lambda leaf: leaf is None,
        )
        rows = tree_as_rows("new", taken)
        checks.leading_axis("new", rows)
        return rows


def model_of(model: Any, data: tuple[Any, ...]) -> RowModel:
    """Return what the arguments of `predictive` stand for."""
    if isinstance(model, RowModel):
        return model
    if isinstance(model, Posterior | TransformedTarget):
        if data:
            raise TypeError(
                "data belong to the posterior that model is; leave them out."
            )
        return RowModel(model)
    if is_model(model):
        if data:
            raise TypeError("data belong to a PyMC model; leave them out.")
        from langevax.predictive_law.pymc_model import pymc_model

        return pymc_model(model)
    checks.function("model", model, "(*data), or log_prior(position)")
    if data and callable(data[0]):
        if len(data) != 2:
            raise TypeError(
                "data is missing or too much: pass predictive(log_prior, "
                "log_likelihood, data, key=key)."
            )
        return RowModel(posterior_of(model, *data))
    return _numpyro_model(model, data)


def _numpyro_model(model: ModelFunction, data: tuple[Any, ...]) -> NumPyroModel:
    with checks.needs("numpyro", "a NumPyro model"):
        from numpyro import handlers
        from numpyro.infer.initialization import init_to_uniform

        from langevax.numpyro import RefusedModelError, posterior

    try:
        target: Any = posterior(model, *data)
    except RefusedModelError as error:
        raise ValueError(
            f"{error} If model is a log_prior, not a NumPyro model, pass a function "
            "log_likelihood(position, row) and its data."
        ) from error
    with jax.numpy_dtype_promotion("standard"):
        drawn = handlers.substitute(
            handlers.seed(model, 0), substitute_fn=init_to_uniform
        )
        trace = handlers.trace(drawn).get_trace(*data)
    sites = {name: site for name, site in trace.items() if site["type"] == "sample"}
    observed = {name: site for name, site in sites.items() if site["is_observed"]}
    if scaled := [
        name
        for name, site in observed.items()
        if not np.all(np.asarray(1.0 if site["scale"] is None else site["scale"]) == 1)
    ]:
        raise ValueError(
            f"the log density of site {scaled[0]!r} is scaled "
            "(numpyro.handlers.scale), so that rows have no normalised predictive "
            "density; leave the scale out."
        )
    is_density = any(not site["fn"].support.is_discrete for site in observed.values())
    return NumPyroModel(target, is_density, model, data)


def flat_draws(
    model: RowModel,
    draws: PyTree | Samples | None,
    start: PyTree,
    *,
    key: Key[jax.Array, ""],
) -> tuple[Float[np.ndarray, "draw d"], PyTree]:
    """Return posterior draws as flat vectors, made by `sample` where there are none, and one of them as a position."""
    if draws is None:
        if start is None and not isinstance(model.target, TransformedTarget):
            raise ValueError(
                "start is missing: pass a position from which to search for a mode, or "
                "draws."
            )
        draws = model.draw(start, key=key)
    if isinstance(draws, Samples):
        positions = draws.user_coordinates.to_positions(jnp.asarray(draws.draws))
        positions = trees.without_chains(positions)
    else:
        positions = model.positions_of(draws)
    checks.position("draws", positions)
    count = checks.leading_axis("draws", positions)
    leaves = [np.reshape(leaf, (count, -1)) for leaf in jax.tree.leaves(positions)]
    return np.concatenate(leaves, axis=1), jax.tree.map(
        lambda a: jnp.asarray(a[0]), positions
    )
