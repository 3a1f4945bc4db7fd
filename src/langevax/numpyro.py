"""A NumPyro model as a posterior, with minibatches where its log density is a sum over rows.

NumPyro writes a model for all rows at once. Where possible the model is called with one row (of leading length 1) at a
time:

    log p(x | data)  =  sum over prior sites of log density(x)  +  sum_i  sum over row sites of log density(x, row_i)

Row sites are those whose log density depends on which rows the model is called with; all others, the Jacobians of
NumPyro's bijections to unconstrained space included, belong to the prior and count once. Both sums keep every constant,
so that they are compared with NumPyro's own log density as absolute values. Where a model fails the comparison, its
posterior is NumPyro's own log density of all rows, with full gradients.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from langevax import checks
from langevax._typing import FloatScalar, PRNGKey, PyTree
from langevax.problems import tracing
from langevax.problems.blocks import tree_as_rows
from langevax.problems.finite_sum import Posterior
from langevax.problems.finite_sum import posterior as posterior_of
from langevax.problems.model_posterior import (
    CHECKED_ROWS,
    TRIED_POINTS,
    Description,
    ModelPosterior,
    NotRowsError,
    Position,
    RefusedModelError,
    Shapes,
    WholeDensity,
    check_finite,
    is_same_sum,
    one_by_one,
    over_leading_axes,
    points_of_finite_density,
    random_point,
    refusing,
)
from langevax.problems.problem import Function

with checks.needs("numpyro", "langevax.numpyro"):
    import numpyro
    from numpyro import handlers
    from numpyro.distributions import Unit, biject_to, constraints
    from numpyro.distributions.transforms import Transform
    from numpyro.infer.initialization import init_to_uniform
    from numpyro.infer.util import compute_log_probs, constrain_fn, potential_energy

Model = Callable[..., object]
RowModel = Callable[[PyTree], object]
Site = dict[str, Any]  # NumPyro's own
OwnPotential = Callable[[Position, PRNGKey], FloatScalar]
"""NumPyro's potential; the key is for what is drawn within the model."""


class _Potential(WholeDensity):
    """NumPyro's own potential of a model bound to all its data."""

    model: Model = eqx.field(static=True)
    sites: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, position: Position) -> FloatScalar:
        for site in self.sites:
            _check_site(site, position)
        return _own_potential(self.model, position)


class _LogDensities(eqx.Module):
    """The log density of every site of a model in unconstrained coordinates."""

    model: RowModel = eqx.field(static=True)
    prior_sites: frozenset[str] = eqx.field(static=True, default=frozenset())

    def __call__(self, position: Position, rows: PyTree) -> dict[str, Array]:
        """Unsummed, scaled and masked as NumPyro does."""
        with _numpyros_way():
            return compute_log_probs(
                self._substituted(position), (rows,), {}, {}, sum_log_prob=False
            )[0]

    def prior(self, position: Position, rows: PyTree) -> FloatScalar:
        """Sum over the prior sites; any rows will do."""
        return _total(
            density
            for name, density in self(position, rows).items()
            if name in self.prior_sites
        )

    def likelihood(self, position: Position, row: PyTree) -> FloatScalar:
        """Sum over the row sites at one row."""
        densities = self(position, _batch_of(row)).items()
        return _total(
            density for name, density in densities if name not in self.prior_sites
        )

    def row_by_row(self, position: Position, rows: PyTree) -> dict[str, Array]:
        """The log densities that a `FiniteSum` adds up, unsummed."""
        by_row = jax.vmap(lambda row: self(position, _batch_of(row)))(rows)
        first = self(position, _first(rows))
        return {
            name: first[name] if name in self.prior_sites else by_row[name]
            for name in first
        }

    def _substituted(self, position: Position) -> RowModel:
        return handlers.substitute(
            handlers.seed(self.model, 0), substitute_fn=partial(_constrained, position)
        )


def _constrained(position: Position, site: Site) -> Array | None:
    """The value of a latent site, whose Jacobian becomes a site of its own, scaled and masked as NumPyro's is."""
    if site["type"] != "sample" or site["is_observed"]:
        return None
    _check_site(site["name"], position)
    bijection = biject_to(site["fn"].support)
    free = position[site["name"]]
    value = bijection(free)
    log_det = bijection.log_abs_det_jacobian(free, value)
    batch = jnp.ndim(value) - len(site["fn"].event_shape)
    numpyro.factor(
        _log_det_of(site["name"]),
        jnp.sum(log_det, axis=tuple(range(batch, jnp.ndim(log_det)))),
    )
    return value


