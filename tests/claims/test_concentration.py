"""The claim on concentration: its claim holds, its numbers have units, and it can fail."""

import numpy as np
import pytest

import concentration
from concentration import CLAIM
from tests.claims.failing import check_failing, check_holding

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_the_claim_holds(dataset):
    check_holding(CLAIM, dataset)


def test_numbers_have_units(dataset):
    names = {
        "gap",
        "gap_error",
        "gap_exact",
        "spectral_gap",
        "rate",
        "rate_error",
        "rate_exact",
    }
    names |= {"wrong_mass", "wrong_mass_error", "wrong_mass_exact"}
    assert names == set(dataset.data_vars)
    assert all(dataset[name].attrs["units"] for name in names)


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert len(axes) == 2
    assert all(a.get_xlabel() and a.get_ylabel() for a in axes)


@pytest.mark.parametrize(
    ("broken", "fails"),
    [
        (lambda d: d.assign(gap=1.2 * d.gap), "E F - min F of chains"),
        (lambda d: d.assign(rate=1.5 * d.rate), "rates at which"),
        (lambda d: d.assign(wrong_mass=d.wrong_mass**1.5), "mass of the wrong well"),
        (
            lambda d: d.assign(spectral_gap=d.spectral_gap**0.9),
            "exponent of the spectral gap",
        ),
    ],
    ids=["gap", "rate", "mass", "exponent"],
)
def test_a_wrong_number_is_noticed(dataset, broken, fails):
    check_failing(CLAIM, broken(dataset), fails)


def test_the_gap_agrees_with_kramers_law():
    """Both escapes at rate sqrt(F''(well) |F''(top)|) / (2 pi) exp(-beta barrier), up to O(1 / beta)."""
    beta, curvature = 60.0, lambda x: 3 * x**2 - 1
    top, value = concentration.TOP, concentration.double_well
    rates = [
        np.sqrt(curvature(well) * -curvature(top))
        / (2 * np.pi)
        * np.exp(-beta * (value(top) - value(well)))
        for well in (concentration.WRONG, concentration.RIGHT)
    ]
    assert concentration.spectral_gap(beta) == pytest.approx(sum(rates), rel=0.05)
