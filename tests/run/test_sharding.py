"""Particles or chains split over devices: what is sent, and that the numbers stay the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run import sharded
from tests.sentences import tells

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def facts():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.run.sharded"],
        capture_output=True,
        text=True,
        cwd=root,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(
        done.stdout.splitlines()[-1]
    )  # newer JAX prints where a refusal came from


def test_a_step_of_sharded_particles_sends_one_sum_of_the_outputs(facts):
    assert facts["sent"]["particles"] == [f"all-reduce f32[{sharded.SAMPLES}]"]


def test_a_step_of_a_large_cloud_sends_one_sum_of_the_outputs_too(facts):
    """Whatever number of tiles a device has: 3 x 2 of them here."""
    assert facts["sent"]["particles of a large cloud"] == [
        f"all-reduce f32[{sharded.SAMPLES - 4}]"
    ]
    outputs, gradients = facts["sent"]["particles and rows of a large cloud"]
    assert outputs == f"all-reduce f32[{(sharded.SAMPLES - 4) // 2}]"
    assert gradients == f"all-reduce f32[{sharded.PARTICLES // 2},5]"


def test_each_device_draws_the_noise_of_its_own_particles(facts):
    """Nothing in its program has the length of all their noise, something that of its part."""
    assert facts["draws"] == [False, True]


def test_recording_sharded_particles_sends_nothing_more(facts):
    assert facts["sent"]["particles recorded"] == facts["sent"]["particles"]


def test_replacing_the_state_sends_nothing_more(facts):
    """And each device's part is replaced where it lies, with the same numbers bit for bit."""
    assert facts["sent"]["particles replaced"] == facts["sent"]["particles"]
    assert facts["difference replaced"] == 0


def test_on_accelerators_particles_and_rows_send_a_sum_of_each_too(facts):
    assert (
        facts["sent"]["particles and rows on accelerators"]
        == facts["sent"]["particles and rows"]
    )


def test_a_step_over_split_rows_sends_one_sum_of_the_gradients(facts):
    assert facts["sent"]["rows"] == [f"all-reduce f32[{sharded.PARTICLES},4]"]


def test_particles_and_rows_send_a_sum_of_each(facts):
    """Outputs of a device's rows, over particles; gradients of a device's particles, over rows."""
    outputs, gradients = facts["sent"]["particles and rows"]
    assert outputs == f"all-reduce f32[{sharded.SAMPLES // 2}]"
    assert gradients == f"all-reduce f32[{sharded.PARTICLES // 2},4]"


@pytest.mark.parametrize("chains", ["chains", "chains one by one"])
def test_sharded_chains_send_nothing(facts, chains):
    """Not even whether a loop of theirs has ended."""
    assert facts["sent"][chains] == []


def test_chains_over_split_rows_send_their_gradients(facts):
    assert facts["sent"]["chains and rows"] == ["all-reduce f32[4,3]"]


def test_each_device_keeps_its_own_particles_and_rows(facts):
    assert facts["devices"] == 4
    assert facts["shards"] == [[sharded.PARTICLES // 4, 4]] * 4
    assert facts["rows of each device"] == [[sharded.SAMPLES // 2, 3]] * 4


@pytest.mark.parametrize(
    "run",
    [
        "particles",
        "rows",
        "particles and rows",
        "particles and rows of a large cloud",
        "particles and rows on accelerators",
        "chains",
        "chains one by one",
        "chains and rows",
        "an estimator",
    ],
)
def test_numbers_and_records_are_those_of_one_device(facts, run):
    """float32; the largest number is about 3."""
    assert facts["differences"][run] < 1e-5


def test_descent_over_split_rows_is_its_closed_form(facts):
    """Weighted squared distances from 0: x_k = (1 - (1 - h)^k) times the weighted mean; float32, of numbers below 1."""
    assert facts["off the closed form"] < 1e-6


def test_records_are_on_their_grid(facts):
    assert facts["recorded"] == [7, 14, 21, 28]


def test_a_resumed_sharded_run_is_the_same_bit_for_bit(facts):
    assert facts["difference resumed"] == 0


def test_particles_that_do_not_split_are_refused(facts):
    for words in [
        "over 4 devices",
        "shape (6, 4)",
        "make axis 0 (chains, or particles) a multiple of 4",
    ]:
        assert words in facts["refusal of 6 particles"]


def test_rows_that_do_not_split_are_refused(facts):
    for words in [
        "over 4 devices",
        "MeanFieldRisk has 18",
        "drop 2 of them",
        "fill up to 20",
        "count=18",
    ]:
        assert words in facts["refusal of 18 rows"]


def test_a_problem_without_rows_is_refused_where_the_mesh_would_split_them(facts):
    tells(facts["refusal of no rows"], "'rows'")
    tells(facts["refusal of no rows"], "'particles' 'chains'")
