"""The claim on a mixture's posterior: its reference is exact, it runs, and it can fail."""

import numpy as np
import pytest
import xarray
from scipy.integrate import dblquad

import mixture
from mixture import CLAIM
from tests.claims.failing import check_failing, check_holding

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def data():
    return CLAIM.run("small")


def test_it_holds_at_the_small_size(data):
    verdict = check_holding(CLAIM, data)
    assert len(verdict.checks) == 8
    assert np.isfinite(list(verdict.numbers.values())).all()


def test_every_number_has_a_unit_and_the_file_keeps_all_of_them(data, tmp_path):
    assert all("units" in variable.attrs for variable in data.data_vars.values())
    assert CLAIM.save(tmp_path, data)["holds"] is True
    with xarray.open_dataset(tmp_path / "data.nc", engine="h5netcdf") as again:
        assert CLAIM.judge(again.load()) == CLAIM.judge(data)


def test_every_axis_of_the_figure_is_named(data):
    axes = CLAIM.figure(data).axes
    assert len(axes) == 1
    assert all(panel.get_xlabel() and panel.get_ylabel() for panel in axes)


@pytest.mark.parametrize("broken", ["SVRG-LD", "SARAH-LD"])
def test_a_method_as_wide_as_sgld_does_not_hold(data, broken):
    worse = data.copy(deep=True)
    for name in ("ratio", "mode_of"):
        worse[name].loc[{"sampler": broken}] = data[name].sel(sampler="SGLD").values
    check_failing(CLAIM, worse, f"spread of {broken}'s")


def test_chains_left_between_the_modes_and_a_start_that_does_not_lean_are_noticed(data):
    ridge = data.copy(deep=True)
    left = {"sampler": "SVRG-LD", "chain": slice(0, 6)}  # of 64
    ridge["ratio"].loc[left], ridge["mode_of"].loc[left] = (
        90.0,
        data["mode_of"].loc[left][:, -1],
    )
    check_failing(CLAIM, ridge, "share of chains still between")
    centred = data.copy(deep=True)
    centred["share"][:, 1] = data["share"][:, 0].values
    check_failing(CLAIM, centred, "share in mode 1 from a leaning start")


def test_errors_count_against_sgld(data):
    """Wide by two chains alone."""
    lucky = data.copy(deep=True)
    lucky["ratio"].loc[{"sampler": "SGLD"}] = np.where(
        np.arange(data.sizes["chain"]) % 32 < 2, 25.0, 0.8
    )[:, None]
    lucky["mode_of"].loc[{"sampler": "SGLD"}] = (
        np.arange(data.sizes["chain"])[:, None] % 2
    )
    assert float(lucky["ratio"].sel(sampler="SGLD").mean()) > mixture.WIDE
    check_failing(CLAIM, lucky, "spread of SGLD's")


def test_sgld_with_the_right_spread_or_chains_that_cross_do_not_hold(data):
    better = data.copy(deep=True)
    for name in ("ratio", "mode_of"):
        better[name].loc[{"sampler": "SGLD"}] = data[name].sel(sampler="SVRG-LD").values
    check_failing(CLAIM, better, "spread of SGLD's")
    crossing = data.copy(deep=True)
    crossing["mode_of"].loc[{"sampler": "SVRG-LD", "chain": 0}] = (
        np.arange(data.sizes["record"]) % 2
    )
    crossing["ratio"].loc[{"sampler": "SVRG-LD", "chain": 0}] = 1.0
    check_failing(CLAIM, crossing, "chains of all methods that crossed")
    assert (
        next(
            c.measured for c in CLAIM.judge(crossing).checks if "crossed" in c.statement
        )
        == 1
    )


def test_the_reference_agrees_with_adaptive_quadrature():
    x = mixture.observations(300, 1)
    law = mixture.exact_modes(x)
    top = max(mixture.log_posterior(np.array([[0.0, 1.0], [1.0, -1.0]]), x))

    def mass(low, high, value=lambda a, b: 1.0):
        def density(b, a):
            return value(a, b) * np.exp(
                mixture.log_posterior(np.array([a, b]), x) - top
            )

        return dblquad(density, -1.5, 2.5, low, high, epsabs=1e-5, epsrel=1e-5)[0]

    above, below = mass(0, 3), mass(-3, 0)
    assert (
        abs(law.weight[0] - above / (above + below)) < 0.02
    )  # the grids end where the modes meet
    assert abs(law.mean[0, 1] - mass(0, 3, lambda a, b: b) / above) < 0.02


def test_exact_draws_have_index_one():
    random = np.random.default_rng(0)
    law = mixture.exact_modes(mixture.observations(10_000, 0))
    draws = np.concatenate(
        [
            random.multivariate_normal(law.mean[m], law.covariance[m], 4000)
            for m in range(2)
        ]
    )
    mode, ratio = mixture.distances(draws, law)
    for m in range(2):
        assert abs(ratio[mode == m].mean() - 1) < 0.06
