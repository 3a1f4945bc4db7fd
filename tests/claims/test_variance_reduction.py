"""The claim on costs against n: its claim holds, its exact costs are those of the recursions, and it can fail."""

import numpy as np
import pytest

import variance_reduction
from langevax.theory import moments
from tests.claims.failing import check_failing, check_holding
from variance_reduction import CLAIM

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_the_claim_holds(dataset):
    check_holding(CLAIM, dataset)
    assert np.isfinite(dataset.kl_measured).sum() > len(
        variance_reduction.METHODS
    )  # all at 1e-2, some at 1e-4


def test_numbers_have_units(dataset):
    names = {
        "step_size",
        "steps",
        "evaluations",
        "kl_measured",
        "kl_measured_error",
        "kl_exact",
    }
    names |= {"evaluations_measured", "evaluations_measured_error"}
    assert names == set(dataset.data_vars)
    assert all(dataset[name].attrs["units"] for name in names)


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert [a.get_xlabel() for a in axes] == ["number of components $n$"] * 2
    assert [a.get_ylabel() for a in axes] == ["component gradients per chain"] * 2


@pytest.mark.parametrize(
    ("method", "other", "fails"),
    [
        (
            "SVRG-LD",
            "LD",
            [
                "power of n in the gradients of SVRG-LD",
                "SVRG-LD's gradients over SGLD's at T = 1/n",
            ],
        ),
        ("SARAH-LD", "LD", ["power of n in the gradients of SARAH-LD"]),
        ("LD", "SVRG-LD", ["power of n in the gradients of LD"]),
        ("SGLD, T = 1", "CV", ["power of n in the gradients of SGLD at T = 1"]),
        (
            "SGLD, T = 1/n",
            "SGLD, T = 1",
            ["power of n in the gradients of SGLD at T = 1/n", "SVRG-LD's"],
        ),
    ],
)
def test_costs_of_another_method_are_noticed_by_their_own_claim(
    dataset, method, other, fails
):
    broken = dataset.copy(deep=True)
    broken.evaluations.loc[{"method": method}] = dataset.evaluations.sel(
        {"method": other}
    ).values
    check_failing(CLAIM, broken, *fails)


@pytest.mark.parametrize(("temperature", "factor"), [("1/n", 0.1), ("1", 20.0)])
def test_who_is_ahead_is_a_claim_of_its_own(dataset, temperature, factor):
    """All costs of SGLD by a factor: no exponent changes."""
    factors = 1 + (factor - 1) * (dataset.method == f"SGLD, T = {temperature}")
    broken = dataset.assign(evaluations=dataset.evaluations * factors)
    check_failing(
        CLAIM, broken, f"SVRG-LD's gradients over SGLD's at T = {temperature},"
    )


def test_chains_off_the_line_are_noticed(dataset):
    broken = dataset.assign(
        kl_measured=dataset.kl_measured + 10 * dataset.kl_measured_error
    )
    check_failing(CLAIM, broken, "KL divergence of chains")


@pytest.mark.parametrize("name", list(variance_reduction.METHODS))
def test_steps_needed_are_those_of_the_recursions_on_all_components(name):
    """n = 100 whole components, walked step by step, with no map, power or stand-in."""
    method, size, step_size, accuracy = (
        variance_reduction.METHODS[name],
        100,
        0.05,
        0.02,
    )
    temperature = 1 / size if method.posterior else 1.0
    step_size = 0.002 if method.posterior else step_size
    steps = int(
        variance_reduction.steps_needed(method, size, accuracy, np.array([step_size]))[
            0
        ]
    )
    a, c = variance_reduction.components(size, seed=3)
    start = (
        variance_reduction.START_MEAN * temperature**0.5,
        variance_reduction.START_SECOND * temperature,
    )
    chain = moments.QuadraticChain(a, c, *start, step_size, temperature, steps)
    run = method.moments(chain, *method.batch(size), replace=False)
    kl = variance_reduction.divergence(
        run.first / temperature**0.5, run.second / temperature
    )
    assert np.all(kl[:-1] > accuracy)
    assert kl[-1] <= accuracy
    np.testing.assert_allclose(
        variance_reduction.exact_divergence(method, size, step_size, steps),
        kl[-1],
        rtol=1e-8,
    )
