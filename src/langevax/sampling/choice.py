"""Choice of the dynamics of `sample`: what the arguments ask for, how close to normal the law is, and what passes cost.

NUTS is exact and tunes itself, but every step takes full passes. Batches pay where the rows are many and cost much, and
their bias is understood where the law is close to normal. An effective draw takes about

    SVRG-LD      steps (of_step + 2 B gathered r)      nanoseconds,
    NUTS         passes d^(1/4) n r

with B the rows of a batch that heats the chain by a few percent, and r = of_row + of_operation times the operations of
the gradient of a row. The numbers of `Costs` are of regressions with n = 20,000 and 100,000, d = 10 and 50, on one core of a Xeon.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import PRNGKey
from langevax.gradients import GradientEstimator
from langevax.integrators import Integrator
from langevax.problems.problem import Problem
from langevax.sampling.evaluations import evaluate
from langevax.sampling.methods import (
    ACCEPTANCE_RANGES,
    Dynamics,
    check_choice,
    choose_batch_size,
)
from langevax.sampling.starts import normal_deviates

CHEAP_ROWS = 1_000
"""Rows up to which passes are cheap: a batch has at least 32 rows, so that batches would gain nothing."""
FULL_GRADIENTS = (*ACCEPTANCE_RANGES, "nuts", "hmc", "tempered")
"""Dynamics that need the exact potential."""

Requested = Dynamics | Literal["auto"]


class Costs(NamedTuple):
    """Costs of an effective draw, of a run of 1,000 draws with all that precedes them."""

    steps: int = 400
    """Of SVRG-LD."""
    passes: float = 2.5
    """Of NUTS, for one dimension."""
    of_step: float = 14_000
    """Nanoseconds, as all below: of a step without its rows."""
    of_row: float = 7.0
    of_operation: float = 0.1
    """Of one floating-point operation of a row's gradient."""
    gathered: float = 1.5
    """Cost of a row of a batch, which is fetched from its place, in rows of a pass."""

    def batches_pay(
        self, num_rows: int, batch_size: int, dimension: int, operations: float
    ) -> bool:
        """True where batches cost less than passes, for rows of so many operations."""
        row = self.of_row + self.of_operation * operations
        by_batches = self.steps * (self.of_step + 2 * batch_size * self.gathered * row)
        return by_batches <= self.passes * dimension**0.25 * num_rows * row


class NormalFit(NamedTuple):
    """Departure of the law from the normal law of the pilot, at draws of the latter.

    w = log density less log of the normal density, both relative to the mode.
    """

    typical: float
    """Median of |w|."""
    spread: float
    """Standard deviation of w."""
    dimension: int

    @classmethod
    def of(
        cls,
        problem: Problem,
        mode: Float[Array, " d"],
        temperature: float,
        key: PRNGKey,
        num_draws: int = 32,
    ) -> "NormalFit":
        """Compare them, in coordinates of unit curvature."""
        xi = normal_deviates(key, (num_draws, len(mode)))
        points = np.concatenate(
            [np.zeros((1, len(mode))), np.sqrt(temperature) * xi]
        ) + np.asarray(mode, np.float64)
        values, _ = evaluate(problem, points.astype(mode.dtype))
        log_weights = (values[0] - values[1:]) / temperature + np.sum(xi**2, 1) / 2
        spread = np.std(log_weights) if np.isfinite(log_weights).all() else np.inf
        return cls(float(np.median(np.abs(log_weights))), float(spread), len(mode))

    @property
    def is_usable(self) -> bool:
        """True where the pilot's coordinates may serve NUTS: the curvature is right within a factor.

        Log densities then depart by ten nats, or by half a nat a dimension; a mode that misleads is seen by tiny steps.
        """
        return self.typical <= max(10, self.dimension / 2)

    @property
    def is_close(self) -> bool:
        """True where a step size that suits the normal law suits the law."""
        return self.spread <= 1 and self.typical <= 1

    def __str__(self) -> str:
        return f"log densities depart by {self.typical:.2g} (median) from those of the normal law about the mode"


