"""The target of `sample` as one problem with a temperature, a position, and where chains start."""

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import numpy as np

from langevax import checks
from langevax._typing import FloatScalar, PRNGKey, PyTree
from langevax.problems.finite_sum import Posterior
from langevax.problems.problem import Function, Problem
from langevax.run import Stacked
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


class Resolved(NamedTuple):
    """A target, whichever way it was given."""

    problem: Problem
    temperature: float
    position: PyTree
    """From which a mode is searched for."""
    start: Callable[[PRNGKey], PyTree] | UniformStart | None
    """Of chains, where something says so."""
    constrain: Callable[[PyTree], PyTree] | None
    """From the position to what the user reads."""
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
        constrain = None
        if isinstance(target, TransformedTarget):
            if start is None:
                start = UniformStart.of(target.start, key)
            target, constrain = target.target, target.constrain
        problem, temperature = _problem_of(target, temperature)
        inverse = target if isinstance(target, InverseProblem) else None
        if start is None and inverse is not None:
            start = inverse.start
        if start is None:
            raise ValueError(
                "start is missing: pass a position from which to search for a mode."
            )
        if isinstance(start, Stacked):
            raise TypeError(
                "start is Stacked, but sample takes a position or a function `key -> position`; pass either."
            )
        position = start
        if isinstance(start, UniformStart):
            position = start.like
        elif callable(start):
            position = start(key)
        position = checks.arrays("start", position)
        checks.position("start", position)
        if inverse is not None:
            inverse.check_start(position)
            check_finite(problem.potential(position))
        start = start if callable(start) else None
        return cls(problem, temperature, position, start, constrain, inverse)

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
                "temperature is that of the posterior, 1/n; leave it out, or pass its problem alone."
            )
        return target.problem, float(target.temperature)
    if isinstance(target, Problem):
        if chosen:
            raise ValueError(
                "temperature is missing: a problem has none of its own (a posterior has 1/n); pass it."
            )
        return target, float(temperature)
    if not callable(target):
        raise TypeError(
            f"target must be a posterior, a problem or a log density, got {checks.shown(target)}."
        )
    return Function(Negative(target)), 1.0 if chosen else float(temperature)


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
