"""The solvers of the mean-field estimators by name: algorithm, step size and number of steps.

All of them minimise the same objective, so that one certificate serves them all. docs/solvers.md has their costs and
gaps, measured.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from langevax.algorithm import Algorithm
from langevax.gradients import SVRG, Full, GradientEstimator, Minibatch
from langevax.meanfield import MFLD, PDA, PSDCA, FictitiousPlay
from langevax.meanfield.adaptive_steps import (
    DualCurvatureSteps,
    LossCurvatureSteps,
    rows_to_measure,
)
from langevax.meanfield.mfld import RELATIVE_STEP_SIZE, coordinate_steps
from langevax.meanfield.moves import Proposal
from langevax.problems.losses import Loss
from langevax.problems.mean_field import MeanFieldRisk
from langevax.samplers import Langevin, Underdamped

FULL_BATCH = 4_000_000
"""Rows times particles up to which every step sees all rows."""
BATCH_SHARE = 2 / 3
"""Of the relative step: a batch's noise heats the particles in proportion to the step."""
INNER_STEPS = 5


class Schedule(NamedTuple):
    """Length and step size of the training."""

    solver: str
    num_steps: int
    relative_step_size: float
    batch_size: int | None
    proposal: Proposal = "mala"


class Solver(NamedTuple):
    """Settings with which an estimator runs an algorithm."""

    make: Callable[[MeanFieldRisk, float | Array, Schedule], Algorithm]
    relative_step_size: float
    num_steps: Callable[[int, int | None], int]
    """From the number of rows and the batch, None where every step sees all rows."""
    batches: bool = True
    """Whether a step may see a batch of the rows."""
    from_prior: bool = False
    """Whether it has to begin with exact draws of the prior."""
    antithetic: bool = False
    """Whether neurons move in pairs with reflected noise, and begin so."""
    passes: int = 1
    """Activations of a step and particle for each row that it sees: of the batch, or of the one row of "psdca"."""


def algorithm(
    risk: MeanFieldRisk, temperature: float | Array, schedule: Schedule
) -> Algorithm:
    """Return what `simulate` runs."""
    return SOLVERS[schedule.solver].make(risk, temperature, schedule)


def estimated_seconds(
    schedule: Schedule,
    num_rows: int,
    num_columns: int,
    num_particles: int,
) -> float:
    """Return about how many seconds of a processor the steps take.

    >>> round(estimated_seconds(Schedule("mfld", 1000, 1.5, None), 500, 12, 500), 2)
    1.05
    """
    solver = SOLVERS[schedule.solver]
    rows = 1 if solver.from_prior else schedule.batch_size or num_rows
    activations = float(schedule.num_steps * solver.passes * rows) * num_particles
    return activations * (3e-9 + 1e-10 * num_columns)  # measured, with the gradient


def _gradient(schedule: Schedule) -> GradientEstimator:
    return Full() if schedule.batch_size is None else Minibatch(schedule.batch_size)


def _mfld(
    risk: MeanFieldRisk, temperature: float | Array, schedule: Schedule
) -> Algorithm:
    steps = coordinate_steps(risk, schedule.relative_step_size)
    mfld = MFLD(steps, temperature, _gradient(schedule), antithetic=True)
    return _following_loss(mfld, risk, schedule, schedule.batch_size or risk.max_size)


def _svrg_mfld(
    risk: MeanFieldRisk, temperature: float | Array, schedule: Schedule
) -> Algorithm:
    batch_size = schedule.batch_size or max(1, risk.max_size // 8)
    # as much on full passes as on batches
    period = max(2, -(-risk.max_size // (2 * batch_size)))
    steps = coordinate_steps(risk, schedule.relative_step_size)
    mfld = MFLD(steps, temperature, SVRG(batch_size, period), antithetic=True)
    return _following_loss(mfld, risk, schedule, 2 * batch_size)


def _underdamped(
    risk: MeanFieldRisk, temperature: float | Array, schedule: Schedule
) -> Algorithm:
    steps = jnp.sqrt(coordinate_steps(risk, schedule.relative_step_size))
    # critical where only the prior pulls
    friction = 2 * jnp.sqrt(jnp.asarray(risk.precision, steps.dtype))
    walk = Underdamped(steps, temperature, friction, _gradient(schedule))
    return _following_loss(walk, risk, schedule, schedule.batch_size or risk.max_size)


def _following_loss(
    algorithm: Langevin | Underdamped,
    risk: MeanFieldRisk,
    schedule: Schedule,
    rows_of_a_step: int,
) -> Algorithm:
    """Return the algorithm with step sizes that follow the curvature of the loss, unless that is constant."""
    if type(risk.loss).local_curvature is Loss.local_curvature:
        return algorithm
    return LossCurvatureSteps(
        algorithm, schedule.relative_step_size, rows_to_measure(rows_of_a_step)
    )


def _rounds_of(
    method: type[PDA | FictitiousPlay],
    risk: MeanFieldRisk,
    temperature: float | Array,
    schedule: Schedule,
) -> Algorithm:
    """Return a method whose rounds make `INNER_STEPS` passes under one dual."""
    batches = max(1, risk.max_size // (schedule.batch_size or risk.max_size))
    rounds = method(
        coordinate_steps(risk, schedule.relative_step_size),
        temperature,
        num_inner_steps=INNER_STEPS * batches,
        gradient=_gradient(schedule),
    )
    return DualCurvatureSteps(rounds, schedule.relative_step_size)


def _psdca(
    risk: MeanFieldRisk, temperature: float | Array, schedule: Schedule
) -> Algorithm:
    return PSDCA(
        temperature,
        num_inner_steps=INNER_STEPS,
        curvature="variance",
        proposal=schedule.proposal,
    )


def _steps(_rows: int, batch_size: int | None) -> int:
    return 1000 if batch_size is None else 10_000


def _passes(rows: int, batch_size: int | None) -> int:
    """Return fewer steps of two batches each, and the passes between."""
    return _steps(rows, batch_size) // (1 if batch_size is None else 3)


def _rounds(rows: int, batch_size: int | None) -> int:
    """Return rounds of as many passes as steps, or of six million gradients of rows in all."""
    passes = _steps(rows, None) if batch_size is None else 6_000_000 // rows
    return passes // (1 + INNER_STEPS)


def _coordinates(rows: int, _batch_size: int | None) -> int:
    return rows * max(10, min(40, 200_000 // rows))


def _overdamped(make: Callable[..., Algorithm], **settings: Any) -> Solver:
    return Solver(make, RELATIVE_STEP_SIZE["overdamped"], **settings)


def _frozen(method: type[PDA | FictitiousPlay]) -> Solver:
    return Solver(
        partial(_rounds_of, method),
        RELATIVE_STEP_SIZE["frozen"],
        _rounds,
        passes=1 + INNER_STEPS,
    )


SOLVERS = {
    "mfld": _overdamped(_mfld, num_steps=_steps, antithetic=True),
    "svrg-mfld": _overdamped(_svrg_mfld, num_steps=_passes, antithetic=True, passes=3),
    "underdamped": Solver(_underdamped, RELATIVE_STEP_SIZE["underdamped"], _steps),
    "pda": _frozen(PDA),
    "fictitious-play": _frozen(FictitiousPlay),
    "psdca": _overdamped(
        _psdca,
        num_steps=_coordinates,
        batches=False,
        from_prior=True,
        passes=2 + INNER_STEPS,
    ),
}