def _check_site(site: str, position: Position) -> None:
    """Raise where a position lacks a latent site, which NumPyro would draw."""
    if site not in position:
        raise ValueError(
            f"the position lacks site {site!r} of the model; it has {[*position]}."
        )


def posterior(model: Model, *data: Any, **options: Any) -> ModelPosterior:
    """Return the posterior of `model(*data, **options)`, ready for `langevax.sample`.

    Where the model can be called with one row at a time, its log density is compared with NumPyro's own at three random
    points, in float64 and over at most the first 100,000 rows: as absolute values, since both keep their constants.
    Where the two differ, the posterior is NumPyro's own log density of all rows, which takes full gradients, and
    `full_gradients` says which site prevents minibatches.

    Args:
        model: a NumPyro model. For minibatches its plates must take their size from the data, everything with one entry
            per row (masks, weights, group indices) must be passed as data, and latent sites must not depend on the
            number of rows.
        data, options: the arguments of the model. Arrays as long as the longest of them are rows, one observation
            each along axis 0; all other arguments are held fixed. Rows whose sites `handlers.mask` hides are left out.

    Raises:
        ValueError: a discrete latent site; no observed site; no latent site; a plate that takes a subsample; a log
            density that depends on random numbers drawn within the model, or that is finite nowhere; arguments on
            which the model fails.

    Example:
        >>> import jax, jax.numpy as jnp, langevax, numpyro, numpyro.distributions as dist
        >>> import langevax.numpyro
        >>> def model(y):
        ...     scale = numpyro.sample("scale", dist.HalfNormal(2.0))
        ...     with numpyro.plate("rows", len(y)):
        ...         numpyro.sample("y", dist.Normal(0.0, scale), obs=y)
        >>> y = 3.0 * jax.random.normal(jax.random.key(0), (1000,))
        >>> adapted = langevax.numpyro.posterior(model, y)
        >>> draws = langevax.sample(adapted, key=jax.random.key(1), num_samples=600, algorithm=langevax.MALA())
        >>> scale = draws.positions["scale"]
        >>> scale.shape, bool(abs(scale.mean() - 3) < 0.3)
        ((4, 600), True)
    """
    checks.function("model", model, "(*data)")
    tracing.forget_old_numbers(model)
    bound = partial(model, *data, **options)
    try:
        target, bound, shapes = _sum_over_rows(model, (data, options))
    except NotRowsError as error:
        remedy = (
            "pass arguments with which it computes: arrays of numbers, as many rows in "
            "each"
        )
        with refusing("the model fails on its data", remedy):
            shapes = _latent_shapes(bound)
            own_potential = jax.jit(partial(_own_potential, bound))
            _check_deterministic(own_potential, shapes)
            check_finite(own_potential, _points(bound, shapes))
        target = Posterior(
            Function(_Potential(error.cause, error.remedy, bound, tuple(shapes))), 1.0
        )

    def start(key: PRNGKey) -> Position:
        return _free_values(_prior_trace(bound, key))

    def constrain(positions: PyTree) -> Position:
        return over_leading_axes(partial(_values, bound), positions, shapes)

    described = partial(model, *data, **options)
    return ModelPosterior(
        target, start, constrain, partial(_description, described, shapes)
    )


