"""Choice of the dynamics of `sample`: what the arguments ask for, how close to normal the law is, and what passes cost.

NUTS is exact and tunes itself, but every step takes full passes. Batches pay where the rows are many and cost much, and
their bias is understood where the law is close to normal. An effective draw takes about

    SVRG-LD      STEPS_PER_DRAW (STEP_NS + 2 B GATHERED r)      nanoseconds,
    NUTS         PASSES_PER_DRAW d^(1/4) n r

with B the rows of a batch that heats the chain by a few percent, and r = ROW_NS + FLOP_NS times the operations of the
gradient of a row. The constants are of regressions with n = 20,000 and 100,000, d = 10 and 50, on one core of a Xeon.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from langevax import checks
from langevax.gradients import GradientEstimator
from langevax.integrators import Integrator
from langevax.problems.problem import Problem
from langevax.sampling.evaluations import evaluate
from langevax.sampling.methods import (
    ACCEPTANCE,
    Dynamics,
    check_choice,
    choose_batch_size,
)
from langevax.sampling.starts import normal_deviates

STEPS_PER_DRAW, PASSES_PER_DRAW = 400, 2.5  # of a run of 1,000 draws, tuning included
STEP_NS, ROW_NS, FLOP_NS, GATHERED = 14_000, 7.0, 0.1, 1.5
COUNTED_ROWS = 256
FEW_ROWS = 1_000
"""Rows up to which passes are cheap: a batch has at least 32 rows, so that batches would gain nothing."""
NUM_DRAWS = 32
FAR = 10.0
"""Nats by which log densities may depart from those of the normal law; a mode that misleads is seen by tiny steps."""
FULL_GRADIENTS = (*ACCEPTANCE, "nuts", "hmc", "tempered")
"""Dynamics that need the exact potential."""

Requested = Dynamics | Literal["auto"]


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
        key: Key[Array, ""],
    ) -> "NormalFit":
        """Compare them, in coordinates of unit curvature."""
        xi = normal_deviates(key, (NUM_DRAWS, len(mode)))
        points = np.concatenate(
            [np.zeros((1, len(mode))), np.sqrt(temperature) * xi]
        ) + np.asarray(mode, np.float64)
        values, _ = evaluate(problem, points.astype(mode.dtype))
        log_weights = (values[0] - values[1:]) / temperature + np.sum(xi**2, 1) / 2
        spread = np.std(log_weights) if np.isfinite(log_weights).all() else np.inf
        return cls(float(np.median(np.abs(log_weights))), float(spread), len(mode))

    @property
    def is_usable(self) -> bool:
        """True where the pilot's coordinates may serve NUTS: the curvature is right within a factor."""
        return self.typical <= max(FAR, self.dimension / 2)

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
    key: Key[Array, ""],
) -> tuple[Dynamics, str]:
    """Return NUTS or Langevin dynamics, and why."""
    num_rows = int(problem.size)
    if num_rows == 1:
        return "nuts", "the target is one function, without rows to draw batches from"
    if num_rows <= FEW_ROWS:
        return "nuts", f"passes over {num_rows:,} rows are cheap"
    if fit is None:
        return (
            "nuts",
            "no mode was found at which the curvature says something of the law",
        )
    if not fit.is_close:
        return "nuts", f"{fit}, so that the bias of batches would not be understood"
    batch_size = choose_batch_size(problem, mode, temperature, key)
    row = ROW_NS + FLOP_NS * operations_of_row(problem, mode)
    by_batches = STEPS_PER_DRAW * (STEP_NS + 2 * batch_size * GATHERED * row)
    if PASSES_PER_DRAW * len(mode) ** 0.25 * num_rows * row < by_batches:
        return (
            "nuts",
            f"passes over {num_rows:,} rows cost less than batches of {batch_size:,} would",
        )
    return "langevin", f"batches of {batch_size:,} of {num_rows:,} rows are enough"


def operations_of_row(problem: Problem, position: Float[Array, " d"]) -> float:
    """Return the floating-point operations of the gradient of a component, as XLA counts them; nothing is run."""
    gradient: Any = eqx.filter_jit(
        lambda problem, x, indices: problem.gradient_at(x, indices)
    )
    lowered = gradient.lower(
        problem, position, jnp.zeros(COUNTED_ROWS, jnp.int32)
    ).lowered
    return float((lowered.cost_analysis() or {}).get("flops", 0.0)) / COUNTED_ROWS
