"""Neurons: their formulas, their bounds, and the layout that makes one matrix product of a network."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from langevax.problems import neurons

ALL = [
    neurons.Tanh(scale=2.0),
    neurons.Linear(),
    neurons.TanhTanh(scale=3.0),
    neurons.TanhTanh(scale=3.0, num_outputs=4),
    neurons.Parity(),
    neurons.ClippedReLU(scale=2.0, cap=1.5),
]
each = pytest.mark.parametrize("neuron", ALL, ids=lambda neuron: f"{type(neuron).__name__}{neuron.output_shape}")
NUM_FEATURES = 3


def draws(neuron, num_particles=5, num_samples=7, scale=1.0):
    rng = np.random.default_rng(0)
    particles = scale * rng.normal(size=(num_particles, neuron.particle_size(NUM_FEATURES)))
    return particles.astype(np.float32), rng.normal(size=(num_samples, NUM_FEATURES)).astype(np.float32)


def layer(neuron, particles, inputs):
    """Samples inside, particles outside: (particles, samples, ...)."""
    return jax.vmap(lambda particle: jax.vmap(lambda x: neuron(particle, x))(inputs))(particles)


compiled = jax.jit(layer, static_argnums=0)


def products(jaxpr):
    """All matrix products and transposes, inner programs included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "transpose"):
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


def test_neurons_are_their_formulas():
    x, w, b, c = np.array([0.5, -1.0, 2.0]), np.array([0.3, 0.1, -0.2]), 0.4, -0.7
    u = w @ x + b

    def value(neuron, *particle):
        return np.asarray(neuron(jnp.asarray(np.hstack(particle), jnp.float32), jnp.asarray(x, jnp.float32)))

    close = {"rtol": 1e-6}
    np.testing.assert_allclose(value(neurons.Tanh(2.0), w, b), 2 * np.tanh(u), **close)
    np.testing.assert_allclose(value(neurons.Linear(), w), w @ x, **close)
    np.testing.assert_allclose(value(neurons.TanhTanh(3.0), c, w, b), 3 * np.tanh(c) * np.tanh(u), **close)
    a = np.array([0.1, -2.0])
    found = value(neurons.TanhTanh(3.0, num_outputs=2), a, w, b)
    np.testing.assert_allclose(found, 3 * np.tanh(a) * np.tanh(u), **close)
    np.testing.assert_allclose(value(neurons.Parity(), w, b, c), 15 * (np.tanh(u) + 2 * np.tanh(c)) / 3, **close)
    for shift in (-9.0, b, 0.6, 9.0):
        expected = 2 * np.clip(w @ x + shift, 0, 1.5)
        np.testing.assert_allclose(value(neurons.ClippedReLU(2.0, 1.5), w, shift), expected, rtol=1e-5)


@each
def test_outputs_have_the_declared_shape_and_the_dtype_of_the_position(neuron):
    particles, inputs = draws(neuron)
    outputs = compiled(neuron, particles, inputs)
    assert outputs.shape == (5, 7, *neuron.output_shape)
    assert outputs.dtype == jnp.float32


@each
def test_bound_holds_and_is_attained(neuron):
    particles, inputs = draws(neuron, num_particles=400, num_samples=50, scale=30.0)
    outputs = np.reshape(compiled(neuron, particles, inputs), (400, 50, -1))
    largest = np.max(np.linalg.norm(outputs, axis=-1))
    if isinstance(neuron, neurons.Linear):
        assert neuron.bound == math.inf
    else:
        assert largest == pytest.approx(neuron.bound, rel=1e-5)


@each
def test_a_layer_is_one_matrix_product_with_samples_inside(neuron):
    particles, inputs = draws(neuron)
    (product,) = products(jax.make_jaxpr(lambda p, x: layer(neuron, p, x))(particles, inputs).jaxpr)
    assert product.primitive.name == "dot_general"
    assert product.outvars[0].aval.shape == (5, 7)


@each
def test_a_scale_of_another_precision_follows_the_position(neuron):
    particles, inputs = draws(neuron)
    with jax.enable_x64():
        traced = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), neuron)
        outputs = jax.jit(layer)(traced, particles, inputs)
    assert outputs.dtype == jnp.float32
    np.testing.assert_allclose(outputs, compiled(neuron, particles, inputs), rtol=1e-5)


def test_neurons_are_compared_by_value():
    assert neurons.Tanh(2.0) == neurons.Tanh(scale=2.0) != neurons.Tanh(1.0)
    assert neurons.TanhTanh(num_outputs=2) != neurons.TanhTanh(num_outputs=3)
    assert neurons.Tanh() != neurons.Parity(scale=1.0)
    assert hash(neurons.TanhTanh(2.0, num_outputs=3)) == hash(neurons.TanhTanh(2.0, num_outputs=3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: neurons.Tanh(scale=0.0), "scale must be finite and > 0, got 0"),
        (lambda: neurons.Parity(scale=-1.0), "scale must be finite and > 0, got -1"),
        (lambda: neurons.ClippedReLU(cap=math.inf), "cap must be finite and > 0, got inf"),
        (lambda: neurons.TanhTanh(num_outputs=0), "num_outputs must be at least 1, got 0"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
