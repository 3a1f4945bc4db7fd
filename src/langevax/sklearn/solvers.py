"""The solvers of the mean-field estimators by name: algorithm, step size and number of steps.

All of them minimise the same objective, so that one certificate serves them all. docs/solvers.md has their costs and
gaps, measured.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array

from langevax.algorithm import Algorithm
from langevax.gradients import Full, GradientEstimator, Minibatch
from langevax.meanfield import MFLD, PDA, PSDCA
from langevax.meanfield.adaptive_steps import (
    DualCurvatureSteps,
    LossCurvatureSteps,
    rows_to_measure,
)
from langevax.meanfield.mfld import RELATIVE_STEP_SIZE, coordinate_steps
from langevax.problems.losses import Loss
from langevax.problems.mean_field import MeanFieldRisk

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


class Solver(NamedTuple):
    """Settings with which an estimator runs an algorithm."""

    make: Callable[[MeanFieldRisk, float | Array, Schedule], Algorithm]
    relative_step_size: float
    num_steps: Callable[[int, int | None], int]
    """From the number of rows and the batch, None where every step sees all rows."""
    batches: bool = True
    """Whether a step may see a batch of the rows."""
    antithetic: bool = False
    """Whether neurons move in pairs with reflected noise, and begin so."""


def algorithm(
    risk: MeanFieldRisk, temperature: float | Array, schedule: Schedule
) -> Algorithm:
    """Return what `simulate` runs."""
    return SOLVERS[schedule.solver].make(risk, temperature, schedule)


def _gradient(schedule: Schedule) -> GradientEstimator:
    return Full() if schedule.batch_size is None else Minibatch(schedule.batch_size)


def _mfld(
    risk: MeanFieldRisk, temperature: float | Array, schedule: Schedule
) -> Algorithm:
    steps = coordinate_steps(risk, schedule.relative_step_size)
    mfld = MFLD(steps, temperature, _gradient(schedule), antithetic=True)
    if type(risk.loss).local_curvature is Loss.local_curvature:
        return mfld
    # step sizes follow the curvature of the loss, unless that is constant
    rows = rows_to_measure(schedule.batch_size or risk.max_size)
    return LossCurvatureSteps(mfld, schedule.relative_step_size, rows)


def _pda(
    risk: MeanFieldRisk, temperature: float | Array, schedule: Schedule
) -> Algorithm:
    """Return PDA, whose rounds make `INNER_STEPS` passes under one dual."""
    batches = max(1, risk.max_size // (schedule.batch_size or risk.max_size))
    rounds = PDA(
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
    )


def _steps(_rows: int, batch_size: int | None) -> int:
    return 1000 if batch_size is None else 10_000


def _rounds(rows: int, batch_size: int | None) -> int:
    """Return rounds of as many passes as steps, or of six million gradients of rows in all."""
    passes = _steps(rows, None) if batch_size is None else 6_000_000 // rows
    return passes // (1 + INNER_STEPS)


def _coordinates(rows: int, _batch_size: int | None) -> int:
    return rows * max(10, min(40, 200_000 // rows))


SOLVERS = {
    "mfld": Solver(_mfld, RELATIVE_STEP_SIZE["overdamped"], _steps, antithetic=True),
    "pda": Solver(_pda, RELATIVE_STEP_SIZE["frozen"], _rounds),
    "psdca": Solver(
        _psdca,
        RELATIVE_STEP_SIZE["overdamped"],
        _coordinates,
        batches=False,
    ),
}