def _sum_over_rows(model: Model, arguments: PyTree) -> tuple[Posterior, Model, Shapes]:
    """Return the posterior as a sum over rows, the model bound to its first row, and the shapes of its latent sites.

    Raises NotRowsError where that sum is not NumPyro's log density.
    """
    rows, fixed = _split_rows(arguments)

    def of_rows(rows: PyTree) -> object:
        data, options = eqx.combine(rows, fixed)
        return model(*data, **options)

    try:
        checked = tree_as_rows("data", jax.tree.map(lambda a: a[:CHECKED_ROWS], rows))
        is_observed = _observed_rows(of_rows, rows)
        rows = _where(rows, is_observed)
        first = tree_as_rows("data", jax.tree.map(lambda a: a[:1], rows))
        bound = partial(of_rows, first)
        shapes = _latent_shapes(bound)
        all_shapes = _latent_shapes(partial(of_rows, checked))
        if changed := sorted(
            name
            for name in shapes | all_shapes
            if shapes.get(name) != all_shapes.get(name)
        ):
            raise NotRowsError(
                f"latent sites {changed} change with the number of rows, which are not "
                "independent given the others",
                "move them out of the plate over the data, or sum them out",
            )
        with jax.enable_x64(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # a model with float32 within warns where it is called in float64
            observed = _where(checked, is_observed[:CHECKED_ROWS])
            log_densities = _checked(of_rows, shapes, checked, observed)
        prior = partial(log_densities.prior, rows=first)
        return posterior_of(prior, log_densities.likelihood, rows), bound, shapes
    except NotRowsError:
        raise
    except Exception as error:  # of the model, which may do anything with a single row
        raise NotRowsError(
            "the model cannot be called with one row at a time "
            f"({checks.first_line(error)})",
            "pass everything that has one entry per row as data, and take the sizes of "
            "plates from the data",
        ) from error


def _split_rows(arguments: PyTree) -> tuple[PyTree, PyTree]:
    """Return the arrays that are as long as the longest, and all other arguments."""

    def length(leaf: object) -> int:
        return (
            len(leaf)
            if isinstance(leaf, np.ndarray | jax.Array) and np.ndim(leaf)
            else 0
        )  # pyright: ignore

    longest = max(map(length, jax.tree.leaves(arguments)), default=0)
    if longest < 2:
        raise NotRowsError(
            "the model takes no array with several rows",
            "let it take its data as arguments",
        )
    return eqx.partition(arguments, lambda leaf: length(leaf) == longest)


def _observed_rows(of_rows: RowModel, rows: PyTree) -> np.ndarray:
    """Return False for each row that masks hide at all observed sites; True for all where a latent site decides that."""
    size = len(jax.tree.leaves(rows)[0])
    masks = _masks(partial(of_rows, rows)).values()
    if any(mask.shape[:1] != (size,) for mask in masks):
        return np.ones(size, bool)
    return np.any([mask.reshape(size, -1).any(axis=1) for mask in masks], axis=0)


def _masks(bound: Model) -> dict[str, np.ndarray]:
    """Return what masks show of each observed site, by batch; all where a latent site decides that."""

    def masks(key: PRNGKey) -> dict[str, Array]:
        return {
            name: jnp.broadcast_to(
                getattr(site["fn"], "_mask", True), site["fn"].batch_shape
            )
            for name, site in _prior_trace(bound, key).items()
            if site["type"] == "sample" and site["is_observed"]
        }

    key = jax.random.key(0)
    is_drawn = tracing.reads(masks, key)[0]
    as_array = np.ones_like if is_drawn else np.asarray
    return jax.tree.map(as_array, jax.jit(masks)(key))


def _where(rows: PyTree, is_kept: np.ndarray) -> PyTree:
    return rows if is_kept.all() else jax.tree.map(lambda array: array[is_kept], rows)


def _prior_trace(bound: Model, key: PRNGKey) -> dict[str, Site]:
    with handlers.block(), jax.numpy_dtype_promotion("standard"):
        drawn = handlers.substitute(
            handlers.seed(bound, key), substitute_fn=_drawn_uniformly
        )
        return handlers.trace(drawn).get_trace()


def _drawn_uniformly(site: Site) -> Array | None:
    """The value of a latent site from whose prior nothing can be drawn, such as an improper one; None for others."""
    if site["type"] != "sample" or site["is_observed"] or site["value"] is not None:
        return None
    try:
        jax.eval_shape(site["fn"].sample, jax.random.PRNGKey(0))
    except NotImplementedError:
        return jnp.asarray(init_to_uniform(site, radius=2))
    return None


def _latent_shapes(bound: Model) -> Shapes:
    """Unconstrained shapes of the latent sites, without computing them; raise where there is no density to sample."""

    def free_values(key: PRNGKey) -> Position:
        trace = _prior_trace(bound, key)
        _check_sites(trace)
        return _free_values(trace)

    return {
        name: value.shape
        for name, value in jax.eval_shape(free_values, jax.random.key(0)).items()
    }


def _check_sites(trace: dict[str, Site]) -> None:
    for name, site in trace.items():
        if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
            _, subsample_size = site["args"]
            raise RefusedModelError(
                f"plate {name!r} draws a subsample of {subsample_size} rows, but "
                "langevax draws the batches itself: leave subsample_size out and take "
                "the size of the plate from the data."
            )
    if not any(
        site["type"] == "sample" and site["is_observed"] for site in trace.values()
    ):
        raise RefusedModelError(
            "the model observes nothing: give a site obs=, or draw from its prior with "
            "numpyro.infer.Predictive."
        )
    latent = _latent_sites(trace)
    if not latent:
        raise RefusedModelError(
            "the model has no latent site: there is nothing to sample."
        )
    for name, site in latent.items():
        if site["fn"].support.is_discrete:
            raise RefusedModelError(
                f"site {name!r} is discrete, and has no gradient; sum it out of the model, or use numpyro.infer.NUTS, "
                'which sums out sites with infer={"enumerate": "parallel"}.'
            )


def _latent_sites(trace: dict[str, Site]) -> dict[str, Site]:
    return {
        name: site
        for name, site in trace.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def _free_values(trace: dict[str, Site]) -> Position:
    """Values of the latent sites in unconstrained coordinates."""
    latent = _latent_sites(trace)
    with _numpyros_way():
        return {
            name: jnp.asarray(biject_to(site["fn"].support).inv(site["value"]))
            for name, site in latent.items()
        }


def _values(bound: Model, position: Position) -> Position:
    """Values of the latent sites on their own supports."""
    with _numpyros_way():
        return constrain_fn(handlers.seed(bound, 0), (), {}, position)


def _description(
    bound: Model, shapes: Shapes, positions: Position, needs_log_likelihood: bool
) -> Description:
    """Return what the model of all data says of draws; numbers that masks hide are left out."""
    masks = _masks(bound)
    sites = _prior_trace(bound, jax.random.key(0))
    observed = [name for name in masks if not isinstance(sites[name]["fn"], Unit)]
    whole = [name for name in observed if masks[name].all()]
    computed = [name for name, site in sites.items() if site["type"] == "deterministic"]

    def shown(name: str, values: Any) -> Any:
        return values if name in whole else values[masks[name]]

    @_numpyros_way()
    def of_draw(position: Position) -> list[dict[str, Array]]:
        seeded = handlers.seed(bound, 0)
        values = constrain_fn(seeded, (), {}, position)
        sites = handlers.trace(handlers.substitute(seeded, values)).get_trace()
        return [
            {name: sites[name]["value"] for name in computed},
            {
                name: shown(name, sites[name]["fn"].log_prob(sites[name]["value"]))
                for name in observed
                if needs_log_likelihood
            },
        ]

    deterministic, densities = over_leading_axes(of_draw, positions, shapes, one_by_one)
    return Description(
        deterministic,
        densities,
        {name: shown(name, np.asarray(sites[name]["value"])) for name in observed},
        {name: _axes(sites[name]) for name in (*computed, *shapes, *whole)},
        {},
    )


def _axes(site: Site) -> list[str | None]:
    """Names of the leading axes of a site: its plates, None elsewhere."""
    is_drawn = site["type"] == "sample"
    shape = site["fn"].batch_shape if is_drawn else np.shape(site["value"])
    axes: list[str | None] = [None] * len(shape)
    for plate in site["cond_indep_stack"]:
        if -plate.dim <= len(shape) and shape[plate.dim] == plate.size:
            axes[plate.dim] = plate.name
    return axes


@contextmanager
def _numpyros_way() -> Iterator[None]:
    """Call a model apart from any other, with JAX's usual promotion, and without checks that the first call has made.

    Each of NumPyro's checks of a constant compiles a program. Its bijection of angles parts a mode at their cut in two.
    """
    of_angles = biject_to(constraints.circular)
    biject_to.register(constraints.circular, lambda _: _Angle())
    try:
        with (
            handlers.block(),
            jax.numpy_dtype_promotion("standard"),
            numpyro.validation_enabled(False),
        ):
            yield
    finally:
        biject_to.register(constraints.circular, lambda _: of_angles)


class _Angle(Transform):
    """The angle of any number, without a cut."""

    def __call__(self, x: Array) -> Array:
        return jnp.remainder(x + np.pi, 2 * np.pi) - np.pi

    def _inverse(self, y: Array) -> Array:
        return y

    def log_abs_det_jacobian(
        self, x: Array, y: Array, intermediates: PyTree = None
    ) -> Array:
        return jnp.zeros_like(x)


def _own_potential(
    bound: Model, position: Position, seed: PRNGKey | int = 0
) -> FloatScalar:
    with _numpyros_way():
        return jnp.asarray(
            potential_energy(handlers.seed(bound, seed), (), {}, position)
        )


def _check_deterministic(own_potential: OwnPotential, shapes: Shapes) -> None:
    """Raise where the log density changes with the random numbers that are drawn within the model."""
    point = random_point(0, shapes)
    one, other = (float(own_potential(point, jax.random.key(seed))) for seed in (0, 1))
    if one != other and not np.isnan([one, other]).all():
        raise RefusedModelError(
            f"the log density of the model is random: {-one:.9g} and {-other:.9g} at "
            "one position; draw what is random (numpyro.prng_key, initial values of "
            "parameters) outside of the model, or make it a latent site."
        )


def _points(bound: Model, shapes: Shapes) -> Iterator[Position]:
    """Yield random positions and draws from the prior in turn."""
    for seed in range(TRIED_POINTS):
        yield random_point(seed, shapes)
        yield _free_values(_prior_trace(bound, jax.random.key(seed)))


def _checked(
    of_rows: RowModel, shapes: Shapes, rows: PyTree, observed: PyTree
) -> _LogDensities:
    """Tell prior sites from row sites; raise unless the two kinds, over the rows observed, add up to NumPyro's own."""
    compiled = jax.jit(
        lambda rows, point, key: _own_potential(partial(of_rows, rows), point, key)
    )
    own_potential = partial(compiled, rows)
    _check_deterministic(own_potential, shapes)
    points = points_of_finite_density(
        lambda point: float(own_potential(point, jax.random.key(0))), shapes
    )
    densities = _LogDensities(of_rows)
    alone_and_together = eqx.filter_jit(
        lambda point, rows: (densities(point, _first(rows)), densities(point, rows))
    )
    alone, together = alone_and_together(points[0][0], rows)
    latent = {*shapes, *map(_log_det_of, shapes)}
    prior_sites = frozenset(
        name
        for name in together
        if name in latent or _agree(alone[name], together[name])
    )
    by_row = _LogDensities(of_rows, prior_sites)
    sums = eqx.filter_jit(by_row.row_by_row)
    for point, own in points:
        ours = sums(point, observed)
        theirs = alone_and_together(point, rows)[1]
        for name, terms in theirs.items():
            _compare(
                f"site {name!r} has",
                [ours[name]],
                [terms],
                float(np.sum(np.asarray(terms))),
            )
        _compare("the sites together have", ours.values(), theirs.values(), -own)
    return by_row


def _compare(
    subject: str,
    ours: Iterable[Array],
    theirs: Iterable[Array],
    own: float,
) -> None:
    """Raise unless the sum of our terms is NumPyro's own, to the rounding of the terms."""
    by_row = sum(float(np.sum(np.asarray(term))) for term in ours)
    scale = sum(float(np.sum(np.abs(np.asarray(term)))) for term in theirs)
    if is_same_sum(by_row, own, scale):
        return
    raise NotRowsError(
        f"{subject} the log density {own:.9g} in NumPyro, but {by_row:.9g} where the "
        "model is called with one row at a time",
        "pass everything that has one entry per row (masks, scales, weights, group "
        "indices) as data, take the sizes of plates over rows from the data (those "
        "over groups are constants), and let no site depend on several rows at once",
    )


def _agree(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.array_equal(
        np.asarray(one), np.asarray(other)
    )


def _total(densities: Iterable[Array]) -> FloatScalar:
    return sum(map(jnp.sum, densities), jnp.zeros(()))


def _first(rows: PyTree) -> PyTree:
    return jax.tree.map(lambda a: a[:1], rows)


def _batch_of(row: PyTree) -> PyTree:
    return jax.tree.map(lambda a: a[None], row)


def _log_det_of(site: str) -> str:
    return f"_{site}_log_det"


__all__ = ["ModelPosterior", "posterior"]
__dir__: object = __all__.copy
