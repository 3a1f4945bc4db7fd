"""A NumPyro model as a posterior that minibatch methods can sample.

NumPyro writes a model for all rows at once. Here the model is called with one row (of leading length 1) at a time:

    log p(x | data)  =  sum over prior sites of log density(x)  +  sum_i  sum over row sites of log density(x, row_i)

Row sites are those whose log density depends on which rows the model is called with; all others, the Jacobians of
NumPyro's bijections to unconstrained space included, belong to the prior and count once. Both sums keep every constant,
so that they are compared with NumPyro's own log density as absolute values.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from langevax import checks
from langevax._typing import PyTree
from langevax.problems.blocks import tree_as_rows
from langevax.problems.finite_sum import FiniteSum, Posterior
from langevax.problems.finite_sum import posterior as posterior_of

with checks.needs("numpyro", "langevax.numpyro"):
    import numpyro
    from numpyro import handlers
    from numpyro.distributions import ImproperUniform, biject_to
    from numpyro.infer.initialization import init_to_uniform
    from numpyro.infer.util import compute_log_probs, potential_energy

Position = dict[str, Array]
Model = Callable[..., object]
Rows = tuple[Array, ...]
Site = dict[str, Any]  # NumPyro's own
Shapes = dict[str, tuple[int, ...]]

CHECKED_ROWS = 100_000
"""Rows on which the two log densities are compared: the first ones, where there are more."""

NUM_POINTS, RADIUS = 3, 2
"""Points at which they are compared, uniform in (-RADIUS, RADIUS) in each unconstrained coordinate (as NumPyro)."""

TOLERANCE = 1e-6
"""Of the sum of absolute log densities: models may cast to float32 within, which rounds to 1e-7."""


class ModelPosterior(NamedTuple):
    """A posterior and the map back to the sites of the model."""

    target: Posterior
    """For `langevax.sample`, in unconstrained coordinates."""
    start: Callable[[Key[Array, ""]], Position]
    """key -> a draw of the prior, unconstrained; where a prior is improper, uniform in (-2, 2)."""
    constrain: Callable[[PyTree], Position]
    """Unconstrained positions as values of the sites, with any leading axes such as (chain, draw)."""

    @property
    def problem(self) -> FiniteSum:
        return self.target.problem

    def __repr__(self) -> str:
        return f"ModelPosterior({int(self.problem.size):,} rows; fields: {', '.join(self._fields)})"


class _LogDensities(eqx.Module):
    """The log density of every site of a model in unconstrained coordinates."""

    model: Model = eqx.field(static=True)
    prior_sites: frozenset[str] = eqx.field(static=True, default=frozenset())

    def __call__(self, position: Position, rows: Rows) -> dict[str, Array]:
        """Unsummed, scaled and masked as NumPyro does."""
        with handlers.block():
            return compute_log_probs(self._substituted(position), rows, {}, {}, sum_log_prob=False)[0]

    def values(self, position: Position, rows: Rows) -> Position:
        """Latent sites on their own supports."""
        with handlers.block():
            trace = handlers.trace(self._substituted(position)).get_trace(*rows)
        return {name: trace[name]["value"] for name in position}

    def prior(self, position: Position, rows: Rows) -> Float[Array, ""]:
        """Sum over the prior sites; any rows will do."""
        return _total(density for name, density in self(position, rows).items() if name in self.prior_sites)

    def likelihood(self, position: Position, row: Rows) -> Float[Array, ""]:
        """Sum over the row sites at one row."""
        densities = self(position, _batch_of(row)).items()
        return _total(density for name, density in densities if name not in self.prior_sites)

    def row_by_row(self, position: Position, rows: Rows) -> dict[str, Array]:
        """The log densities that a `FiniteSum` adds up, unsummed."""
        by_row = jax.vmap(lambda row: self(position, _batch_of(row)))(rows)
        first = self(position, _first(rows))
        return {name: first[name] if name in self.prior_sites else by_row[name] for name in first}

    def _substituted(self, position: Position) -> Model:
        return handlers.substitute(handlers.seed(self.model, 0), substitute_fn=partial(_constrained, position))


def _constrained(position: Position, site: Site) -> Array | None:
    """The value of a latent site, whose Jacobian becomes a site of its own, scaled and masked as NumPyro's is."""
    if site["type"] != "sample" or site["is_observed"] or site["name"] not in position:
        return None
    bijection = biject_to(site["fn"].support)
    free = position[site["name"]]
    value = bijection(free)
    log_det = bijection.log_abs_det_jacobian(free, value)
    batch = jnp.ndim(value) - len(site["fn"].event_shape)
    numpyro.factor(_log_det_of(site["name"]), jnp.sum(log_det, axis=tuple(range(batch, jnp.ndim(log_det)))))
    return value


