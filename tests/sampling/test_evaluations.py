"""Potentials and gradients at points by one program, and starts of chains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.sampling import evaluations
from langevax.sampling.evaluations import (
    evaluate,
)
from langevax.sampling.preconditioning import coordinates_of
from langevax.sampling.starts import (
    StartNear,
    UniformStart,
)

KEY, RNG = jax.random.key(0), np.random.default_rng(0)


def cosh(x):
    return jnp.sum(jnp.cosh(x))


def test_any_number_of_points_is_one_program():
    traces = []

    def potential(x):
        traces.append(x)
        return cosh(x)

    problem = langevax.Function(potential)
    for number in (0, 1, 170, 171):
        points = RNG.normal(size=(number, 3)).astype(np.float32)
        values, gradients = evaluate(problem, points)
        np.testing.assert_allclose(values, np.cosh(points).sum(1), rtol=1e-5)
        np.testing.assert_allclose(gradients, np.sinh(points), rtol=1e-5, atol=1e-6)
    assert len(traces) == 1


def test_long_vectors_are_not_padded(monkeypatch):
    shapes, compiled = [], evaluations._evaluated

    def remembering(problem, points, count):
        shapes.append(points.shape)
        return compiled(problem, points, count)

    monkeypatch.setattr(evaluations, "_evaluated", remembering)
    points = RNG.normal(size=(3, 5000)).astype(np.float32)
    values, gradients = evaluate(langevax.Function(cosh), points)
    np.testing.assert_allclose(values, np.cosh(points.astype(float)).sum(1), rtol=1e-5)
    np.testing.assert_allclose(gradients, np.sinh(points), rtol=1e-5, atol=1e-6)
    assert shapes == [(3, 5000)]


def test_starts_drawn_by_numpy_have_the_same_law():
    everywhere = langevax.Function(lambda x: jnp.sum(x))
    near = StartNear(everywhere, jnp.asarray([5.0, -5.0]), jnp.float32(2.0))
    draws = near(KEY, 4000)
    np.testing.assert_allclose(draws.mean(0), [5, -5], atol=0.15)
    np.testing.assert_allclose(draws.std(0), 2, rtol=0.05)
    half = langevax.Function(lambda x: jnp.where(jnp.all(x > 0), jnp.sum(x), jnp.inf))
    draws = np.asarray(StartNear(half, jnp.full(2, 0.1), jnp.float32(1.0))(KEY, 200))
    assert (draws > 0).all()
    assert (
        80 < (draws == np.float32(0.1)).all(1).sum() < 180
    )  # a share 1 - Phi(.1)^2 = .71 was elsewhere


def test_uniform_starts_in_linear_coordinates_are_uniform_in_those_of_the_position():
    """Of 20 tries in (-2, 2) the one nearest to 1.5 is taken, whatever the units."""
    law = langevax.Function(lambda x: 100 * jnp.sum(jnp.abs(x["a"] - 1.5)))
    like = {"a": jnp.zeros(1)}
    coordinates = coordinates_of(law, like, 1.0).with_matrix().times(np.array([[0.01]]))
    assert coordinates.is_linear
    start = UniformStart(like, coordinates)
    draws = np.asarray(coordinates.to_positions(start(KEY, 60)[None])["a"])
    assert (np.abs(draws) < 2).all()
    assert np.abs(draws - 1.5).mean() < 0.2


def test_sample_traces_a_log_density_few_times():
    """For all evaluations until chains start, the Hessian, the starts of chains, and the steps of NUTS."""
    traces = []

    def log_density(x):
        traces.append(x)
        return -cosh(x - 1)

    with pytest.warns(langevax.sampling.SamplingWarning):  # few draws
        langevax.sample(
            log_density,
            jnp.zeros(2),
            key=KEY,
            num_samples=20,
            num_chains=2,
            num_warmup=30,
        )
    assert 0 < len(traces) <= 4
