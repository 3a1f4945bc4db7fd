"""The entropy sandwich: its claim holds, its numbers have units, and it can fail."""

import jax
import numpy as np
import pytest

import entropy_sandwich
from entropy_sandwich import CLAIM
from langevax.meanfield import MFLD
from tests.claims.failing import check_failing, check_holding

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_the_claim_holds(dataset):
    *_, clouds = check_holding(CLAIM, dataset).checks
    assert clouds.statement.startswith(
        f"{len(entropy_sandwich.TIMES) * 7} outputs and risks"
    )


def test_numbers_have_units(dataset):
    names = {"gap", "lower", "upper", "duality_gap", "chain_gap", "rate", "late_error"}
    names |= {"measured", "measured_error", "chain"}
    assert names == set(dataset.data_vars)
    assert all(dataset[name].attrs["units"] for name in names)


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert len(axes) == 2
    assert all(a.get_ylabel() for a in axes)
    assert [a.get_xlabel() for a in axes] == ["time"] * 2
    assert all(a.get_title(loc="left") for a in axes)


def scaled(name, kind, factor):
    return lambda d: d.assign({name: d[name] * (1 + (factor - 1) * (d.kind == kind))})


@pytest.mark.parametrize(
    ("broken", "fails"),
    [
        (lambda d: d.assign(lower=1.25 * d.lower), ["T KL(q || q*)"]),
        (
            lambda d: d.assign(upper=d.upper / 2, duality_gap=d.duality_gap / 2),
            ["T KL(q || p_q)"],
        ),
        (lambda d: d.assign(duality_gap=1.001 * d.duality_gap), ["duality gap"]),
        (
            lambda d: d.assign(gap=d.gap + 0.1 * d.gap[0]),
            ["L - L* over", "T KL(q || p_q)"],
        ),
        (scaled("rate", "late", 1.01), ["rate of L - L* at late"]),
        (scaled("rate", "slowest", 0.7), ["each rate"]),
        (scaled("rate", "path", 2.0), ["L - L* over", "each rate"]),
        (scaled("rate", "printed", 1e6), ["each rate"]),
        (scaled("rate", "2 T Poincaré of q*", 2.0), ["each rate"]),
        (lambda d: d.assign(measured=d.measured + 0.02), ["42 outputs and risks"]),
    ],
    ids=[
        "lower",
        "upper",
        "identity",
        "no fall",
        "late",
        "slowest",
        "path",
        "printed",
        "Poincaré",
        "particles",
    ],
)
def test_a_wrong_number_is_noticed_by_the_claims_that_it_is_in(dataset, broken, fails):
    check_failing(CLAIM, broken(dataset), *fails)


@pytest.mark.parametrize(
    "wrong",
    [lambda s, t: MFLD(s, t / 2), lambda s, t: MFLD(1.05 * s, t)],
    ids=["noise without its factor 2", "a step that is 5 % too long"],
)
def test_particles_of_a_wrong_algorithm_are_noticed(dataset, monkeypatch, wrong):
    monkeypatch.setattr(
        entropy_sandwich,
        "MFLD",
        lambda step_size, temperature: wrong(step_size, temperature),
    )
    runs = entropy_sandwich.particle_runs(
        dataset.attrs["num_particles"],
        dataset.attrs["num_clouds"],
        dataset.attrs["step_size"],
        jax.random.key(1),
    )
    error = runs.std(axis=0, ddof=1) / np.sqrt(len(runs))
    at_time = ("record", "quantity")
    broken = dataset.assign(
        measured=(at_time, runs.mean(axis=0)), measured_error=(at_time, error)
    )
    assert CLAIM.judge(broken).holds is False
