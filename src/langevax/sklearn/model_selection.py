"""The columns that networks may have: scalings, with learned scales or without, and their errors in the kernel limit."""

from langevax._typing import PRNGKey
from langevax.meanfield.kernel_limit import NUM_NEURONS, LeaveOneOut, excess
from langevax.sklearn.column_maps import Scaling, Standardiser
from langevax.sklearn.learned_scales import (
    COMPARED_NEURONS,
    KernelProblem,
    LearnedScales,
    PreparedColumns,
    learned_scales,
)
from langevax.sklearn.table import DistinctRows
from langevax.sklearn.training import TrainingTask

FEWEST_COMPARED = 60  # rows: on fewer, the best of several scalings is that of noise


def column_candidates(
    problem: KernelProblem,
    scalings: tuple[Scaling, ...],
    learn_scales: tuple[bool, ...],
) -> list[PreparedColumns]:
    """Return the columns under each scaling, once for each of `learn_scales`.

    That of the kernel limit comes first: the first scaling, unless another one is better by leave-one-out errors, by one
    standard error and by 3 %. One deviation for all columns depends on their units, and is a candidate only where it is
    that of the kernel limit. Errors are of fewer rows and neurons than those of `kernel_errors`. Of less than
    `FEWEST_COMPARED` rows only the first of scalings and of `learn_scales` is tried.

    Args:
        problem: of the columns as they are.
        scalings: first that which others have to beat.
        learn_scales: whether columns are multiplied by scales learned from the targets.
    """
    if len(problem.inputs) < FEWEST_COMPARED:
        scalings, learn_scales = scalings[:1], learn_scales[:1]
    plain: dict[Scaling, Standardiser] = {
        scaling: Standardiser.fit(problem.inputs, problem.weights, scaling)
        for scaling in scalings
    }
    if len(scalings) > 1 and len(plain["pieces"].mean) == problem.inputs.shape[1]:
        del plain["pieces"]  # no column has any
    sample = problem.some_rows(600)
    best = next(iter(plain))
    errors: dict[Scaling, LeaveOneOut] = {}
    if len(plain) > 1 or any(learn_scales):
        for scaling in plain:
            errors[scaling] = sample.under(plain[scaling]).leave_one_out(
                COMPARED_NEURONS
            )
            one, other = errors[scaling], errors[best]
            rows = one.row_errors, other.row_errors, sample.weights, sample.groups
            difference, error = excess(*rows)
            if difference < -error and one.error < 0.97 * other.error:
                best = scaling
    if best != "global":
        plain.pop("global", None)  # which depends on units

    def prepared(scaling: Scaling, learned: bool) -> PreparedColumns:
        standardiser = plain[scaling]
        if not learned:
            return PreparedColumns(standardiser, scaling, None)
        compared = sample.under(standardiser)
        penalties = [errors[scaling].best_alpha]
        scaled = compared.with_columns_times(learned_scales(compared, penalties))
        penalties.append(scaled.leave_one_out(COMPARED_NEURONS).best_alpha)
        scales = learned_scales(problem.under(standardiser), penalties)
        learned_columns = LearnedScales(scales, penalties)
        return PreparedColumns(standardiser.scaled(scales), scaling, learned_columns)

    first = sorted(plain, key=lambda scaling: scaling != best)
    return [prepared(scaling, learned) for scaling in first for learned in learn_scales]


def kernel_problem(
    rows: DistinctRows, task: TrainingTask, prior_precision: float, key: PRNGKey
) -> KernelProblem:
    """Return the regression that chooses, on the columns as they are."""
    of_rows = rows.inputs, task.regressands, rows.weights, rows.copies
    return KernelProblem(task.neuron, prior_precision, *of_rows, key, rows.groups)


def kernel_errors(problem: KernelProblem, columns: PreparedColumns) -> LeaveOneOut:
    """Return the leave-one-out errors of the kernel limit on these columns, of some of the rows."""
    sample = problem.some_rows(1000).under(columns.standardiser)
    return sample.leave_one_out(NUM_NEURONS)
