"""A NumPyro model as a posterior that minibatch methods can sample.

NumPyro writes a model for all rows at once. Here the model is called with one row (of leading length 1) at a time, for
its likelihood, and its latent sites are moved to unconstrained space by NumPyro's own bijections; the Jacobian belongs
to the prior. That is right for models whose rows are independent given the latent sites.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree
from numpyro import handlers
from numpyro.distributions import biject_to

from langevax import checks
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.posterior import Posterior
from langevax.problems.posterior import posterior as posterior_of

Position = dict[str, Array]


class ModelPosterior(NamedTuple):
    """A posterior and the way back to the model's own sites."""

    target: Posterior
    """For `langevax.sample`, in unconstrained coordinates."""
    start: Callable[[Key[Array, ""]], Position]
    """key -> a draw of the prior, unconstrained."""
    constrain: Callable[[PyTree], Position]
    """Unconstrained positions as values of the sites, with any leading axes such as (chain, draw)."""

    @property
    def problem(self) -> FiniteSum:
        return self.target.problem


class _Sites(eqx.Module):
    """The latent sites of a model, and its log densities row by row."""

    model: Callable[..., Any] = eqx.field(static=True)

    def trace(self, position: Position, row: PyTree) -> dict[str, Any]:
        with handlers.block(), handlers.seed(rng_seed=0):
            free = handlers.substitute(self.model, substitute_fn=lambda site: self._value(site, position))
            return handlers.trace(free).get_trace(*jax.tree.map(lambda a: a[None], row))

    @staticmethod
    def _value(site: dict[str, Any], position: Position) -> Any:
        if site["type"] == "sample" and site["name"] in position and not site["is_observed"]:
            return biject_to(site["fn"].support)(position[site["name"]])
        return None

    def log_likelihood(self, position: Position, row: PyTree) -> Float[Array, ""]:
        observed = [s for s in self.trace(position, row).values() if s["type"] == "sample" and s["is_observed"]]
        return sum((jnp.sum(s["fn"].log_prob(s["value"])) for s in observed), jnp.zeros(()))

    def log_prior(self, row: PyTree, position: Position) -> Float[Array, ""]:
        total = jnp.zeros(())
        sites = self.trace(position, row)
        for name, free in position.items():
            fn = sites[name]["fn"]
            bijection = biject_to(fn.support)
            value = bijection(free)
            total += jnp.sum(fn.log_prob(value)) + jnp.sum(bijection.log_abs_det_jacobian(free, value))
        return total

    def constrain(self, row: PyTree, position: Position) -> Position:
        sites = self.trace(position, row)
        return {name: biject_to(sites[name]["fn"].support)(free) for name, free in position.items()}


def posterior(model: Callable[..., Any], *data: Any) -> ModelPosterior:
    """The posterior of `model(*data)`, ready for `langevax.sample`.

    Args:
        model: a NumPyro model, called with rows of the data; plates must take their size from the data they are
            given, and latent sites must not depend on the number of rows.
        data: arrays with one observation per row along axis 0, as the model takes them.

    Raises:
        ValueError: data of different lengths; a latent site whose shape depends on the rows, such as one inside a plate
            over the data; no observed site.

    Example:
        >>> import jax, jax.numpy as jnp, langevax, numpyro, numpyro.distributions as dist
        >>> import langevax.numpyro
        >>> def model(y):
        ...     scale = numpyro.sample("scale", dist.HalfNormal(2.0))
        ...     with numpyro.plate("rows", len(y)):
        ...         numpyro.sample("y", dist.Normal(0.0, scale), obs=y)
        >>> found = langevax.numpyro.posterior(model, 3.0 * jax.random.normal(jax.random.key(0), (1000,)))
        >>> draws = langevax.sample(found.target, found.start, key=jax.random.key(1), num_samples=100)
        >>> scale = found.constrain(draws.positions)["scale"]
        >>> scale.shape, bool(abs(scale.mean() - 3) < 0.3)
        ((4, 100), True)
    """
    checks.leading_axis("data", data)
    sites = _Sites(model)
    first, both = (tuple(np.asarray(a)[:rows] for a in data) for rows in (1, 2))
    shapes = [_latent_shapes(model, part) for part in (first, both)]
    if shapes[0] != shapes[1] and len(data[0]) > 1:
        changed = [name for name in shapes[0] if shapes[0][name] != shapes[1].get(name)]
        raise ValueError(
            f"latent sites {changed} change with the number of rows: rows are not independent given them, and batches "
            "of rows would be another model; move them out of the plate over the data."
        )
    row = jax.tree.map(lambda a: jnp.asarray(a[0]), first)

    def log_likelihood(position: Position, row: PyTree) -> Float[Array, ""]:
        return sites.log_likelihood(position, row)

    def log_prior(position: Position) -> Float[Array, ""]:
        return sites.log_prior(row, position)

    def start(key: Key[Array, ""]) -> Position:
        with handlers.block():
            trace = handlers.trace(handlers.seed(model, key)).get_trace(*jax.tree.map(lambda a: a[None], row))
        return {
            name: jnp.asarray(biject_to(site["fn"].support).inv(site["value"]))
            for name, site in trace.items()
            if _is_latent(site)
        }

    def constrain(positions: PyTree) -> Position:
        name, shape = next(iter(shapes[0].items()))
        leading = jnp.ndim(positions[name]) - len(shape)
        function = lambda position: sites.constrain(row, position)  # noqa: E731
        for _ in range(leading):
            function = jax.vmap(function)
        return jax.tree.map(np.asarray, function(jax.tree.map(jnp.asarray, positions)))

    return ModelPosterior(posterior_of(log_prior, log_likelihood, data), start, constrain)


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def _latent_shapes(model: Callable[..., Any], data: tuple[Any, ...]) -> dict[str, tuple[int, ...]]:
    with handlers.block():
        trace = handlers.trace(handlers.seed(model, 0)).get_trace(*data)
    if not any(s["type"] == "sample" and s["is_observed"] for s in trace.values()):
        raise ValueError(
            "the model observes nothing: give a site obs=, or sample it with NumPyro's own prior sampling."
        )
    for name, site in trace.items():
        if _is_latent(site) and site["fn"].support.is_discrete:
            raise ValueError(f"site {name!r} is discrete, and has no gradient; sum it out of the model.")
    return {
        name: jnp.shape(biject_to(site["fn"].support).inv(site["value"]))
        for name, site in trace.items()
        if _is_latent(site)
    }


__all__ = ["ModelPosterior", "posterior"]
