"""A PyMC model as a posterior, with minibatches where its log density is a sum over rows.

A PyMC model is one graph of all rows. Arrays with one entry per row, the observed values, `pm.Data` and arrays that the
model was written with, become inputs of length 1:

    log p(x | data)  =  sum over free variables of log density(x)
                        +  sum_i  sum over observed variables of log density(x, row_i)

Jacobians of PyMC's transforms belong to the first sum, the prior, as do potentials without rows. PyTensor compiles both
to JAX; they are compared with PyMC's own log density, which PyTensor computes by NumPy and SciPy. Where a model fails
the comparison, its posterior is the log density of all rows, with full gradients.

PyMC is imported at the first use.
"""

import threading
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array

from langevax import checks
from langevax._typing import FloatScalar, PRNGKey, PyTree
from langevax.problems import tracing
from langevax.problems.finite_sum import Posterior
from langevax.problems.finite_sum import posterior as posterior_of
from langevax.problems.model_posterior import (
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

Variable = Any  # PyTensor's own
Model = Any  # PyMC's own

LIBRARY_NAMES = {
    "pymc": "Model sample_posterior_predictive set_data",
    "pymc.variational.minibatch_rv": "MinibatchRandomVariable",
    "pytensor.compile.mode": "Mode get_mode",
    "pytensor.compile.sharedvalue": "SharedVariable",
    "pytensor.graph.basic": "Constant",
    "pytensor.graph.fg": "FunctionGraph",
    "pytensor.graph.replace": "clone_replace",
    "pytensor.graph.traversal": "ancestors graph_inputs",
    "pytensor.tensor": "constant tensor",
    "pytensor.tensor.basic": "Alloc",
    "pytensor.tensor.random.type": "RandomType",
    "pytensor.tensor.shape": "Reshape",
}
"""By their modules."""
WITHOUT_NAME = "array without a name, "
"""Begins the name of a row array that the model has no name for."""


@cache
def library() -> SimpleNamespace:
    """Return names of PyMC and PyTensor that are used here; raise ImportError where this version has others.

    PyTensor's compiler to JAX sets the precision of the whole process where it is imported, which is set back: in a
    thread, as settings there are the process's own, not those of a `with` statement.
    """

    def import_compiler() -> None:
        is_double = _is_double()
        compiler.append(import_module("pytensor.link.jax.dispatch"))
        jax.config.update("jax_enable_x64", is_double)

    compiler: list[Any] = []
    thread = threading.Thread(target=import_compiler)
    thread.start()
    thread.join()
    try:
        names = {
            name: getattr(import_module(module), name)
            for module, words in LIBRARY_NAMES.items()
            for name in words.split()
        }
        return SimpleNamespace(**names, jax_funcify=compiler[0].jax_funcify)
    except (AttributeError, IndexError, ModuleNotFoundError) as error:
        raise ImportError(
            "langevax.pymc reads the graphs of PyTensor, of which this version differs "
            f"({error}); install pymc 5.28."
        ) from error


def _is_double() -> bool:
    return jnp.result_type(float) == jnp.float64


class RowArrays(NamedTuple):
    """Arrays of a model that have one entry per row."""

    variables: dict[str, Variable]
    arrays: dict[str, np.ndarray]


class JaxGraph:
    """A PyTensor graph as a function in JAX, in the precision in use."""

    def __init__(self, inputs: Sequence[Variable], outputs: Sequence[Variable]):

        shared = [
            variable
            for variable in library().graph_inputs(outputs)
            if isinstance(variable, library().SharedVariable)
        ]
        outputs = library().clone_replace(
            list(outputs),
            replace={one: library().constant(one.get_value()) for one in shared},
        )
        self.graph: Any = library().FunctionGraph(list(inputs), outputs, clone=True)
        # parameters out of range have the log density -inf
        to_infinity = "local_check_parameter_to_ninf_switch"
        library().get_mode("JAX").including(to_infinity).optimizer.rewrite(self.graph)
        self.functions: dict[bool, Callable[..., Any]] = {}

    def __call__(self, *values: Any) -> list[Array]:
        is_double = _is_double()
        with warnings.catch_warnings(), jax.numpy_dtype_promotion("standard"):
            warnings.simplefilter(
                "ignore"
            )  # graphs name float64, which is float32 where the program is
            if is_double not in self.functions:
                with jax.ensure_compile_time_eval():
                    self.functions[is_double] = library().jax_funcify(self.graph)
            return [
                jnp.asarray(value)
                for value in self.functions[is_double](*map(jnp.asarray, values))
            ]


class RowDensities(eqx.Module):
    """Log prior and log likelihood of a model."""

    prior_graph: JaxGraph = eqx.field(static=True)
    row_graph: JaxGraph = eqx.field(static=True)
    free: tuple[str, ...] = eqx.field(static=True)
    row_names: tuple[str, ...] = eqx.field(static=True)

    def prior(self, position: Position) -> FloatScalar:
        """Sum over free variables and potentials."""
        return _total(self.prior_graph(*(position[name] for name in self.free)))

    def likelihood(self, position: Position, row: PyTree) -> FloatScalar:
        """Sum over the observed variables at one row."""
        return _total(self.of_one_row(position, row))

    def of_one_row(self, position: Position, row: PyTree) -> list[Array]:
        """Return the log density of each observed variable at one row, unsummed."""
        rows = (row[name][None] for name in self.row_names)
        return self.row_graph(*(position[name] for name in self.free), *rows)


class AllRows(WholeDensity):
    """The log density of all rows."""

    graph: JaxGraph = eqx.field(static=True)
    free: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, position: Position) -> FloatScalar:
        return -self.graph(*(position[name] for name in self.free))[0]