def posterior(model: Model, *data: ArrayLike) -> ModelPosterior:
    """Return the posterior of `model(*data)`, ready for `langevax.sample`.

    Its log density is compared with NumPyro's own at three random points, in float64 and over at most the first 100,000
    rows: as absolute values, since both keep their constants.

    Args:
        model: a NumPyro model, called with rows of the data. Plates must take their size from the data, everything
            with one entry per row (masks, weights, group indices) must be passed as data, and latent sites must not
            depend on the number of rows.
        data: arrays with one observation per row along axis 0, as the model takes them.

    Raises:
        ValueError: data of different lengths; a latent site whose shape depends on the rows, such as one inside a plate
            over the data; a discrete latent site; no observed site; a plate that takes a subsample; a site whose log
            density is not a sum over rows or is otherwise not NumPyro's.

    Example:
        >>> import jax, jax.numpy as jnp, langevax, numpyro, numpyro.distributions as dist
        >>> import langevax.numpyro
        >>> def model(y):
        ...     scale = numpyro.sample("scale", dist.HalfNormal(2.0))
        ...     with numpyro.plate("rows", len(y)):
        ...         numpyro.sample("y", dist.Normal(0.0, scale), obs=y)
        >>> y = 3.0 * jax.random.normal(jax.random.key(0), (1000,))
        >>> target, start, constrain = langevax.numpyro.posterior(model, y)
        >>> draws = langevax.sample(target, start, key=jax.random.key(1), num_samples=100)
        >>> scale = constrain(draws.positions)["scale"]
        >>> scale.shape, bool(abs(scale.mean() - 3) < 0.3)
        ((4, 100), True)
    """
    checks.function("model", model, "(*data)")
    num_rows = checks.leading_axis("data", data)
    rows = tree_as_rows("data", jax.tree.map(lambda a: a[:CHECKED_ROWS], data))
    first = _first(rows)
    shapes = _latent_shapes(model, first)
    if num_rows > 1:
        all_shapes = _latent_shapes(model, rows)
        if changed := [name for name in shapes if shapes[name] != all_shapes.get(name)]:
            raise ValueError(
                f"latent sites {changed} change with the number of rows: rows are not independent given them, and "
                "batches of rows would be another model; move them out of the plate over the data."
            )
    with jax.enable_x64(), jax.numpy_dtype_promotion("standard"):
        log_densities = _checked(model, shapes, rows)

    def start(key: Key[Array, ""]) -> Position:
        trace = _prior_trace(model, key, first)
        return {name: jnp.asarray(biject_to(trace[name]["fn"].support).inv(trace[name]["value"])) for name in shapes}

    def constrain(positions: PyTree) -> Position:
        name, shape = next(iter(shapes.items()))
        function = partial(log_densities.values, rows=first)
        for _ in range(jnp.ndim(positions[name]) - len(shape)):
            function = jax.vmap(function)
        return jax.tree.map(np.asarray, function(jax.tree.map(jnp.asarray, positions)))

    def log_prior(position: Position) -> Float[Array, ""]:
        return log_densities.prior(position, first)

    return ModelPosterior(posterior_of(log_prior, log_densities.likelihood, data), start, constrain)


def _prior_trace(model: Model, key: Key[Array, ""] | int, rows: Rows) -> dict[str, Site]:
    def of_improper(site: Site) -> object:
        return init_to_uniform(site, RADIUS) if isinstance(site.get("fn"), ImproperUniform) else None

    with handlers.block():
        drawn = handlers.substitute(handlers.seed(model, key), substitute_fn=of_improper)
        return handlers.trace(drawn).get_trace(*rows)


