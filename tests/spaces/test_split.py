"""Functions split over devices: what transforms send, and that the numbers stay the same."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from langevax import spaces

pytestmark = pytest.mark.slow

ROUNDING = 1e-6  # of the greatest number, after 20 steps in float32


@pytest.fixture(scope="module")
def facts():
    done = subprocess.run(
        [sys.executable, "-m", "tests.spaces.split"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_particles_that_are_functions_are_transformed_where_they_lie(facts):
    assert facts["sent"]["particles"] == ["all-reduce f32[5]"]  # the outputs


def test_chains_of_functions_send_nothing(facts):
    assert facts["sent"]["chains"] == []


def test_modes_of_a_square_are_put_together_once_for_a_gradient(facts):
    assert facts["sent"]["modes"] == ["all-reduce f32[64]"]


def test_modes_of_a_line_are_put_together_once_for_a_gradient(facts):
    assert facts["sent"]["modes of a line"] == ["all-reduce f32[32]"]


@pytest.mark.parametrize("split", ["particles", "modes", "modes of a line"])
def test_numbers_of_four_devices_are_those_of_one(facts, split):
    assert facts["errors"][split] < ROUNDING


@pytest.mark.parametrize("domain", ["line", "square"])
def test_derivatives_of_many_functions_do_not_depend_on_devices(facts, domain):
    """In float64: four functions over two devices, and the modes of each over two."""
    assert facts["errors"][f"curvature on a {domain}"] < 1e-13


@pytest.mark.parametrize("basis", [spaces.Cosine(5, 8), spaces.Fourier(5)])
def test_one_device_runs_the_transform_alone(basis):
    x, values = jnp.zeros((3, 5)), jnp.zeros((3, 8))
    assert str(jax.make_jaxpr(basis.synthesize)(x)) == str(
        jax.make_jaxpr(basis._values)(x)
    )
    assert str(jax.make_jaxpr(basis.analyze)(values)) == str(
        jax.make_jaxpr(basis._coefficients)(values)
    )
