"""The chains of `minimize`: run, looked at on a grid, and begun again with half the step where they diverge."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from langevax.algorithm import at_step
from langevax.gradients import SVRG, Full, GradientEstimator
from langevax.integrators import Explicit, Exponential
from langevax.optimize.arguments import Box
from langevax.optimize.starts import Survey
from langevax.problems.problem import Problem
from langevax.run import DivergenceError, Result, Stacked, Trace, simulate
from langevax.samplers import Langevin, Reflected

LOOKS = 100
"""Looks at the values of all chains in a run."""
SMALL = 1024
"""Components up to which a step takes them all."""
BATCH_SIZE, EPOCHS = 32, 20
"""Of the default SVRG: components of a batch, and full passes in a run, at the least."""
FRACTION = 0.25
"""Of 1 / largest curvature: a chain is a seventh too hot in the stiffest direction, and less elsewhere."""
MAX_HALVINGS = 10
FAR = 1e3
"""Scales of the starts beyond which a gradient that is not finite is put down to the step size, not to `fun`."""


class Plan(NamedTuple):
    """How to run; `temperature` and `step_size` are numbers or functions of the step."""

    step_size: Any
    temperature: Any
    estimator: GradientEstimator
    box: Box | None
    num_steps: int
    retry: bool
    """Whether the step size may be halved."""
    progress: bool | None


class Look(NamedTuple):
    """All chains at one step."""

    step: int
    evaluations: int
    """So far, whatever was tried before included."""
    values: Float[np.ndarray, " chains"]
    best_value: float


class Search:
    """The chains of one call, and the best that they have seen.

    `follow(look, positions)` is asked after each look whether to stop.
    """

    def __init__(
        self,
        problem: Problem,
        survey: Survey,
        num_chains: int,
        follow: Callable[[Look, Array], bool] | None,
    ):
        self.problem, self.survey, self.follow = problem, survey, follow
        self.starts, self.size = survey.places[:num_chains], int(problem.size)
        best = int(np.argmin(survey.values))
        self.best, self.best_value = survey.places[best], float(survey.values[best])
        self.positions, self.steps = self.starts, 0
        self.evaluations, self.before = survey.evaluations, survey.evaluations
        self.looks: list[Look] = []
        self.halvings, self.diverged_at = 0, None
        self.stopped = False

    def run(self, plan: Plan, key: Key[Array, ""]) -> Plan:
        """To the end, whatever it is; gives back the plan with the step size that it took."""
        curved = any(np.any(np.asarray(p)) for p in jax.tree.leaves(self.problem.precision))
        integrator = Exponential() if curved else Explicit()
        every = max(math.ceil(plan.num_steps / LOOKS), min(getattr(plan.estimator, "period", 1), plan.num_steps))
        while True:
            algorithm: Any = Langevin(plan.step_size, plan.temperature, plan.estimator, integrator)
            if plan.box is not None:
                algorithm = Reflected(algorithm, plan.box.lower, plan.box.upper)
            self.looks, self.before = [], self.evaluations
            try:
                result = simulate(
                    algorithm,
                    self.problem,
                    Stacked(self.starts),
                    key=key,
                    num_steps=plan.num_steps,
                    record=potential_of,
                    record_every=every,
                    callbacks=[self.look],
                    callback_every=every,
                    progress=plan.progress,
                )
            except DivergenceError as error:
                self.take(error.result)
                if plan.retry and self.halvings < MAX_HALVINGS:
                    self.halvings += 1
                    plan = plan._replace(step_size=plan.step_size / 2)
                    continue
                self.check_gradient(error)
                self.diverged_at = error.step
                return plan
            self.take(result)
            self.stopped = self.steps < plan.num_steps
            return plan

    def look(self, trace: Trace | None, state: Any) -> bool:
        """A callback of `simulate`: keep the values, and the best position so far."""
        assert trace is not None
        values = np.asarray(trace.values[:, -1], np.float64)
        self.consider(values, state.position)
        in_run = int(trace.info["evaluations"][:, -1].sum()) + len(trace) * values.size * self.size
        self.looks.append(Look(int(trace.steps[-1]), self.before + in_run, values, self.best_value))
        return self.follow is not None and self.follow(self.looks[-1], state.position)

    def consider(self, values: np.ndarray, positions: Array) -> None:
        """Keep the best of these if it is the best so far."""
        if np.isfinite(values).any() and np.nanmin(values) < self.best_value:
            self.best_value, self.best = float(np.nanmin(values)), _row(positions, jnp.int32(np.nanargmin(values)))

    def take(self, result: Result) -> None:
        """The end of a run, and what it cost."""
        self.positions, self.steps = result.position, result.steps
        self.evaluations = self.before + result.evaluations + len(self.looks) * len(self.starts) * self.size

    def check_gradient(self, error: DivergenceError) -> None:
        """Raise where the gradient is NaN at a position that is finite and not far from the starts."""
        positions = np.asarray(error.state.position, np.float64)
        starts = np.asarray(self.starts, np.float64)
        near = np.abs(positions - starts).max(1) <= FAR * (self.survey.scale + np.abs(starts).max(1))
        gradients = np.asarray(_gradients(self.problem, error.state.position))
        wrong = np.flatnonzero(near & np.isnan(gradients).any(1))
        if len(wrong):
            where = np.array2string(positions[wrong[0]], precision=4, threshold=6)
            raise ValueError(
                f"the gradient of fun is nan at x = {where}, where chain {wrong[0]} came at step {error.step - 1}; "
                "keep chains where fun has a gradient with bounds=, or give it one everywhere (jnp.where inside fun)."
            ) from error


def number_at(value: Any, step: int) -> float:
    """A schedule's value at a step; a number is its own."""
    return float(np.asarray(at_step(value, jnp.int32(step))))


def default_estimator(problem: Problem, num_steps: int) -> GradientEstimator:
    """All components where they are few; else SVRG with small batches and n / B steps from anchor to anchor.

    An epoch then costs about three passes. A shorter one is taken where a run would not have `EPOCHS` of them.
    """
    size = int(problem.size)
    if size <= SMALL:
        return Full()
    return SVRG(BATCH_SIZE, max(1, min(size // BATCH_SIZE, num_steps // EPOCHS)))


def tuned_step_size(survey: Survey, hottest: float) -> float:
    """`FRACTION / L`, and no larger than what moves a coordinate by the scale of the starts at the hottest.

    L is the largest curvature over the starts; the second bound is what there is for functions with no curvature.
    """
    stable = FRACTION / survey.curvature if survey.curvature > 0 else math.inf
    wide = survey.scale**2 / (2 * hottest) if hottest > 0 and survey.scale > 0 else math.inf
    step_size = min(stable, wide)
    if not math.isfinite(step_size):
        raise ValueError(
            "step_size='tuned' asks for a curvature of fun, and there is none at the starts; pass a float, or start "
            "elsewhere."
        )
    return step_size


def potential_of(problem: Problem, state: Any) -> Array:
    """What is recorded."""
    return problem.potential(state.position)


def potentials(problem: Problem, positions: Array) -> Float[np.ndarray, " chains"]:
    """Of all chains."""
    return np.asarray(_potentials(problem, positions), np.float64)


@eqx.filter_jit
def _potentials(problem: Problem, positions: Array) -> Float[Array, " chains"]:
    return jax.vmap(problem.potential)(positions)


@eqx.filter_jit
def _gradients(problem: Problem, positions: Array) -> Float[Array, "chains d"]:
    return jax.vmap(problem.potential_gradient)(positions)


@jax.jit
def _row(positions: Array, i: Array) -> Array:
    return positions[i]
