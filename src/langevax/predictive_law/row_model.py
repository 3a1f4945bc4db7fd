"""Models by rows, of which a predictive law is made: how their particles, draws and new rows are read."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Key

from langevax import checks
from langevax._typing import PyTree
from langevax.problems.blocks import tree_as_rows
from langevax.problems.finite_sum import FiniteSum, Posterior
from langevax.problems.model_posterior import WholeDensity
from langevax.run import Run
from langevax.sampling import Samples, sample
from langevax.sampling.target import TransformedTarget

NUM_SAMPLES = 512
"""Draws of each of the four chains from which a law starts, where the user has none."""


@dataclass(frozen=True)
class RowModel:
    """A log prior and a log likelihood of one row, as functions."""

    target: Posterior | TransformedTarget
    has_density_floor: bool = True
    """True unless all rows are known to be counts or classes."""

    @property
    def finite_sum(self) -> FiniteSum:
        """The posterior as a sum over rows; raise where it is not one."""
        target = (
            self.target if isinstance(self.target, Posterior) else self.target.target
        )
        problem = target.problem
        if isinstance(problem, FiniteSum):
            return problem
        cause = "it is one function of all data"
        remedy = "pass a log_prior, a log_likelihood of one row, and the data"
        density = getattr(problem, "fun", None)
        if isinstance(density, WholeDensity):
            cause = density.cause
            remedy = density.remedy
        raise ValueError(
            "model is not a sum over rows, which the score of a predictive "
            "distribution needs, as it averages the density of each row over the "
            f"distribution of the parameters before its logarithm is taken: {cause}; "
            f"{remedy}."
        )

    def positions_of(self, draws: PyTree) -> PyTree:
        """Return the user's draws, with one leading axis, in the coordinates of the log likelihood."""
        return checks.arrays("draws", draws)

    def draw(self, start: PyTree, *, key: Key[jax.Array, ""]) -> Samples:
        """Return posterior draws."""
        return sample(
            self.target,
            start,
            key=key,
            num_samples=NUM_SAMPLES,
            run=Run(progress=False),
        )

    def constrain(self, positions: PyTree) -> PyTree:
        """Return positions as the user writes them."""
        return jax.tree.map(np.asarray, positions)

    def rows(self, data: tuple[Any, ...]) -> PyTree:
        """Return new data as rows."""
        (rows,) = data if len(data) == 1 else (data,)
        rows = tree_as_rows("new", rows)
        stored = self.finite_sum.data
        shapes = jax.tree.map(lambda leaf: leaf.shape[1:], rows)
        expected = jax.tree.map(lambda leaf: leaf.shape[1:], stored)
        if shapes != expected:
            raise ValueError(
                f"new has rows of shape {shapes}, but data had {expected}; pass the "
                "same structure and columns."
            )
        checks.leading_axis("new", rows)
        return jax.tree.map(lambda a, b: a.astype(b.dtype), rows, stored)


@dataclass(frozen=True)
class NamedModel(RowModel):
    """A model of another library; positions are unconstrained, draws are values by the names of its variables."""

    def start(self, key: Key[jax.Array, ""]) -> Mapping[str, Any]:
        """Return a position that has the structure of all."""
        assert isinstance(self.target, TransformedTarget)
        return self.target.start(key)

    def constrain(self, positions: PyTree) -> PyTree:
        """Return values of the variables."""
        assert isinstance(self.target, TransformedTarget)
        return self.target.constrain(positions)

    def positions_of(self, draws: PyTree) -> PyTree:
        """Return values of the variables, such as `mcmc.get_samples()`, in unconstrained coordinates."""
        if not isinstance(draws, Mapping):
            raise TypeError(
                "draws must be a dictionary of the model's variables, got "
                f"{checks.shown(draws)}; pass that."
            )
        first = self.start(random.key(0))
        if missing := sorted(first.keys() - draws.keys()):
            raise ValueError(
                f"draws lacks the variables {missing}; pass draws of {sorted(first)}."
            )
        values = {
            name: jnp.asarray(checks.plain_array(f"draws[{name!r}]", draws[name]))
            for name in first
        }
        variables = self.constrain(jax.tree.map(lambda a: jnp.asarray(a)[None], first))
        for name, value in values.items():
            if value.shape[1:] != (expected := np.shape(variables[name])[1:]):
                raise ValueError(
                    f"draws[{name!r}] has shape {value.shape}, but the variable has "
                    f"shape {expected}; pass draws with one leading axis, such as "
                    "mcmc.get_samples()."
                )
        return self.unconstrained(values)

    @abstractmethod
    def unconstrained(self, values: Mapping[str, jax.Array]) -> PyTree:
        """Return draws, with one leading axis, in unconstrained coordinates."""