def posterior(model: Model) -> ModelPosterior:
    """Return the posterior of a PyMC model, ready for `langevax.sample`.

    Positions are unconstrained values by the names of the free variables. Where the log density is a sum over rows, it
    is compared with PyMC's own at three random points in float64. Where the two differ, the posterior is the log
    density of all rows, which takes full gradients, and `full_gradients` says why.

    Args:
        model: a `pymc.Model`. Its rows are those of the observed variables: arrays of the model that are as long, along
            axis 0, have one entry per row, and free variables must not depend on their number.

    Raises:
        TypeError: not a PyMC model.
        ValueError: a discrete free variable; nothing observed; nothing free; minibatches of PyMC, which are random; an
            operation without a counterpart in JAX; a log density that is finite nowhere.
        ImportError: PyMC is not installed.

    Example:
        >>> import jax, numpy as np, pymc as pm, langevax, langevax.pymc  # doctest: +SKIP
        >>> y = 3.0 * np.random.default_rng(0).normal(size=1000)  # doctest: +SKIP
        >>> with pm.Model() as model:  # doctest: +SKIP
        ...     scale = pm.HalfNormal("scale", 2.0)
        ...     pm.Normal("y", 0.0, scale, observed=y)
        >>> draws = langevax.sample(langevax.pymc.posterior(model), key=jax.random.key(0))  # doctest: +SKIP
        >>> bool(abs(draws.positions["scale"].mean() - 3) < 0.3)  # doctest: +SKIP
        True
    """
    with checks.needs(None, "langevax.pymc"):
        import_module("pymc")
    if not isinstance(model, library().Model):
        raise TypeError(
            f"model must be a pymc.Model, got {checks.shown(model)}; pass the model "
            "itself."
        )
    _check_variables(model)
    free = tuple(rv.name for rv in model.free_RVs)
    remedy = "use pm.sample, and pass its draws with a log likelihood in JAX"
    with (
        warnings.catch_warnings(),
        refusing("the model cannot be computed in JAX", remedy),
    ):
        warnings.simplefilter("ignore")  # of PyTensor, on the installation
        initial = model.initial_point(0)
        first = {
            name: np.asarray(initial[model.rvs_to_values[rv].name])
            for name, rv in _named(model)
        }
        shapes = {name: value.shape for name, value in first.items()}
        constrained = JaxGraph(
            model.value_vars, model.replace_rvs_by_values(model.free_RVs)
        )
        try:
            target = _by_rows(model, shapes)
        except NotRowsError as error:
            density = AllRows(
                error.cause,
                error.remedy,
                JaxGraph(model.value_vars, [model.logp()]),
                free,
            )
            points = (random_point(seed, shapes) for seed in range(TRIED_POINTS))
            check_finite(jax.jit(density), points)
            target = Posterior(Function(density), 1.0)

    def start(key: PRNGKey) -> Position:
        keys = random.split(key, len(first))
        return {
            name: jnp.asarray(value, jnp.result_type(float))
            + random.uniform(one, value.shape, minval=-1.0, maxval=1.0)
            for (name, value), one in zip(first.items(), keys, strict=True)
        }

    def of_one(position: Position) -> dict[str, Array]:
        return dict(
            zip(free, constrained(*(position[name] for name in free)), strict=True)
        )

    def constrain(positions: PyTree) -> Position:
        return over_leading_axes(jax.jit(of_one), positions, shapes)

    return ModelPosterior(
        target, start, constrain, partial(_description, model, shapes)
    )


