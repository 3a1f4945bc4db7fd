"""P-SDCA with particles split over devices: what a step and a refresh send, and that the numbers stay the same."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meanfield import sharded_ascent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def facts():
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "tests.meanfield.sharded_ascent"]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=root, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def numbers(calls, operation=""):
    """In all calls together, or in those of one operation; a device that takes part in a sum or gather gets as many."""
    shapes = [
        re.findall(r"\[([\d,]*)\]", call)
        for call in calls
        if call.startswith(operation)
    ]
    return sum(
        math.prod(int(n) for n in shape.split(",") if n)
        for call in shapes
        for shape in call
    )


def test_a_step_sends_one_sum_of_few_numbers(facts):
    """1, w and |h|^2, and as many as the network has outputs, each times w."""
    assert facts["step"]["squared"][""] == ["all-reduce f32[4]"]
    assert facts["step"]["softmax"][""] == ["all-reduce f32[6]"]


def test_a_refresh_gathers_the_cloud_once(facts):
    """ "1" is the branch of a refresh."""
    step = facts["step"]["squared"]
    assert set(step) == {"", "1"}
    gathered = numbers(step["1"], "all-gather")
    assert gathered <= 6 * sharded_ascent.PARTICLES  # four numbers each, and weights
    assert numbers(step["1"], "all-reduce") <= 30


def test_numbers_are_those_of_one_device(facts):
    assert facts["refreshes"] >= 3
    assert facts["moved"] > 0.1
    assert facts["difference"]["1"] == 0
    assert max(facts["difference"].values()) < 1e-4


def test_weights_lie_where_their_particles_do_from_the_start(facts):
    """So that the second stretch of a run is no other program."""
    assert facts["weights lie"] == "P('particles',)"
