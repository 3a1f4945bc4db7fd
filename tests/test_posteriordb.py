"""Densities of posteriordb's models are those of Stan's draws, and draws are judged by the reference."""

import json

import numpy as np
import pytest

pytest.importorskip("numpyro")

from benchmarks import posteriordb
from benchmarks.posteriordb.stein import MAX_ERROR, largest_error, sites_of

REFERENCES = json.loads(posteriordb.REFERENCES.read_text(encoding="utf-8"))
KNOWN = REFERENCES["posteriors"]
FAST = ("arK-arK", "kilpisjarvi_mod-kilpisjarvi", "mesquite-logmesquite_logvas")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in posteriordb.SMALL
    ],
)
def test_the_density_is_that_of_the_reference_draws(name):
    data, draws = posteriordb.sample_of(name)
    assert largest_error(KNOWN[name]["model"], data, draws) < MAX_ERROR


def test_another_density_is_told():
    data, draws = posteriordb.sample_of("arK-arK")
    data["y"] = data["y"] * 1.1
    assert largest_error("arK", data, draws) > 2 * MAX_ERROR


def test_draws_are_judged_by_the_reference():
    name = "kilpisjarvi_mod-kilpisjarvi"
    numbers = KNOWN[name]["numbers"]
    _, draws = posteriordb.sample_of(name)
    sites = {site: draws.reshape(4, -1) for site, draws in sites_of(draws).items()}
    assert posteriordb.judge(sites, numbers)["is_right"]
    for change in (
        lambda values, sd: values + 0.5 * sd,
        lambda values, sd: values.mean() + 0.5 * (values - values.mean()),
    ):
        wrong = sites | {"sigma": change(sites["sigma"], numbers["sigma"][1])}
        assert not posteriordb.judge(wrong, numbers)["is_right"]


def test_numbers_of_a_vector_are_by_index():
    draws = {"b": np.arange(24.0).reshape(2, 3, 4)}
    numbers = {"b[3]": [12.0, 1.0, *[0.0] * 5]}
    assert posteriordb.judge(draws, numbers)["mean_error"] == 0
