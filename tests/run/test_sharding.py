"""Particles or chains split over devices: what is sent, and that the numbers stay the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run import sharded


@pytest.fixture(scope="module")
def facts():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.run.sharded"], capture_output=True, text=True, cwd=root, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])  # newer JAX prints where a refusal came from


def test_a_step_of_sharded_particles_sends_one_sum_of_the_outputs(facts):
    assert facts["sent"]["particles"] == [f"all-reduce f32[{sharded.SAMPLES}]"]


def test_recording_sharded_particles_sends_nothing_more(facts):
    assert facts["sent"]["particles recorded"] == facts["sent"]["particles"]


def test_sharded_chains_send_nothing(facts):
    assert facts["sent"]["chains"] == []
    assert facts["sent"]["chains recorded"] == []


def test_each_device_keeps_its_own_particles(facts):
    assert facts["devices"] == 4
    assert facts["shards"] == [[sharded.PARTICLES // 4, 4]] * 4


def test_numbers_and_records_are_those_of_one_device(facts):
    assert facts["difference"] < 1e-5
    assert facts["recorded"] == [7, 14, 21, 28]


def test_a_resumed_sharded_run_is_the_same_bit_for_bit(facts):
    assert facts["difference resumed"] == 0


def test_particles_that_do_not_split_are_refused(facts):
    for words in ["over 4 devices", "shape (6, 4)", "make axis 0 (chains, or particles) a multiple of 4"]:
        assert words in facts["refusal of 6 particles"]
