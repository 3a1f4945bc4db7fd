"""Outputs of networks in NumPy are those of the neuron in JAX, whichever rows are computed at once."""

import jax.numpy as jnp
import numpy as np
import pytest

from langevax.problems.neurons import TanhTanh
from langevax.sklearn.network_outputs import outputs


@pytest.mark.parametrize("num_outputs", [None, 1, 3])
def test_outputs_are_those_of_the_neuron(num_outputs):
    rng = np.random.default_rng(0)
    neuron = TanhTanh(20.0, num_outputs)
    cloud = rng.standard_normal((40, neuron.particle_size(5)), np.float32)
    inputs = rng.standard_normal((7, 5), np.float32)
    expected = neuron.mean(jnp.asarray(cloud), jnp.asarray(inputs))
    z = outputs(neuron, cloud, inputs)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5)


def test_outputs_do_not_depend_on_the_rows_at_once():
    rng = np.random.default_rng(1)
    cloud = rng.standard_normal((40, 7), np.float32)
    inputs = rng.standard_normal((7, 5), np.float32)
    whole = outputs(TanhTanh(20.0), cloud, inputs)
    parts = outputs(TanhTanh(20.0), cloud, inputs, activations=80)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)


def test_no_rows_have_no_outputs():
    cloud = np.ones((4, 7), np.float32)
    empty = np.empty((0, 5), np.float32)
    assert outputs(TanhTanh(2.0), cloud, empty).shape == (0,)
