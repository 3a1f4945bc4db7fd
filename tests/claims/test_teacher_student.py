"""The claim on two-phase training: it holds, its numbers have units, and each check can fail."""

import numpy as np
import pytest

import teacher_student as runs
from relu_sphere import parametric_risk
from teacher_student import CLAIM, slope
from tests.claims.failing import check_failing, check_holding, failing

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_the_claim_holds(dataset):
    numbers = check_holding(CLAIM, dataset).numbers
    assert all(np.isfinite(number).all() for number in numbers.values())


def test_numbers_have_units_and_errors(dataset):
    assert all(dataset[name].attrs["units"] for name in dataset.data_vars)
    assert {f"{name}_error" for name in ("mean_excess", "success", "signs")} <= set(
        dataset.data_vars
    )
    assert (dataset.mean_excess_error > 0).all()


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert len(axes) == 2 + dataset.sizes["dim"]
    assert all(a.get_xlabel() and a.get_title(loc="left") for a in axes)


def changed(name, times, **where):
    """The dataset with one variable multiplied, where the coordinates are these."""

    def change(dataset):
        array = dataset[name].copy(deep=True)
        array.loc[where] = times * array.loc[where]
        return dataset.assign({name: array})

    return change


def added(name, by):
    return lambda dataset: dataset.assign({name: dataset[name] + by})


LEVEL, SLOPE, KERNELS = (
    "network's excess risk",
    "power of n by which",
    "steepest power of n",
)
APART, TRAINING, SIGNS = (
    "excess risk of the best kernel",
    "training loss",
    "restarts that succeed with",
)


@pytest.mark.parametrize(
    ("broken", "beginnings"),
    [
        (changed("mean_excess", 4.0, estimator=runs.NETWORK, rows=256), {LEVEL, APART}),
        (changed("mean_excess", 0.2, estimator="ridge, arc-cosine", rows=256), {APART}),
        (changed("excess", 6.0, estimator=runs.NETWORK, rows=256), {SLOPE}),
        (
            changed("excess", 0.3, estimator="ridge, neural tangent", rows=256),
            {KERNELS},
        ),
        (
            changed("mean_excess", np.nan, estimator=runs.NETWORK, rows=256),
            {LEVEL, APART},
        ),
        (changed("along_loss", 2.0), {TRAINING}),
        (added("success", 0.1), {SIGNS}),
    ],
    ids=[
        "level",
        "separation",
        "slope of the network",
        "slope of a kernel",
        "nothing measured",
        "training",
        "signs",
    ],
)
def test_a_check_fails_alone(dataset, broken, beginnings):
    """By its own number; both of the checks that the network's risk is in."""
    check_failing(CLAIM, broken(dataset), *beginnings)
    assert len(failing(CLAIM, broken(dataset))) == len(beginnings)


def test_the_worst_number_of_rows_decides(dataset):
    apart = changed("mean_excess", 20.0, estimator=list(runs.KERNELS), rows=64)(
        dataset
    ).assign_attrs(aim_from=64)
    measured = {
        check.statement.split(" from")[0]: check.measured
        for check in CLAIM.judge(apart).checks
    }
    net, levels = (
        apart.mean_excess.sel(dim=6, estimator=runs.NETWORK),
        [parametric_risk(3, 6, 0.01, n) for n in (64, 256)],
    )
    assert measured["network's excess risk"] == pytest.approx(
        float((net / levels).max())
    )
    ridge = apart.mean_excess.sel(dim=6, estimator=list(runs.KERNELS)).min("estimator")
    assert measured["excess risk of the best kernel ridge"] == pytest.approx(
        float((ridge / net)[1])
    )
    assert float((ridge / net)[0]) > float((ridge / net)[1])


def test_restarts_succeed_where_their_signs_are_right(dataset):
    """None succeeds without; that is what the ablation stands on."""
    np.testing.assert_array_equal(dataset.both, dataset.success)
    assert (dataset.success > 0).all()
    assert (dataset.signs < 1).any()


def test_slope_is_that_of_a_power_law(dataset):
    law = dataset.assign(excess=dataset.excess * 0 + dataset["rows"] ** -0.7)
    assert slope(law, runs.NETWORK, 6) == pytest.approx((-0.7, 0.0), abs=1e-12)


def test_a_run_ends_at_the_level_of_least_squares(dataset):
    """Along the trajectory too, and losses before the switch are those of the network, not of theta."""
    level = parametric_risk(3, 6, runs.NOISE**2, dataset.attrs["watched"])
    best = int(dataset.best)
    assert dataset.along_excess[best, -1] < runs.SUCCESS * level
    assert dataset.along_loss[best, -1] == pytest.approx(runs.NOISE**2 / 2, rel=0.3)
    apart = dataset.along_loss - dataset.along_excess / 2 - runs.NOISE**2 / 2
    assert np.abs(apart / dataset.along_loss).max() < 0.6