def _description(
    model: Model, shapes: Shapes, positions: Position, needs_log_likelihood: bool
) -> Description:
    """Return what the model says of draws, by its own names of axes and their labels."""
    names = [variable.name for variable in model.deterministics]
    outputs = model.replace_rvs_by_values(model.deterministics)
    graph = JaxGraph(
        model.value_vars, outputs + _likelihoods(model) * needs_log_likelihood
    )
    of_draw = lambda position: graph(*(position[name] for name in shapes))
    values = over_leading_axes(of_draw, positions, shapes, one_by_one)
    data = {rv.name: model.rvs_to_values[rv].eval() for rv in model.observed_RVs}
    return Description(
        dict(zip(names, values, strict=False)),
        dict(zip(data, values[len(names) :], strict=False)),
        data,
        model.named_vars_to_dims,
        {name: labels for name, labels in model.coords.items() if labels is not None},
    )


def is_model(target: object) -> bool:
    """True of a model of PyMC, which is not imported to tell."""
    kinds = type(target).__mro__
    return any(kind.__module__.partition(".")[0] == "pymc" for kind in kinds)


def unconstrained(model: Model, values: Position) -> dict[str, Array]:
    """Return draws of the free variables, with one leading axis, in unconstrained coordinates."""

    own = {rv: rv.type(name=name) for name, rv in _named(model)}
    outputs = []
    for rv, value in own.items():
        transform = model.rvs_to_transforms[rv]
        outputs.append(
            value if transform is None else transform.forward(value, *rv.owner.inputs)
        )
    graph = JaxGraph(
        list(own.values()),
        library().clone_replace(outputs, replace=own, rebuild_strict=False),
    )
    names = [name for name, _ in _named(model)]
    return dict(
        zip(
            names,
            jax.jit(jax.vmap(graph))(*(values[name] for name in names)),
            strict=True,
        )
    )


def row_arrays(model: Model, likelihoods: Sequence[Variable]) -> RowArrays:
    """Return the arrays of a model that have one entry per row; raise `NotRowsError` where rows cannot be separated."""

    lengths = {
        rv.name: _length(model.rvs_to_values[rv].eval()) for rv in model.observed_RVs
    }
    size = max(lengths.values())
    if set(lengths.values()) != {size} or size < 2:
        raise NotRowsError(
            f"the observed variables have {lengths} entries along axis 0, and rows "
            "need one of each, and at least two",
            "observe variables of one length",
        )
    if imputed := [rv.name for rv in model.free_RVs if rv.name.endswith("_unobserved")]:
        raise NotRowsError(
            f"PyMC draws missing values as the variable {imputed[0]!r}",
            "leave out the rows with missing values",
        )
    of_shapes = set(_sizes(likelihoods, size))
    variables = {}
    arrays = {}
    for variable in dict.fromkeys(library().graph_inputs(likelihoods)):
        value = _value(variable)
        if value is not None and variable not in of_shapes and _length(value) == size:
            name = variable.name or f"{WITHOUT_NAME}{len(arrays) + 1}"
            name = name if name not in arrays else f"{name} ({len(arrays) + 1})"
            variables[name], arrays[name] = variable, value
    return RowArrays(variables, arrays)


