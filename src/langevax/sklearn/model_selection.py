"""The scaling of the columns by leave-one-out errors of the kernel limit, and the candidates for networks on folds."""

import numpy as np

from langevax._typing import PRNGKey
from langevax.meanfield.kernel_limit import NUM_NEURONS, LeaveOneOut, excess
from langevax.sklearn.fold_choice import FEWEST_COMPARED
from langevax.sklearn.learned_scales import (
    COMPARED_NEURONS,
    KernelProblem,
    LearnedScales,
    PreparedColumns,
    learned_scales,
)
from langevax.sklearn.table import DistinctRows, Scaling, Standardiser
from langevax.sklearn.training import TrainingTask



def column_candidates(
    rows: DistinctRows,
    task: TrainingTask,
    prior_precision: float,
    scalings: tuple[Scaling, ...],
    learn_scales: tuple[bool, ...],
    key: PRNGKey,
) -> list[PreparedColumns]:
    """Return columns under each scaling, and with learned scales as well as without where both are asked for.

    That of the kernel limit comes first: the first scaling, unless another one is clearly better by leave-one-out errors.
    Of less than `FEWEST_COMPARED` rows only the first scaling is tried, with learned scales only where these are all that
    is asked for.
    """
    if len(rows.inputs) < FEWEST_COMPARED:
        scalings = scalings[:1]
        learn_scales = learn_scales[:1]
    problem = kernel_problem(rows, task, prior_precision, key)
    plain: dict[Scaling, Standardiser] = {
        scaling: Standardiser.fit(rows.inputs, rows.weights, scaling)
        for scaling in scalings
    }
    if len(scalings) > 1 and len(plain["pieces"].mean) == rows.inputs.shape[1]:
        del plain["pieces"]  # no column has any
    compared = {scaling: problem.under(plain[scaling], 600) for scaling in plain}
    errors = {
        scaling: compared[scaling].leave_one_out(COMPARED_NEURONS) for scaling in plain
    }
    best = next(iter(plain))
    weights, groups = compared[best].weights, compared[best].groups
    for scaling in plain:
        if clearly_better(errors[scaling], errors[best], weights, groups):
            best = scaling

    def prepared(scaling: Scaling, learned: bool) -> PreparedColumns:
        standardiser = plain[scaling]
        if not learned:
            return PreparedColumns(standardiser, scaling, None)
        penalties = penalties_of(compared[scaling], errors[scaling])
        everywhere = problem._replace(inputs=standardiser(rows.inputs))
        scales = LearnedScales(learned_scales(everywhere, penalties), penalties)
        return PreparedColumns(standardiser.scaled(scales.scales), scaling, scales)

    order = [best, *(scaling for scaling in plain if scaling != best)]
    return [prepared(scaling, learned) for scaling in order for learned in learn_scales]


def penalties_of(problem: KernelProblem, errors: LeaveOneOut) -> list[float]:
    """Return the penalties at which scales are learned: the best one of the columns as they are, and of those scaled."""
    penalties = [errors.best_alpha]
    scaled = problem.with_columns_times(learned_scales(problem, penalties))
    return [*penalties, scaled.leave_one_out(COMPARED_NEURONS).best_alpha]


def kernel_problem(
    rows: DistinctRows, task: TrainingTask, prior_precision: float, key: PRNGKey
) -> KernelProblem:
    """Return the regression that chooses, on the columns as they are."""
    of_rows = rows.inputs, task.regressands, rows.weights, rows.copies
    return KernelProblem(task.neuron, prior_precision, *of_rows, key, rows.groups)


def kernel_errors(
    rows: DistinctRows,
    task: TrainingTask,
    prior_precision: float,
    columns: PreparedColumns,
    key: PRNGKey,
) -> LeaveOneOut:
    """Return the leave-one-out errors of the kernel limit on these columns, of some of the rows."""
    problem = kernel_problem(rows, task, prior_precision, key)
    return problem.under(columns.standardiser, 1000).leave_one_out(NUM_NEURONS)


def clearly_better(
    one: LeaveOneOut,
    other: LeaveOneOut,
    weights: np.ndarray,
    groups: np.ndarray | None = None,
    share: float = 0.97,
) -> bool:
    """Return whether errors on the same rows are smaller by one standard error, and below a share of the others."""
    difference, error = excess(one.row_errors, other.row_errors, weights, groups)
    return bool(difference < -error) and one.error < share * other.error
