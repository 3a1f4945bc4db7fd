"""The claim on one gradient step: points on lines that nothing was fitted to, and checks that can fail."""

import numpy as np
import pytest

from one_step import CLAIM
from tests.claims.failing import check_failing, check_holding, failing

pytestmark = [pytest.mark.mostly_compiling, pytest.mark.long]


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_points_are_on_their_lines(dataset):
    numbers = check_holding(CLAIM, dataset).numbers
    assert (
        numbers["Gaussian form, largest relative distance from steps N^alpha"] > 0.3
    )  # what the unified form is for


@pytest.mark.parametrize(
    ("name", "factor", "beginnings"),
    [
        (
            "predicted",
            1.2,
            ("relative distance of mean", "relative distance of the point"),
        ),
        (
            "power_predicted",
            1.3,
            ("relative distance of mean", "relative distance of the point"),
        ),
        ("gain_predicted", 2.0, ("what a small step gains",)),
        ("outlier_predicted", 1.2, ("singular value",)),
        ("alignment_predicted", 0.8, ("squared cosine",)),
        ("floor", 3.0, ("least risk without",)),
    ],
)
def test_a_check_fails_alone(dataset, name, factor, beginnings):
    """By its own number; a prediction of risks is in two checks."""
    broken = dataset.assign({name: factor * dataset[name]})
    check_failing(CLAIM, broken, *beginnings)
    assert len(failing(CLAIM, broken)) == len(beginnings)


def test_a_large_step_that_stays_above_the_floor_is_noticed(dataset):
    broken = dataset.assign(
        risk=dataset.risk.where(dataset.step != "sqrt(N)", 2 * dataset.floor)
    )
    assert any(
        statement.startswith("least risk after") for statement in failing(CLAIM, broken)
    )


def test_nothing_measured_is_no_success(dataset):
    for name in ("risk", "power_risk", "gain", "outlier"):
        assert (
            CLAIM.judge(dataset.assign({name: np.nan * dataset[name]})).holds is False
        )


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert len(axes) == 4
    assert all(panel.get_xlabel() and panel.get_ylabel() for panel in axes)