def _by_rows(model: Model, shapes: Shapes) -> Posterior:
    """Return the posterior as a sum over rows; raise `NotRowsError` where it is not one, or has no graph of one row."""
    try:
        return _sum_over_rows(model, shapes)
    except NotRowsError:
        raise
    except Exception as error:  # of PyTensor, which meets shapes that do not fit, or of an operation on all rows
        raise NotRowsError(
            f"the model cannot be computed for one row ({checks.first_line(error)})",
            "let every array that has one entry per row have it along axis 0, and no "
            "operation be of several rows",
        ) from error


def _sum_over_rows(model: Model, shapes: Shapes) -> Posterior:
    """Return the posterior as a sum over rows; raise `NotRowsError` where that sum is not PyMC's log density."""

    likelihoods = _likelihoods(model)
    rows = row_arrays(model, likelihoods)
    size = len(next(iter(rows.arrays.values())))
    potentials = model.replace_rvs_by_values(model.potentials)
    for potential in potentials:
        if any(
            _length(_value(one)) == size for one in library().graph_inputs([potential])
        ):
            raise NotRowsError(
                f"potential {potential.name!r} depends on the data, and may be of "
                "several rows at once",
                "write it as an observed variable (pm.CustomDist)",
            )
    single = {
        variable: library().tensor(
            variable.name,
            dtype=variable.type.dtype,
            shape=(1, *rows.arrays[name].shape[1:]),
        )
        for name, variable in rows.variables.items()
    }
    outputs = library().clone_replace(
        likelihoods, replace=single | _sizes(likelihoods, size), rebuild_strict=False
    )
    priors = [*model.logp(model.free_RVs, sum=False), *potentials]
    densities = RowDensities(
        JaxGraph(model.value_vars, priors),
        JaxGraph([*model.value_vars, *single.values()], outputs),
        tuple(shapes),
        tuple(rows.variables),
    )
    with jax.enable_x64():
        _compare(model, densities, rows, shapes, size)
    tracing.forget_old_numbers(densities.prior, densities.likelihood)
    return posterior_of(densities.prior, densities.likelihood, rows.arrays)


def _compare(
    model: Model,
    densities: RowDensities,
    rows: RowArrays,
    shapes: Shapes,
    size: int,
) -> None:
    """Raise `NotRowsError` unless the two sums are PyMC's own log density at random points."""
    checked = {name: jnp.asarray(array) for name, array in rows.arrays.items()}
    names = [rv.name for rv in model.observed_RVs]
    first = {name: array[0] for name, array in checked.items()}
    for name, one in zip(
        names,
        jax.eval_shape(densities.of_one_row, random_point(0, shapes), first),
        strict=True,
    ):
        if not one.shape or one.shape[0] != 1:
            raise NotRowsError(
                f"variable {name!r} has a log density of shape {one.shape} at one of "
                f"its {size} rows, not (1, ...), as of time series and effects of "
                "single rows, or of arrays with rows along another axis than the first",
                "write rows that are independent given the free variables, along the "
                "first axis",
            )
    points = _points(model, densities.free, shapes)
    by_row = jax.jit(jax.vmap(densities.of_one_row, (None, 0)))
    for point, (whole, *own) in points:
        terms = [np.asarray(term) for term in by_row(point, checked)]
        for name, term, theirs in zip(names, terms, own, strict=True):
            _agree(
                f"variable {name!r} has",
                float(term.sum()),
                theirs,
                float(np.abs(term).sum()),
            )
        prior = float(densities.prior(point))
        total = prior + sum(float(term.sum()) for term in terms)
        scale = abs(prior) + sum(float(np.abs(term).sum()) for term in terms)
        _agree("the variables together have", total, whole, scale)


