"""Neurons: their formulas, their bounds, and the layout that makes one matrix product of a network."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from langevax.problems import neurons
from tests.sentences import refuses

FORMULAS = {
    neurons.Tanh(scale=2.0): lambda p, x: 2 * np.tanh(p[:3] @ x + p[3]),
    neurons.Linear(): lambda p, x: p @ x,
    neurons.TanhTanh(scale=3.0): lambda p, x: (
        3 * np.tanh(p[0]) * np.tanh(p[1:4] @ x + p[4])
    ),
    neurons.TanhTanh(scale=3.0, num_outputs=4): lambda p, x: (
        3 * np.tanh(p[:4]) * np.tanh(p[4:7] @ x + p[7])
    ),
    neurons.Parity(): lambda p, x: (
        15 * (np.tanh(p[:3] @ x + p[3]) + 2 * np.tanh(p[4])) / 3
    ),
}
each_neuron = pytest.mark.parametrize(
    "neuron",
    FORMULAS,
    ids=lambda neuron: f"{type(neuron).__name__}{neuron.output_shape}",
)
NUM_FEATURES = 3


def draws(neuron, scale=1.0):
    rng = np.random.default_rng(0)
    particles = scale * rng.normal(size=(400, neuron.particle_size(NUM_FEATURES)))
    return particles.astype(np.float32), rng.normal(size=(50, NUM_FEATURES)).astype(
        np.float32
    )


def layer(neuron, particles, inputs):
    """Samples inside, particles outside: (particles, samples, ...)."""
    return jax.vmap(lambda particle: jax.vmap(lambda x: neuron(particle, x))(inputs))(
        particles
    )


compiled = jax.jit(
    layer, static_argnums=0
)  # at the shapes of `draws`, once for all tests


def products(jaxpr):
    """All matrix products and transposes, inner programs included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "transpose"):
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


def shapes(jaxpr, operation):
    """Of the results of one operation, inner programs included."""
    inner = [
        shapes(inner, operation)
        for equation in jaxpr.eqns
        for inner in jaxprs_in_params(equation.params)
    ]
    return set().union(
        {e.outvars[0].aval.shape for e in jaxpr.eqns if e.primitive.name == operation},
        *inner,
    )


@each_neuron
def test_neurons_are_their_formulas(neuron):
    particles, inputs = draws(neuron)
    expected = [
        [FORMULAS[neuron](p, x) for x in inputs.astype(float)]
        for p in particles[:20].astype(float)
    ]
    np.testing.assert_allclose(
        np.asarray(compiled(neuron, particles, inputs))[:20],
        expected,
        rtol=1e-5,
        atol=1e-5,
    )


@each_neuron
def test_outputs_have_the_declared_shape_and_the_dtype_of_the_position(neuron):
    particles, inputs = draws(neuron)
    outputs = compiled(neuron, particles, inputs)
    assert outputs.shape == (400, 50, *neuron.output_shape)
    assert outputs.dtype == jnp.float32


@each_neuron
def test_bound_holds_and_is_attained(neuron):
    particles, inputs = draws(neuron, scale=30.0)
    outputs = np.asarray(compiled(neuron, particles, inputs)).reshape(400, 50, -1)
    largest = np.max(np.linalg.norm(outputs, axis=-1))
    if isinstance(neuron, neurons.Linear):
        assert neuron.bound == math.inf
    else:
        assert largest == pytest.approx(neuron.bound, rel=1e-5)


@each_neuron
def test_a_layer_is_one_matrix_product_with_samples_inside(neuron):
    particles, inputs = draws(neuron)
    (product,) = products(
        jax.make_jaxpr(lambda p, x: layer(neuron, p, x))(particles, inputs).jaxpr
    )
    assert product.primitive.name == "dot_general"
    assert product.outvars[0].aval.shape == (400, 50)


@pytest.mark.parametrize("neuron", [neurons.Tanh(2.0), neurons.Parity()])
def test_a_scale_multiplies_sums_and_not_each_activation(neuron):
    particles, inputs = draws(neuron)
    traced = jax.tree.map(jnp.asarray, neuron)
    for function in (
        lambda h, p, x: h.mean(p, x),
        lambda h, p, x: jax.vmap(h.vjp, (0, None, None))(p, x, x[:, 0]),
    ):
        program = jax.make_jaxpr(function)(traced, particles, inputs)
        assert (400, 50) in shapes(program.jaxpr, "add")
        assert (400, 50) not in shapes(program.jaxpr, "mul")


