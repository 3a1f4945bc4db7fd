"""The target of `sample` as one problem with a temperature, a position, and where chains start."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import numpy as np

from langevax import checks
from langevax._typing import FloatScalar, PRNGKey, PyTree
from langevax.problems import tracing
from langevax.problems.finite_sum import FiniteSum, NegativeLogLikelihood, Posterior
from langevax.problems.problem import Function, Problem
from langevax.pymc import is_model
from langevax.pymc import posterior as posterior_of_pymc
from langevax.run import Stacked
from langevax.run.start import is_draw
from langevax.sampling.hyperparameters import HierarchicalInverseProblem
from langevax.sampling.inverse import InverseProblem
from langevax.sampling.starts import UniformStart


@runtime_checkable
class TransformedTarget(Protocol):
    """A posterior in other coordinates than those of its draws, such as `langevax.numpyro.posterior` returns."""

    @property
    def target(self) -> Posterior: ...
    @property
    def start(self) -> Callable[[PRNGKey], PyTree]: ...
    @property
    def constrain(self) -> Callable[[PyTree], PyTree]: ...


SampleTarget = (
    Posterior
    | InverseProblem
    | HierarchicalInverseProblem
    | TransformedTarget
    | Problem
    | Callable[[PyTree], FloatScalar]
)


def posterior_of_model(target: Any, model_args: Any) -> Any:
    """Return the posterior of a PyMC model, or of a NumPyro model and its arguments; other targets as they are."""
    if model_args is not None:
        if not callable(target):
            raise TypeError(
                "model_args are the arguments of a NumPyro model, but target is "
                f"{checks.shown(target)}; leave them out."
            )
        if not isinstance(model_args, tuple):
            raise TypeError(
                "model_args must be a tuple of the arguments of a NumPyro model, got "
                f"{checks.shown(model_args)}; pass (X, y), or (y,) for one."
            )
        from langevax.numpyro import posterior

        return posterior(target, *model_args)
    if is_model(target):
        return posterior_of_pymc(target)
    return target


class Resolved(NamedTuple):
    """A target, however it was passed."""

    problem: Problem
    temperature: float
    position: PyTree
    """From which a mode is searched for."""
    start: Callable[[PRNGKey], PyTree] | UniformStart | None
    """Of chains, where something says so."""
    model: TransformedTarget | None
    """From whose positions the user reads others."""
    inverse: InverseProblem | None

    @classmethod
    def of(
        cls,
        target: SampleTarget,
        start: PyTree | Callable[[PRNGKey], PyTree] | None,
        temperature: float | Literal["auto"],
        key: PRNGKey,
    ) -> "Resolved":
        """Return the target; `key` draws the position where `start` is a function."""
        model = None
        is_own = not isinstance(target, TransformedTarget | Problem)
        if isinstance(target, TransformedTarget):
            start = _start_of_model(target.start, start, key)
            model, target = target, target.target
        problem, temperature = _problem_of(target, temperature)
        inverse = target if isinstance(target, InverseProblem) else None
        if start is None and inverse is not None:
            start = inverse.start
        if start is None:
            raise ValueError(
                "start is missing: pass a position from which to search for a mode, or "
                "the arguments of a NumPyro model as model_args."
            )
        if isinstance(start, Stacked):
            raise TypeError(
                "start is Stacked, but sample takes a position or a function `key -> "
                "position`; pass either."
            )
        position = start
        if isinstance(start, UniformStart):
            position = start.like
        elif is_draw(start):
            position = start(key)
        else:
            start = None
        position = checks.arrays("start", position)
        checks.position("start", position)
        if inverse is not None:
            inverse.check_start(position)
            check_finite(problem.potential(position))
        elif is_own:
            check_dependence(problem, position)
        return cls(problem, temperature, position, start, model, inverse)

    @property
    def function(self) -> Callable[[PRNGKey], PyTree] | None:
        """The user's function that says where chains start."""
        return None if isinstance(self.start, UniformStart) else self.start


