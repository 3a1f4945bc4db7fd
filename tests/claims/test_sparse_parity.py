"""The claim on sparse parity: its claim holds, maps have units, and it can fail."""

import numpy as np
import pytest
import xarray

import sparse_parity
from langevax.meanfield import MFLD
from sparse_parity import CLAIM
from tests.claims.failing import check_failing, check_holding

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def data():
    return CLAIM.run("small")


def test_the_claim_holds(data):
    numbers = check_holding(CLAIM, data).numbers
    gain, error = numbers["accuracy that annealing gains over the map"]
    assert abs(gain) < 0.05
    assert error > 0


def test_every_number_has_a_unit_and_the_file_keeps_all_of_them(data, tmp_path):
    assert all("units" in variable.attrs for variable in data.data_vars.values())
    assert CLAIM.save(tmp_path, data)["holds"] is True
    with xarray.open_dataset(tmp_path / "data.nc", engine="h5netcdf") as again:
        assert CLAIM.judge(again.load()) == CLAIM.judge(data)


def test_every_axis_of_the_figure_is_named(data):
    maps, bar = CLAIM.figure(data).axes[:4], CLAIM.figure(data).axes[4]
    assert all(panel.get_xlabel() for panel in maps)
    assert maps[0].get_ylabel()
    assert maps[3].get_ylabel()
    assert bar.get_ylabel() == "test accuracy"


@pytest.mark.parametrize("broken", ["noise", "step"])
def test_a_network_trained_wrongly_does_not_hold(data, monkeypatch, broken):
    """Eight times the temperature, or a thousandth of the step: on the last cell alone, the kernel as it was."""
    wrong = {
        "noise": lambda h, t: MFLD(h, 8 * t),
        "step": lambda h, t: MFLD(h / 1000, t),
    }[broken]
    monkeypatch.setattr(sparse_parity, "MFLD", wrong)
    monkeypatch.setitem(
        sparse_parity.SIZES,
        "small",
        sparse_parity.SIZES["small"] | {"dims": (30,), "rows": (300,)},
    )
    monkeypatch.setattr(sparse_parity, "kernel", lambda train, test: 0.5)
    bad, last = CLAIM.run("small"), {"dim": [30], "rows": [300]}
    worse = data.copy(deep=True)
    for name in ("accuracy", "energy"):
        networks = {
            "learner" if name == "accuracy" else "network": list(
                sparse_parity.METHODS[:2]
            )
        }
        worse[name].loc[networks | last] = bad[name].loc[networks].values
    assert not CLAIM.judge(worse).holds


def test_a_kernel_as_good_as_the_network_or_a_network_without_features_does_not_hold(
    data,
):
    better = data.copy(deep=True)
    better.accuracy.loc[{"learner": "RBF kernel"}] = data.accuracy.sel(
        learner="MFLD, fixed"
    ).values
    check_failing(
        CLAIM,
        better,
        "kernel's accuracy at",
        "what the kernel loses",
        "network's accuracy less",
    )
    flat = data.assign(energy=1 + (data.energy - data.energy.mean()) / 100)
    check_failing(CLAIM, flat, "energy of the two coordinates")


def test_each_claim_on_the_last_cell_can_fail_alone(data):
    """A kernel that falls too little, one that was low from the start, a network that learns at the last d alone."""
    first, last = (
        {"dim": data.dim[i], "rows": sparse_parity.RATIO * data.dim[i]} for i in (0, -1)
    )
    kernel = {"learner": "RBF kernel"}

    def with_kernel(start, end):
        broken = data.copy(deep=True)
        broken.accuracy.loc[kernel | first], broken.accuracy.loc[kernel | last] = (
            start,
            end,
        )
        return broken

    as_good = with_kernel(1.0, 0.97)
    as_good.accuracy.loc[{"learner": "MFLD, annealed"} | last] = 0.97
    check_failing(CLAIM, as_good, "kernel's accuracy at", "network's accuracy less")
    check_failing(CLAIM, with_kernel(0.8, 0.8), "what the kernel loses")
    lost = data.copy(deep=True)
    lost.accuracy.loc[{"learner": "MFLD, annealed"} | first] = 0.9
    check_failing(CLAIM, lost, f"network's accuracy at d = {int(data.dim[0])},")


def test_errors_count_against_what_is_learnt(data):
    """Means that pass, by trials that differ so that they might not."""
    last = {"dim": data.dim[-1], "rows": sparse_parity.RATIO * data.dim[-1]}
    trials = np.where(np.arange(data.sizes["trial"]) == 0, 0.8, 1.0)
    lucky = data.copy(deep=True)
    lucky.accuracy.loc[{"learner": "MFLD, annealed"} | last] = trials
    assert trials.mean() > sparse_parity.LEARNED
    check_failing(CLAIM, lucky, f"network's accuracy at d = {int(data.dim[-1])},")
    lucky = data.copy(deep=True)
    lucky.energy.loc[{"network": "MFLD, annealed"} | last] = np.where(
        np.arange(data.sizes["trial"]) == 0, 20.0, 1.0
    )
    check_failing(CLAIM, lucky, "energy of the two coordinates")


def test_errors_are_at_least_binomial():
    mean, error = sparse_parity.accuracy_and_error(np.full(4, 0.9), 100)
    assert (mean, error) == (
        pytest.approx(0.9),
        pytest.approx(np.sqrt(0.9 * 0.1 / 400)),
    )
    assert sparse_parity.accuracy_and_error(np.ones(2), 100)[1] > 0