@each_neuron
def test_a_scale_of_another_precision_follows_the_position(neuron):
    particles, inputs = draws(neuron)
    with jax.enable_x64():
        traced = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), neuron)
        outputs = jax.jit(layer)(traced, particles, inputs)
    assert outputs.dtype == jnp.float32
    np.testing.assert_allclose(outputs, compiled(neuron, particles, inputs), rtol=1e-5)


@each_neuron
def test_the_mean_and_the_pull_are_those_of_the_outputs(neuron):
    """A shortcut for vector outputs must agree with the definition."""
    particles, inputs = draws(neuron)
    outputs = np.asarray(compiled(neuron, particles, inputs), np.float64)
    np.testing.assert_allclose(
        jax.jit(neuron.mean)(particles, inputs), outputs.mean(0), rtol=1e-4, atol=1e-5
    )
    dual = jnp.asarray(
        np.random.default_rng(1).normal(size=outputs.shape[1:]), jnp.float32
    )
    potentials = jax.vmap(lambda p: neuron.vjp(p, jnp.asarray(inputs), dual))(particles)
    expected = (outputs * dual).reshape(len(outputs), -1).sum(1)
    np.testing.assert_allclose(potentials, expected, rtol=1e-4, atol=1e-4)


@each_neuron
def test_slopes_stay_below_their_bounds_and_come_near(neuron):
    """mean_i (dh/dtheta_j)^2 by autodiff over 4000 particles, some of them tiny: at most the bound, at least half."""
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(30, NUM_FEATURES)).astype(np.float32) * 0.1
    particles = rng.normal(size=(4000, neuron.particle_size(NUM_FEATURES))).astype(
        np.float32
    )
    slope = jax.jit(
        jax.vmap(jax.vmap(jax.jacobian(neuron), in_axes=(None, 0)), in_axes=(0, None))
    )
    squares = np.asarray(slope(particles, inputs) ** 2)
    means = (
        squares.mean(1).reshape(-1, squares.shape[-1])
        if squares.ndim == 3
        else squares.mean(1).max(1)
    )
    bounds = np.asarray(neuron.slope_bounds(jnp.asarray((inputs**2).mean(0))))
    assert bounds.shape == (neuron.particle_size(NUM_FEATURES),)
    assert np.all(means.max(0) <= bounds * (1 + 1e-5))
    assert np.all(means.max(0) >= 0.5 * bounds)


@each_neuron
def test_turned_weights_on_turned_inputs_are_the_same_neuron(neuron):
    particles, inputs = draws(neuron)
    rotation = np.linalg.qr(
        np.random.default_rng(3).normal(size=(NUM_FEATURES, NUM_FEATURES))
    )[0].astype(np.float32)
    rotated, weights = particles.copy(), neuron.input_weights(NUM_FEATURES)
    rotated[:, weights] = particles[:, weights] @ rotation
    expected = compiled(neuron, particles, inputs)
    np.testing.assert_allclose(
        compiled(neuron, rotated, inputs @ rotation), expected, rtol=1e-3, atol=1e-4
    )


def test_neurons_are_compared_by_value():
    assert neurons.Tanh(2.0) == neurons.Tanh(scale=2.0) != neurons.Tanh(1.0)
    assert neurons.TanhTanh(num_outputs=2) != neurons.TanhTanh(num_outputs=3)
    assert neurons.Tanh() != neurons.Parity(scale=1.0)
    assert hash(neurons.TanhTanh(2.0, num_outputs=3)) == hash(
        neurons.TanhTanh(2.0, num_outputs=3)
    )


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: neurons.Tanh(scale=0.0), "scale 0"),
        (lambda: neurons.Parity(scale=-1.0), "scale 0 -1"),
        (
            lambda: neurons.TanhTanh(num_outputs=0),
            "num_outputs 1 0",
        ),
    ],
)
def test_impossible_settings_are_refused(make, facts):
    with refuses(ValueError, facts):
        make()
