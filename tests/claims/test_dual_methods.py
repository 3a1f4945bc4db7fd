"""Dual methods: rates and aims hold, the grid is fine enough, and it can fail."""

from dataclasses import fields

import jax
import numpy as np
import pytest
import xarray
from scipy.integrate import dblquad

import dual_methods
from dual_methods import CLAIM
from langevax.problems import losses
from tests.claims.failing import check_failing, check_holding
from tests.theory.grids import fenchel_young

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def data():
    return CLAIM.run("small")


def test_the_claim_holds(data):
    verdict = check_holding(CLAIM, data)
    assert len(verdict.checks) == 18
    for loss in dual_methods.LOSSES:
        assert verdict.numbers[f"P-SDCA, {loss}: gap"][0] < 1e-4
        promise = next(
            check
            for check in verdict.checks
            if check.statement.endswith(f"in a step, {loss} loss")
        )
        assert promise.measured < promise.predicted < 0


def test_every_number_has_a_unit_and_the_file_keeps_all_of_them(data, tmp_path):
    assert all("units" in variable.attrs for variable in data.data_vars.values())
    assert CLAIM.save(tmp_path, data)["holds"] is True
    with xarray.open_dataset(tmp_path / "data.nc", engine="h5netcdf") as again:
        assert CLAIM.judge(again.load()).numbers == CLAIM.judge(data).numbers


def test_every_axis_of_the_figure_is_named(data):
    axes = [panel for panel in CLAIM.figure(data).axes if panel.axison]
    assert len(axes) == 4
    assert all(panel.get_xlabel() and panel.get_ylabel() for panel in axes)


def with_new(data, name, loss):
    """The dataset with this method measured again."""
    key = jax.random.fold_in(jax.random.key(0), 7)
    steps = int(data.iterations.sel(learner=name)[-1])
    result, worse = (
        dual_methods.in_the_plane(loss, name, data.sizes["run"], steps, key),
        data.copy(deep=True),
    )
    at = {"learner": name, "loss": loss}
    worse.gap.loc[at], worse.gap_last.loc[at], worse.gap_exact.loc[at] = (
        result[k] for k in ("gap", "last", "exact")
    )
    return worse


class Timid(losses.Squared):
    """Coordinate steps of twice the curvature."""

    def dual_step(self, z, dual, target, curvature):
        return super().dual_step(z, dual, target, 2 * curvature)


class Uphill(losses.Squared):
    """Coordinate steps that see the outputs with the wrong sign."""

    def dual_step(self, z, dual, target, curvature):
        return super().dual_step(-z, dual, target, curvature)


@pytest.mark.parametrize("kind", [losses.Squared, Timid, Uphill])
def test_wrong_coordinate_steps_do_not_hold(data, monkeypatch, kind):
    monkeypatch.setattr(losses, "squared", kind())
    assert CLAIM.judge(with_new(data, "P-SDCA", "squared")).holds is (
        kind is losses.Squared
    )


class Halved(dual_methods.PDA):
    """Averages whose weights are half of what they should be."""

    def _averaged(self, risk, state, t, key):
        dual, seen, used = super()._averaged(risk, state, t, key)
        return dual, seen / 2, used


@pytest.mark.parametrize("name", ["online PDA, 1 inner", "PDA, 10 inner"])
def test_wrong_averages_do_not_hold(data, monkeypatch, name):
    method = dual_methods.METHODS[name]
    halved = Halved(
        **{
            field.name: getattr(method.algorithm, field.name)
            for field in fields(method.algorithm)
        }
    )
    monkeypatch.setitem(dual_methods.METHODS, name, method._replace(algorithm=halved))
    assert not CLAIM.judge(with_new(data, name, "logistic")).holds


def test_a_certified_gap_that_is_large_or_not_to_be_trusted_does_not_hold(data):
    check_failing(
        CLAIM, data.assign(certified=10 * data.certified), "certified gap of MFLD"
    )
    check_failing(CLAIM, data.assign(certified=np.inf), "certified gap of MFLD")


def of(data, name, loss):
    """1 there, 0 elsewhere."""
    return ((data.learner == name) & (data.loss == loss)).astype(float)


@pytest.mark.parametrize("loss", dual_methods.LOSSES)
def test_each_claim_can_fail_alone_with_either_loss(data, loss):
    """A promise of more, gaps scaled, or bent in T, so that one claim alone notices."""
    ascent, t = of(data, "P-SDCA", loss), data.iterations
    check_failing(
        CLAIM, data.assign_attrs({f"condition_{loss}": 10.0}), "what P-SDCA's log gap"
    )
    fast = data.assign(gap_exact=data.gap_exact * np.exp(-0.01 * ascent * t))
    check_failing(CLAIM, fast, "P-SDCA's log gap a step")
    check_failing(
        CLAIM, data.assign(gap=data.gap * (1 + 1e4 * ascent)), "P-SDCA's gap at the end"
    )
    online = of(data, "online PDA, 1 inner", loss) * t**2
    bent = {name: data[name] * np.maximum(1, online) for name in ("gap", "gap_exact")}
    check_failing(
        CLAIM, data.assign(bent), "power of T in the gap of online PDA, 1 inner"
    )
    off = data.gap_exact * (1 + 3 * of(data, "online PDA, 10 inner", loss))
    check_failing(
        CLAIM, data.assign(gap_exact=off), "log of the gap of online PDA, 10 inner"
    )


def test_exponents_and_aims_of_dual_averaging_can_fail_alone(data):
    every = of(data, "PDA, 10 inner", "squared") * data.iterations**2
    check_failing(
        CLAIM,
        data.assign(gap=data.gap * np.maximum(1, every)),
        "power of T in the gap of PDA, 10 inner",
    )
    large = data.gap * (1 + 9 * of(data, "PDA, 10 inner", "logistic"))
    check_failing(CLAIM, data.assign(gap=large), "gap of PDA, 10 inner steps")


@pytest.mark.parametrize("loss", dual_methods.LOSSES)
def test_the_grid_is_fine_and_wide_enough(loss):
    grid = dual_methods.plane_grid(loss)
    dual = grid.optimal_dual()
    assert abs(fenchel_young(grid, dual)) < 1e-14

    def density(b, w):
        h = np.tanh(w * dual_methods.plane_rows(loss)[0][:, 0] + b)
        return np.exp(
            -(dual @ h / len(h) + dual_methods.PLANE_RIDGE * (w * w + b * b))
            / dual_methods.TEMPERATURE
            - top
        )

    top = grid.log_partition(dual)
    assert dblquad(density, -4, 4, -4, 4, epsabs=1e-7)[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("loss", dual_methods.LOSSES)
def test_coordinates_written_anew_maximise(loss):
    grid, (z, g, c) = dual_methods.plane_grid(loss), (0.4, -0.3, 2.5)
    y = 1.0
    best = dual_methods.coordinate(loss, z, g, y, c)
    u = (
        np.linspace(-0.999, -0.001, 9999)
        if loss == "logistic"
        else np.linspace(-2, 2, 9999)
    )
    values = -grid.conjugate(u, y) + z * u - c / 2 * (u - g) ** 2
    assert best == pytest.approx(u[values.argmax()], abs=1e-3)
