"""Propagation of chaos: its claim holds, its numbers have units, and it can fail."""

import jax
import numpy as np
import pytest
import xarray

import propagation_of_chaos
from langevax.meanfield import MFLD
from propagation_of_chaos import (
    CLAIM,
    finite_particle_gap,
    linear_cloud_variance,
    slope,
)
from tests.claims.failing import check_failing, check_holding

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_the_claim_holds(dataset):
    verdict = check_holding(CLAIM, dataset)
    assert verdict.numbers["independent / interacting"][0] > 5
    assert verdict.numbers["smallest bound / free energy"] > 1


def test_numbers_have_units(dataset):
    names = {
        "error",
        "error_error",
        "limit",
        "independent",
        "drift",
        "drift_error",
        "rest",
        "rest_error",
    }
    names |= {
        "linear",
        "linear_error",
        "linear_exact",
        "energy_formula",
        "energy_bound",
    }
    assert names == set(dataset.data_vars)
    assert all(dataset[name].attrs["units"] for name in names)


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert len(axes) == 1
    assert all(a.get_xlabel() and a.get_ylabel() for a in axes)


@pytest.mark.parametrize(
    ("broken", "fails"),
    [
        (
            lambda d: d.assign(error=d.error * (d.num_particles / 90) ** 0.25),
            ["power of N", "N times"],
        ),
        (lambda d: d.assign(error=1.2 * d.error), ["N times the squared error"]),
        (lambda d: d.assign(drift=d.drift + 6 * d.drift_error), ["growth"]),
        (lambda d: d.assign(rest=10 * d.rest), ["squared error at rest"]),
        (lambda d: d.assign(linear=1.1 * d.linear), ["linear clouds"]),
        (lambda d: d.assign(energy_bound=0.9 * d.energy_formula), ["free energy"]),
        (
            lambda d: d.assign(
                energy_bound=(d.linear + d.linear_error).sel(quantity="free energy")
            ),
            ["free energy"],
        ),
        (
            lambda d: d.assign(rest=d.independent / d.num_particles - d.rest_error),
            ["squared error at rest"],
        ),
    ],
    ids=[
        "slope",
        "limit",
        "growth",
        "draws",
        "linear",
        "bound",
        "a bound within errors",
        "draws within errors",
    ],
)
def test_a_wrong_number_is_noticed_by_its_own_claim(dataset, broken, fails):
    check_failing(CLAIM, broken(dataset), *fails)


def test_slopes_fail_alone_where_no_point_leaves_its_line_by_much(dataset):
    """A slope is refused at 3.6 of its errors; tilted by 3.7, no point is farther than that, and 3.9 are allowed it."""
    tilt = xarray.DataArray(
        [3.7 * slope(dataset.sel(time=t))[1] for t in dataset.time], dims="time"
    )
    weight = (dataset.error / dataset.error_error) ** 2
    middle = np.exp(
        (weight * np.log(dataset.num_particles)).sum("num_particles")
        / weight.sum("num_particles")
    )
    tilted = (
        dataset.limit / dataset.num_particles * (dataset.num_particles / middle) ** tilt
    )
    bars = dataset.error_error / dataset.error * tilted
    order = ("num_particles", "time")
    check_failing(
        CLAIM,
        dataset.assign(
            error=tilted.transpose(*order), error_error=bars.transpose(*order)
        ),
        "power of N",
    )


def test_tanh_clouds_without_the_factor_2_of_the_noise_are_noticed(
    dataset, monkeypatch
):
    monkeypatch.setattr(
        propagation_of_chaos,
        "MFLD",
        lambda step_size, temperature: MFLD(step_size, temperature / 2),
    )
    network, step, particles = (
        propagation_of_chaos.TANH,
        propagation_of_chaos.STEP_SIZE,
        dataset.attrs["particles"],
    )
    horizon = float(dataset.time[-1])
    laws = propagation_of_chaos.chain_laws(
        network, propagation_of_chaos.GRID, step, round(horizon / step), False
    )
    rows = []
    for n in dataset.num_particles.values:
        runs = propagation_of_chaos.tanh_errors(
            int(n), particles // int(n), horizon, laws.outputs, jax.random.key(1)
        )
        rows.append((runs.mean(axis=0), runs.std(axis=0, ddof=1) / np.sqrt(len(runs))))
    columns = {
        name: (("num_particles", "time"), [row[i] for row in rows])
        for i, name in enumerate(("error", "error_error"))
    }
    assert CLAIM.judge(dataset.assign(columns)).holds is False


def test_linear_clouds_without_the_factor_2_of_the_noise_are_noticed(
    dataset, monkeypatch
):
    monkeypatch.setattr(
        propagation_of_chaos,
        "MFLD",
        lambda step_size, temperature: MFLD(step_size, temperature / 2),
    )
    counts, clouds = (
        dataset.linear_particles.values,
        propagation_of_chaos.SIZES["small"][-1],
    )
    rows = np.array(
        [
            propagation_of_chaos.linear_point(int(n), clouds, 0, jax.random.key(1))
            for n in counts
        ]
    )
    dims = ("linear_particles", "quantity")
    broken = dataset.assign(
        linear=(dims, rows[..., 0]), linear_error=(dims, rows[..., 1])
    )
    assert CLAIM.judge(broken).holds is False


def test_the_free_energy_of_the_exact_law_is_the_formula_at_small_steps_and_a_minimum():
    """The step moves it in second order; and other covariances have more."""
    inputs, (ridge, temperature, count) = (
        propagation_of_chaos.regression(0)[0],
        (propagation_of_chaos.RIDGE, propagation_of_chaos.TEMPERATURE, 5),
    )
    formula = finite_particle_gap(inputs, ridge, temperature, count)
    off = []
    for step_size in (0.2, 0.1, 1e-4):
        law = linear_cloud_variance(
            inputs, ridge, temperature, count, step_size, "exponential"
        )
        off.append(
            propagation_of_chaos.free_energy(law.of_mean, law.within, inputs, count)
            / formula
            - 1
        )
    assert off[0] / off[1] == pytest.approx(4, rel=0.2)
    assert 0 < off[1] < 2e-3
    assert abs(off[2]) < 1e-8
    for factor in (0.5, 2.0):
        assert (
            propagation_of_chaos.free_energy(
                factor * law.of_mean, law.within, inputs, count
            )
            > 1.05 * formula
        )
        assert (
            propagation_of_chaos.free_energy(
                law.of_mean, factor * law.within, inputs, count
            )
            > 1.05 * formula
        )


def test_errors_mean_over_groups_cover_a_flat_functional():
    """Of mean(x)^2 at mean 0, whose first derivative vanishes: unbiased, and the errors tell its spread."""
    rng = np.random.default_rng(0)
    estimates = np.array(
        [
            propagation_of_chaos.mean_over_groups(
                lambda x: float(x.mean() ** 2), rng.normal(size=1000)
            )
            for _ in range(200)
        ]
    )
    z = estimates[:, 0] / estimates[:, 1]
    assert abs(z.mean()) < 0.35
    assert 0.75 < z.std() < 1.35