def _problem_of(
    target: SampleTarget, temperature: float | Literal["auto"]
) -> tuple[Problem, float]:
    chosen = isinstance(temperature, str) and temperature == "auto"
    checks.number("temperature", temperature, positive=True, auto=True)
    if isinstance(target, Posterior | InverseProblem):
        if not chosen:
            raise ValueError(
                "temperature is that of the posterior, 1/n; leave it out, or pass its "
                "problem alone."
            )
        return target.problem, float(target.temperature)
    if isinstance(target, Problem):
        if chosen:
            raise ValueError(
                "temperature is missing: a problem has none of its own (a posterior "
                "has 1/n); pass it."
            )
        return target, float(temperature)
    if not callable(target):
        raise TypeError(
            "target must be a posterior, a problem or a log density, got "
            f"{checks.shown(target)}."
        )
    return Function(Negative(target)), 1.0 if chosen else float(temperature)


def _start_of_model(draw: Callable[[PRNGKey], PyTree], start: Any, key: PRNGKey) -> Any:
    """Return a start with all variables of a model; those that a dict leaves out start where NumPyro starts them."""
    shapes = jax.eval_shape(draw, key)
    if start is None or not isinstance(shapes, Mapping):
        return UniformStart.of(shapes) if start is None else start
    values = start(key) if is_draw(start) else start
    if not isinstance(values, Mapping):
        raise TypeError(
            f"start must be a dict of the variables {[*shapes]} of the model, got "
            f"{checks.shown(values)}; leave it out, or pass values in unconstrained "
            "coordinates by their names."
        )
    values = checks.arrays("start", values)
    checks.position("start", values)
    for name, value in values.items():
        if name not in shapes:
            (nearest,) = difflib.get_close_matches(str(name), shapes, 1, cutoff=0)
            raise ValueError(
                f"start[{name!r}] is not a variable of the model; did you mean "
                f"{nearest!r}? It has {[*shapes]}."
            )
        if value.shape != (expected := shapes[name].shape):
            raise ValueError(
                f"start[{name!r}] has shape {value.shape}, but the variable has shape "
                f"{expected} in unconstrained coordinates; pass that."
            )
    missing = [name for name in shapes if name not in values]
    if missing and is_draw(start):
        raise ValueError(
            f"start, a function of the key, leaves out {missing}; return all variables "
            "of the model, or pass a dict."
        )
    return UniformStart.of(shapes, values) if missing else start


def check_dependence(problem: Problem, position: PyTree) -> None:
    """Raise where a log density leaves out a part of the position, or a log likelihood its row, by their programs."""
    is_lone = isinstance(position, jax.Array)
    try:
        used = True if is_lone else tracing.reads(problem.value, position)[0]
    except KeyError as error:
        if not isinstance(position, Mapping) or error.args[0] in position:
            raise
        raise ValueError(
            f"start has {[*position]}, but the log density reads {error.args[0]!r}; "
            "pass it as well."
        ) from error
    for path, is_used in jax.tree.leaves_with_path(used):
        if not is_used:
            raise ValueError(
                "the log density does not depend on "
                f"start{jax.tree_util.keystr(path)}; leave it out."
            )
    if not isinstance(problem, FiniteSum) or problem.max_size == 1:
        return
    row = jax.tree.map(lambda a: a[0], problem.data)
    loss = problem.loss
    if isinstance(loss, NegativeLogLikelihood) and not any(
        jax.tree.leaves(tracing.reads(loss, position, row)[1])
    ):
        raise ValueError(
            "log_likelihood does not depend on its row, so that its value counts "
            f"{problem.max_size:,} times: return the log density of that one row, "
            "log_likelihood(position, row)."
        )


def check_finite(potential: FloatScalar | float) -> None:
    """Raise where the start has no log density."""
    if not np.isfinite(value := float(potential)):
        raise ValueError(
            f"the log density at start is {-value}; start where it is finite."
        )


class Negative(eqx.Module):
    """The potential of a log density."""

    log_density: Callable[[PyTree], FloatScalar]

    def __call__(self, position: PyTree) -> FloatScalar:
        return -self.log_density(position)
