"""The scaling of the columns, by leave-one-out errors of the kernel limit, which are known in closed form.

Those between which the limit does not decide are compared as networks on folds (`fold_paths`).
"""

import numpy as np

from langevax._typing import PRNGKey
from langevax.meanfield.kernel_limit import NUM_NEURONS, LeaveOneOut, excess
from langevax.sklearn.column_maps import Scaling, Standardiser
from langevax.sklearn.fold_choice import FEWEST_COMPARED
from langevax.sklearn.learned_scales import (
    COMPARED_NEURONS,
    KernelProblem,
    LearnedScales,
    PreparedColumns,
    held_out_errors,
    learned_scales,
)
from langevax.sklearn.parameters import Auto
from langevax.sklearn.table import DistinctRows
from langevax.sklearn.training import TrainingTask

CLEAR = 2.0
"""Standard errors by which learned scales have to be better to be taken without networks."""
SCALES_FOLDS = 5


def kernel_choice(
    rows: DistinctRows,
    task: TrainingTask,
    prior_precision: float,
    scalings: tuple[Scaling, ...],
    learn_scales: bool | Auto,
    key: PRNGKey,
) -> list[PreparedColumns]:
    """Return scaling and learned scales of small errors in the kernel limit, and others that may be as good.

    The first scaling is taken unless another one is clearly better by leave-one-out errors. Those of learned scales are
    too small, since the row left out had its part in them. Of the scalings with learned scales the one of least errors
    is therefore compared on folds that learn their own scales. The better one comes first, and the columns as they are
    are left out where they are worse by two standard errors; pieces with learned scales, which networks use better than
    kernel machines do, are added where they are nearly as good. `learn_scales=True` takes learned scales as they are.
    All are compared on fewer rows and neurons than those of `kernel_errors`. Of less than `FEWEST_COMPARED` rows only the
    first scaling is tried.
    """
    if len(rows.inputs) < FEWEST_COMPARED:
        scalings = scalings[:1]
        learn_scales = learn_scales is True
    problem = kernel_problem(rows, task, prior_precision, key)
    plain: dict[Scaling, Standardiser] = {
        scaling: Standardiser.fit(rows.inputs, rows.weights, scaling)
        for scaling in scalings
    }
    if len(scalings) > 1 and len(plain["pieces"].mean) == rows.inputs.shape[1]:
        del plain["pieces"]  # no column has any
    best = next(iter(plain))
    chosen: list[tuple[Scaling, list[float]]] = []
    if len(scalings) > 1 or learn_scales:
        compared: dict[Scaling, KernelProblem] = {
            scaling: problem.under(plain[scaling], 600) for scaling in plain
        }
        errors: dict[Scaling, LeaveOneOut] = {
            scaling: compared[scaling].leave_one_out(COMPARED_NEURONS)
            for scaling in plain
        }
        for scaling in plain:
            if clearly_better(
                errors[scaling],
                errors[best],
                compared[best].weights,
                compared[best].groups,
            ):
                best = scaling
        if learn_scales:
            chosen = _with_learned_scales(
                compared, errors, best, always=learn_scales is True
            )

    def prepared(scaling: Scaling, penalties: list[float]) -> PreparedColumns:
        standardiser = plain[scaling]
        learned = None
        if penalties:
            everywhere = problem._replace(inputs=standardiser(rows.inputs))
            learned = LearnedScales(learned_scales(everywhere, penalties), penalties)
            standardiser = standardiser.scaled(learned.scales)
        return PreparedColumns(standardiser, scaling, learned)

    return [prepared(*pair) for pair in chosen or [(best, [])]]


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


def _with_learned_scales(
    problems: dict[Scaling, KernelProblem],
    errors: dict[Scaling, LeaveOneOut],
    best: Scaling,
    *,
    always: bool,
) -> list[tuple[Scaling, list[float]]]:
    """Return scalings with the penalties at which their scales are learned, or none for columns as they are."""
    learned: dict[Scaling, tuple[list[float], LeaveOneOut]] = {}
    for scaling, problem in problems.items():
        penalties = []
        after = errors[scaling]
        for _ in range(2):
            penalties.append(after.best_alpha)
            after = problem.with_columns_times(
                learned_scales(problem, penalties)
            ).leave_one_out(COMPARED_NEURONS)
        learned[scaling] = penalties, after
    scaling = min(learned, key=lambda name: learned[name][1].error)
    penalties, after = learned[scaling]
    if always:
        return [(scaling, penalties)]
    with_scales = problems[scaling].spread(SCALES_FOLDS)
    without = problems[best].spread(SCALES_FOLDS)
    theirs = held_out_errors(with_scales, penalties, after.best_alpha, SCALES_FOLDS)
    ours = held_out_errors(without, [], errors[best].best_alpha, SCALES_FOLDS)
    difference, error = excess(theirs, ours, without.weights, without.groups)
    candidates = [(scaling, penalties), (best, [])]
    if difference >= 0:
        candidates.reverse()
    elif difference < -CLEAR * error:
        candidates.pop()
    if (
        scaling != "pieces"
        and "pieces" in learned
        and learned["pieces"][1].error < 1.15 * after.error
    ):
        candidates.append(("pieces", learned["pieces"][0]))
    return candidates


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