def requested_dynamics(
    dynamics: Requested, is_function: bool, options: Mapping[str, object]
) -> tuple[Requested, str]:
    """Return the dynamics that the arguments ask for, and why; "auto" where they leave it open.

    `options` are the arguments that only some dynamics take: gradient, batch_size, period, step_size and integrator.
    """
    check_choice("dynamics", dynamics, ("auto", *get_args(Dynamics)))
    if dynamics == "hmc" and not is_function:
        raise ValueError(
            "dynamics='hmc' is for langevax.inverse_problem; pass 'nuts' for other targets."
        )
    passed = {
        name: value
        for name, value in options.items()
        if not (isinstance(value, str) and value == "auto")
    }
    if "integrator" in passed and (
        dynamics not in ("auto", "langevin") or (dynamics == "auto" and is_function)
    ):
        taken = (
            "functions take pCNL"
            if dynamics == "auto"
            else f"got dynamics={dynamics!r}"
        )
        raise ValueError(
            f"integrator is for dynamics='langevin' alone, but {taken}; pass that, or leave integrator out."
        )
    if dynamics == "auto":
        if is_function:
            return "pcnl", "the unknown is a function"
        batched = {
            name: value
            for name, value in passed.items()
            if not (name == "gradient" and value == "full")
        }
        return (
            ("langevin", f"{next(iter(batched))} was passed")
            if batched
            else ("auto", "")
        )
    if dynamics in FULL_GRADIENTS:
        for name in ("batch_size", "period"):
            if name in passed:
                raise ValueError(
                    f"dynamics={dynamics!r} takes full gradients and draws no batches; leave {name} out."
                )
    if dynamics == "nuts" and "step_size" in passed:
        raise ValueError(
            "dynamics='nuts' adapts its own step size; leave step_size out."
        )
    return dynamics, f"dynamics={dynamics!r} was passed"


def check_integrator(integrator: object) -> None:
    """Raise unless the integrator is "auto" or one of the package."""
    if not isinstance(integrator, Integrator) and not checks.is_auto(integrator):
        raise TypeError(
            "integrator must be 'auto' or one of langevax.integrators, such as integrators.CrankNicolson(), got "
            f"{checks.shown(integrator)}."
        )


def check_combination(
    dynamics: Requested,
    options: Mapping[str, object],
    problem: Problem,
) -> None:
    """Raise unless the dynamics, the options of `requested_dynamics` and the problem go together."""
    precisions = [np.asarray(leaf) for leaf in jax.tree.leaves(problem.precision)]
    if dynamics in ("pcn", "pcnl") and not all(
        np.all(precision > 0) for precision in precisions
    ):
        raise ValueError(
            f"dynamics={dynamics!r} proposes from a Gaussian prior of every coordinate; pass prior_precision > 0 to "
            "langevax.posterior, use langevax.inverse_problem, or pass dynamics='nuts'."
        )
    gradient = options["gradient"]
    unused = (
        ("batch_size", "period")
        if gradient == "full" or isinstance(gradient, GradientEstimator)
        else ()
    )
    unused = ("period",) if gradient in ("minibatch", "control-variate") else unused
    for name in unused:
        if not (isinstance(options[name], str) and options[name] == "auto"):
            raise ValueError(f"gradient={gradient!r} takes no {name}; leave it out.")
    if gradient in ("auto", "full"):
        return
    if dynamics in FULL_GRADIENTS:
        raise ValueError(
            f"dynamics={dynamics!r} needs the exact potential; pass gradient='full', not {gradient!r}."
        )
    if not isinstance(gradient, GradientEstimator) and problem.max_size == 1:
        raise ValueError(
            f"gradient={gradient!r} draws batches, but this target is one function without data; pass 'full'."
        )


def choose_dynamics(
    fit: NormalFit | None,
    problem: Problem,
    mode: Float[Array, " d"],
    temperature: float,
    key: PRNGKey,
) -> tuple[Dynamics, str]:
    """Return NUTS or Langevin dynamics, and why."""
    num_rows = int(problem.size)
    if num_rows == 1:
        return "nuts", "the target is one function, without rows to draw batches from"
    if num_rows <= CHEAP_ROWS:
        return "nuts", f"passes over {num_rows:,} rows are cheap"
    if fit is None:
        return (
            "nuts",
            "no mode was found at which the curvature says something of the law",
        )
    if not fit.is_close:
        return "nuts", f"{fit}, so that the bias of batches would not be understood"
    batch_size = choose_batch_size(problem, mode, temperature, key)
    operations = operations_of_row(problem, mode)
    if not Costs().batches_pay(num_rows, batch_size, len(mode), operations):
        return (
            "nuts",
            f"passes over {num_rows:,} rows cost less than batches of {batch_size:,} would",
        )
    return "langevin", f"batches of {batch_size:,} of {num_rows:,} rows are enough"


def operations_of_row(
    problem: Problem, position: Float[Array, " d"], num_rows: int = 256
) -> float:
    """Return the floating-point operations of the gradient of a component, as XLA counts them for a batch of rows."""
    gradient: Any = eqx.filter_jit(
        lambda problem, x, indices: problem.gradient_at(x, indices)
    )
    lowered = gradient.lower(problem, position, jnp.zeros(num_rows, jnp.int32)).lowered
    return float((lowered.cost_analysis() or {}).get("flops", 0.0)) / num_rows