def _latent_shapes(model: Model, rows: Rows) -> Shapes:
    """Unconstrained shapes of the latent sites; raise for models of which no rows can be drawn."""
    trace = _prior_trace(model, 0, rows)
    for name, site in trace.items():
        if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
            _, subsample_size = site["args"]
            raise ValueError(
                f"plate {name!r} draws a subsample of {subsample_size} rows, but langevax draws the batches itself: "
                "leave subsample_size out and take the size of the plate from the data."
            )
    samples = {name: site for name, site in trace.items() if site["type"] == "sample"}
    if not any(site["is_observed"] for site in samples.values()):
        raise ValueError(
            "the model observes nothing: give a site obs=, or draw from its prior with numpyro.infer.Predictive."
        )
    latent = {name: site for name, site in samples.items() if not site["is_observed"]}
    for name, site in latent.items():
        if site["fn"].support.is_discrete:
            raise ValueError(f"site {name!r} is discrete, and has no gradient; sum it out of the model.")
    return {name: jnp.shape(biject_to(site["fn"].support).inv(site["value"])) for name, site in latent.items()}


def _checked(model: Model, shapes: Shapes, rows: Rows) -> _LogDensities:
    """Tell prior sites from row sites; raise unless the two kinds add up to NumPyro's own log density."""
    points = [_random_point(key, shapes) for key in jax.random.split(jax.random.key(0), NUM_POINTS)]
    densities = eqx.filter_jit(_LogDensities(model))
    alone, together = densities(points[0], _first(rows)), densities(points[0], rows)
    latent = {*shapes, *map(_log_det_of, shapes)}
    prior_sites = frozenset(name for name in together if name in latent or _agree(alone[name], together[name]))
    by_row = _LogDensities(model, prior_sites)
    sums, seeded = eqx.filter_jit(by_row.row_by_row), handlers.seed(model, 0)
    own_potential = jax.jit(lambda point, rows: potential_energy(seeded, rows, {}, point))
    for point in points:
        ours, theirs = sums(point, rows), densities(point, rows)
        for name in theirs:
            _compare(f"site {name!r} has", ours[name], theirs[name])
        _compare("the sites together have", _total(ours.values()), -own_potential(point, rows), theirs)
    return by_row


def _random_point(key: Key[Array, ""], shapes: Shapes) -> Position:
    keys = jax.random.split(key, len(shapes))
    return {
        name: jax.random.uniform(site_key, shape, float, -RADIUS, RADIUS)
        for site_key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def _compare(subject: str, ours: Array, theirs: Array, terms: PyTree = None) -> None:
    """Raise unless the sums agree, to the rounding of `terms`, those of NumPyro's sum."""
    scale = sum(float(jnp.sum(jnp.abs(term))) for term in jax.tree.leaves(theirs if terms is None else terms))
    by_row, own = float(jnp.sum(ours)), float(jnp.sum(theirs))
    if by_row == own or abs(by_row - own) <= TOLERANCE * scale < np.inf:  # infinities may be equal
        return
    raise ValueError(
        f"{subject} the log density {own:.9g} in NumPyro, but {by_row:.9g} where the model is called with one row at a "
        "time, as langevax does: pass everything that has one entry per row (masks, scales, weights, group indices) as "
        "data, and take the sizes of plates from the data. Where a site depends on several rows at once, use "
        "numpyro.infer.NUTS."
    )


def _agree(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(jnp.all(one == other))


def _total(densities: Iterable[Array]) -> Float[Array, ""]:
    return sum(map(jnp.sum, densities), jnp.zeros(()))


def _first(rows: Rows) -> Rows:
    return jax.tree.map(lambda a: a[:1], rows)


def _batch_of(row: Rows) -> Rows:
    return jax.tree.map(lambda a: a[None], row)


def _log_det_of(site: str) -> str:
    return f"_{site}_log_det"


__all__ = ["ModelPosterior", "posterior"]
__dir__ = __all__.copy