def _points(
    model: Model, free: tuple[str, ...], shapes: Shapes
) -> list[tuple[Position, list[float]]]:
    """Return random points of finite density, with PyMC's log density of all and that of each observed variable."""

    outputs = [model.logp(), *(term.sum() for term in _likelihoods(model))]
    options: dict[str, Any] = {
        "mode": library().Mode(linker="py", optimizer=None),
        "point_fn": False,
    }
    own = model.compile_fn(
        outputs, inputs=model.value_vars, on_unused_input="ignore", **options
    )
    return points_of_finite_density(
        lambda point: [float(value) for value in own(*(point[n] for n in free))], shapes
    )


def _agree(
    subject: str,
    by_row: float,
    own: float,
    scale: float,
) -> None:
    if not is_same_sum(by_row, own, scale):
        raise NotRowsError(
            f"{subject} the log density {own:.9g} in PyMC, but {by_row:.9g} as a sum "
            "over rows, as where an array with one entry per row is used for several "
            "rows at once (such as its mean)",
            "compute such numbers outside of the model, and let no other array be as "
            "long as the data",
        )


def _likelihoods(model: Model) -> list[Variable]:
    return model.logp(model.observed_RVs, sum=False)


def _sizes(outputs: Sequence[Variable], size: int) -> dict[Variable, Variable]:
    """Return numbers that set the shape of an array by the number of rows, and their values for one row."""

    operands = []
    for variable in library().ancestors(outputs):
        if variable.owner is not None and isinstance(
            variable.owner.op, library().Alloc | library().Reshape
        ):
            operands += variable.owner.inputs[1:]
    of_one_row = {}
    for variable in library().graph_inputs(operands):
        value = _value(variable)
        if value is None or value.dtype.kind not in "iu":
            continue
        if value.ndim <= 1 and value.size and value.ravel()[0] == size:
            ones = value.copy().reshape(-1)
            ones[0] = 1
            of_one_row[variable] = library().constant(
                ones.reshape(value.shape), dtype=variable.type.dtype
            )
    return of_one_row


def _value(variable: Variable) -> np.ndarray | None:
    """Return the value of a constant or of a container; None of others."""

    if isinstance(variable, library().Constant):
        return np.asarray(variable.data)
    return (
        np.asarray(variable.get_value())
        if isinstance(variable, library().SharedVariable)
        else None
    )


def _length(value: Any) -> int:
    return len(value) if np.ndim(value) else 0


def _named(model: Model) -> list[tuple[str, Variable]]:
    return [(rv.name, rv) for rv in model.free_RVs]


def _total(terms: Sequence[Array]) -> FloatScalar:
    return sum((jnp.sum(term) for term in terms), jnp.zeros(()))


def _check_variables(model: Model) -> None:
    """Raise where a model has nothing observed, nothing free, or a density that is discrete or random."""

    if not model.observed_RVs:
        raise RefusedModelError(
            "the model observes nothing: give a variable observed=, or use "
            "pm.sample_prior_predictive."
        )
    if not model.free_RVs:
        raise RefusedModelError(
            "the model has no free variable: there is nothing to sample."
        )
    if discrete := [value.name for value in model.discrete_value_vars]:
        raise RefusedModelError(
            f"variable {discrete[0]!r} is discrete, and has no gradient; sum it out of "
            "the model (pm.Mixture), or use pm.sample."
        )
    for rv in model.observed_RVs:
        if isinstance(rv.owner.op, library().MinibatchRandomVariable):
            raise RefusedModelError(
                f"variable {rv.name!r} has a total_size, which scales its log density: "
                "leave it out and pass all rows, as langevax draws the batches itself."
            )
    if any(
        isinstance(one.type, library().RandomType)
        for one in library().graph_inputs(_likelihoods(model))
    ):
        raise RefusedModelError(
            "the log density of the model is random, as that of pm.Minibatch: pass all "
            "rows, as langevax draws the batches itself."
        )


__all__ = ["posterior"]
__dir__: object = __all__.copy
