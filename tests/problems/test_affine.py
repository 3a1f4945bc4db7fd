"""A problem in other coordinates: the chain rule, the precision in z, and preconditioned chains step by step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, affine, integrators, trees
from tests.sentences import refuses

D = 3
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0]
SCALES = np.array([0.5, 2.0, 1.5])
MATRICES = {
    "scaling": SCALES,
    "matrix": np.random.default_rng(1).normal(size=(D, D)),
    "orthogonal": ROTATION * SCALES,
}

call = eqx.filter_jit(lambda function, *arguments: function(*arguments))


def quartic(x, row):
    return jnp.sum((x - row) ** 4) / 4


def table():
    return jnp.asarray(np.random.default_rng(2).normal(size=(6, D)))


def dense(name):
    return np.diag(MATRICES[name]) if MATRICES[name].ndim == 1 else MATRICES[name]


def quartic_gradient(x):
    return np.mean((x - np.asarray(table())) ** 3, axis=0)


def assert_close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scaling", "matrix"])
def test_it_is_the_chain_rule(name):
    """Value at A z and A^T gradient, on the whole, a batch, and single components; and back from A z to z."""
    with jax.enable_x64():
        problem, z, indices = (
            FiniteSum(quartic, table()),
            jnp.asarray([0.3, -1.0, 0.7]),
            jnp.array([5, 2]),
        )
        scaled, a = affine(problem, jnp.asarray(MATRICES[name])), dense(name)
        x = jnp.asarray(a @ z)
        assert_close(scaled.to_position(z), x)
        assert_close(scaled.from_position(x), z)
        assert scaled.size == scaled.max_size == 6

        def numbers(problem, x):
            value, gradient = problem.value_and_gradient(x)
            gradients = (
                problem.gradient(x),
                gradient,
                problem.gradient_at(x, indices),
                problem.gradients_at(x, indices),
            )
            return (problem.value(x), value), gradients

        (values, gradients), (inner, inner_gradients) = (
            call(numbers, scaled, z),
            call(numbers, problem, x),
        )
        assert_close(values, inner)
        for gradient, expected in zip(gradients, inner_gradients, strict=True):
            assert_close(gradient, np.asarray(expected) @ a)  # A^T on the last axis
        assert_close(gradients[0], call(jax.grad(scaled.value), z))


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("scaling", 0.7),
        ("scaling", np.array([0.1, 0.0, 3.0])),
        ("orthogonal", 0.7),
        ("matrix", 0.0),
    ],
)
def test_the_quadratic_part_is_the_same_function(name, precision):
    with jax.enable_x64():
        problem, z = (
            FiniteSum(quartic, table(), precision=precision),
            jnp.asarray([0.3, -1.0, 0.7]),
        )
        scaled = affine(problem, jnp.asarray(MATRICES[name]))
        expected = dense(name).T @ np.diag(np.broadcast_to(precision, D)) @ dense(name)
        assert_close(np.diag(np.broadcast_to(scaled.precision, D)), expected)
        assert_close(
            call(scaled.potential, z),
            call(problem.potential, jnp.asarray(dense(name) @ z)),
        )


def test_a_scaling_acts_on_the_last_axis_of_every_leaf():
    problem = FiniteSum(
        lambda x, row: jnp.sum(x["u"] * row) + jnp.sum(x["v"]),
        jnp.ones((2, D)),
        precision={"u": 1.0, "v": 2.0},
    )
    scaled = affine(problem, jnp.asarray(SCALES, jnp.float32))
    z = {"u": jnp.ones(D), "v": jnp.ones((2, D))}
    np.testing.assert_allclose(scaled.to_position(z)["v"], np.tile(SCALES, (2, 1)))
    np.testing.assert_allclose(scaled.gradient(z)["v"], np.tile(SCALES, (2, 1)))
    np.testing.assert_allclose(scaled.precision["u"], SCALES**2)
    np.testing.assert_allclose(scaled.precision["v"], 2 * SCALES**2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision", "integrator"),
    [
        ("matrix", 0.0, integrators.Explicit()),
        ("orthogonal", 0.7, integrators.Exponential()),
    ],
)
def test_a_chain_in_z_is_the_preconditioned_chain_in_x(name, precision, integrator):
    """With the same noise, step by step.

    Explicit: x <- x - h A A^T grad f(x) + sqrt(2 h T) A xi. With a precision p, the exact Ornstein-Uhlenbeck step of
    z with precision A^T p A, mapped by A.
    """
    h, temperature, steps = 0.05, 0.4, 25
    with jax.enable_x64():
        problem = FiniteSum(quartic, table(), precision=precision)
        scaled, a = affine(problem, jnp.asarray(MATRICES[name])), dense(name)
        start, key = jnp.asarray([0.5, -0.5, 1.0]), jax.random.key(3)
        result = langevax.simulate(
            langevax.Langevin(h, temperature, integrator=integrator),
            scaled,
            scaled.from_position(start),
            key=key,
            num_steps=steps,
            record_every=1,
        )
        noises = [
            np.asarray(
                trees.normal_like(
                    start, key=jax.random.split(jax.random.fold_in(key, s))[1]
                )
            )
            for s in range(steps)
        ]
        if precision:
            p = precision * np.sum(a**2, axis=0)
            decay, gain, spread = (
                np.exp(-h * p),
                (1 - np.exp(-h * p)) / p,
                np.sqrt((1 - np.exp(-2 * h * p)) / p),
            )
        else:
            decay, gain, spread = np.ones(D), np.full(D, h), np.full(D, np.sqrt(2 * h))
        inverse, x, path = np.linalg.inv(a), np.asarray(start), []
        for xi in noises:
            x = a @ (decay * (inverse @ x))
            x = x - a @ (
                gain * (a.T @ quartic_gradient(path[-1] if path else np.asarray(start)))
            )
            x = x + np.sqrt(temperature) * a @ (spread * xi)
            path.append(x)
        assert_close(result.positions @ a.T, path)
        assert np.ptp(path) > 1  # it went somewhere


@pytest.mark.parametrize(
    ("matrix", "precision", "facts"),
    [
        (np.ones((D, D)), 0.0, ""),
        (np.array([1.0, 0.0, 1.0]), 0.0, ""),
        (np.ones((2, D)), 0.0, ""),
        (np.ones(D, int), 0.0, ""),
        (np.array([1.0, np.nan, 1.0]), 0.0, "finite"),
        (MATRICES["matrix"], 0.7, ""),
        (MATRICES["orthogonal"], np.array([1.0, 2.0, 3.0]), ""),
    ],
)
def test_a_matrix_that_will_not_do_is_refused(matrix, precision, facts):
    matrix = matrix if matrix.dtype == int else matrix.astype(np.float32)
    with refuses(ValueError, facts):
        affine(
            FiniteSum(quartic, np.ones((2, D), np.float32), precision=precision), matrix
        )


def test_it_may_be_made_inside_a_traced_function():
    """Where nothing can be looked at, nothing is checked."""
    problem = FiniteSum(quartic, table(), precision=0.5)

    @jax.jit
    def potential(matrix, z):
        return affine(problem, matrix).potential(z)

    matrix, z = (
        jnp.asarray(MATRICES["orthogonal"], jnp.float32),
        jnp.asarray([0.3, -1.0, 0.7]),
    )
    np.testing.assert_allclose(
        potential(matrix, z), problem.potential(matrix @ z), rtol=1e-5
    )
    np.testing.assert_allclose(
        potential(jnp.ones(D), z), problem.potential(z), rtol=1e-5
    )


def test_records_are_taken_back_as_they_are():
    scaled = affine(
        FiniteSum(lambda x, row: ((x - row) ** 2).sum(), jnp.ones((3, 2))),
        jnp.array([2.0, 3.0]),
    )
    np.testing.assert_array_equal(
        scaled.to_position(np.ones((4, 2), np.float32)), np.tile([2.0, 3.0], (4, 1))
    )


def test_units_may_differ_by_more_than_the_rounding_of_their_type():
    scaled = affine(
        FiniteSum(quartic, np.ones((2, D), np.float32)),
        np.array([1.0, 1e-9, 1e9], np.float32),
    )
    np.testing.assert_allclose(
        scaled.from_position(scaled.to_position(np.ones(D, np.float32))), 1, rtol=1e-6
    )
