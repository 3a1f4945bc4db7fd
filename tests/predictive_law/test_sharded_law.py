"""A law whose particles are split over devices: the law of one device, and what is sent between them."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import langevax
from tests.predictive_law.cases import COUNTS, log_likelihood, log_prior

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def facts():
    root, words = (
        Path(__file__).parents[2],
        [sys.executable, "-m", "tests.predictive_law.sharded"],
    )
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=root, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_block_of_moves_is_that_of_one_device(facts):
    assert facts["moved"] > 0.3
    assert facts["block"]["1"] == 0
    assert max(facts["block"].values()) < 1e-4
    assert facts["lies"] == "P('particles',)"
    assert facts["uneven"] < 1e-5


def test_the_path_is_that_of_one_device(facts):
    """A move that rounding alone decides may end elsewhere: an error of the particles apart at most."""
    fit, loo, error = (np.array(x) for x in facts["path"].pop("None"))
    assert 0 < error[1] < 0.1
    assert fit[1] - fit[0] > 0.5  # the laws differ by far more
    for other in facts["path"].values():
        for one, alone in zip(other, (fit, loo, error), strict=True):
            np.testing.assert_allclose(one[0], alone[0], rtol=1e-5)  # of the same draws
            assert abs(one[1] - alone[1]) < error[1]


def test_devices_send_each_other_sums_over_particles_alone(facts):
    """Of the rows: log z_i by its largest term and the sum of all."""
    assert set(facts["sent"]) == {f"all-reduce f32[{len(COUNTS)}]"}


def test_meshes_over_which_particles_do_not_split_are_refused():
    options = {"key": jax.random.key(0), "start": np.zeros(())}

    def refused(error, match, mesh, **more):
        with pytest.raises(error, match=match):
            langevax.predictive(
                log_prior, log_likelihood, COUNTS, sharding=mesh, **options | more
            )

    devices = np.array(jax.devices()[:1])
    refused(TypeError, "sharding must be a jax.sharding.Mesh, got 2; pass that", 2)
    refused(
        ValueError,
        "sharding has an axis named 'rows', but predictive splits particles",
        Mesh(devices, ("rows",)),
    )
    of_three = Mesh(np.array([devices[0]] * 3), ("particles",))
    refused(
        ValueError,
        "num_particles is 256, which does not split over 3 devices; pass for instance 258",
        of_three,
    )
