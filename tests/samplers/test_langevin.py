"""The Langevin step: gains and noise leaf by leaf, schedules, scalings, and the limit of no noise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import langevax
from langevax import FiniteSum, Langevin, integrators, trees
from tests.sentences import refuses

CENTER = {"a": np.array([1.0, -2.0]), "b": np.array(0.5)}
PRECISION = {"a": 1.5, "b": np.array(0.0)}
START = {"a": np.array([0.2, 0.1]), "b": np.array(-1.0)}


def quartic(x, row):
    """Row: a weight and a shift; summed over a position that is a dictionary."""
    weight, shift = row
    terms = jax.tree.map(
        lambda x, c: jnp.sum((x - jnp.asarray(c, x.dtype) - shift) ** 4) / 4, x, CENTER
    )
    return weight * jax.tree.reduce(jnp.add, terms)


WEIGHTS, SHIFTS = np.array([0.5, 1.0, 1.5]), np.array([0.0, 0.3, -0.1])


def gradient(x):
    """Of the mean over the rows, in NumPy."""
    return jax.tree.map(
        lambda x, c: np.tensordot(
            WEIGHTS / 3, [(x - c - shift) ** 3 for shift in SHIFTS], axes=1
        ),
        x,
        CENTER,
    )


def run(
    langevin,
    steps,
    precision=PRECISION,
    scale=1.0,
    start=START,
    dtype=jnp.float64,
    key=5,
):
    """A single chain, every position recorded."""
    problem = FiniteSum(
        quartic,
        (jnp.asarray(scale * WEIGHTS, dtype), jnp.asarray(SHIFTS, dtype)),
        None,
        precision,
    )
    start = jax.tree.map(lambda x: jnp.asarray(x, dtype), start)
    return langevax.simulate(
        langevin,
        problem,
        start,
        key=jax.random.key(key),
        num_steps=steps,
        record_every=1,
    )


def recursion(step_sizes, temperatures, exponential):
    """The same chain in NumPy: the explicit step or the exact one, noise from the documented keys."""
    x, path = START, []
    for s, (h, temperature) in enumerate(zip(step_sizes, temperatures, strict=True)):
        noise = trees.normal_like(
            jax.tree.map(jnp.asarray, x),
            key=jax.random.split(jax.random.fold_in(jax.random.key(5), s))[1],
        )

        def move(x, v, xi, p, h=h, temperature=temperature):
            a, b, c = 1 - h * p, h, np.sqrt(2 * h)
            if exponential and p > 0:
                a, b, c = (
                    np.exp(-h * p),
                    (1 - np.exp(-h * p)) / p,
                    np.sqrt((1 - np.exp(-2 * h * p)) / p),
                )
            return a * x - b * v + c * np.sqrt(temperature) * np.asarray(xi)

        x = jax.tree.map(move, x, gradient(x), noise, PRECISION)
        path.append(x)
    return jax.tree.map(lambda *xs: np.stack(xs), *path)


def assert_close(actual, expected, tolerance=1e-12):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=tolerance),
        actual,
        expected,
    )


def test_the_step_on_a_dictionary_with_a_prefix_precision():
    """20 exact Ornstein-Uhlenbeck steps against NumPy; leaf `b` has no quadratic part."""
    with jax.enable_x64():
        result = run(Langevin(0.05, 0.3, integrator=integrators.Exponential()), 20)
        assert_close(
            result.positions, recursion([0.05] * 20, [0.3] * 20, exponential=True)
        )


@pytest.mark.slow
def test_schedules_are_read_at_the_step_counted_from_zero():
    """A cosine and a linear schedule of optax; step size and temperature of step s are those at s."""
    step_size, temperature = (
        optax.cosine_decay_schedule(0.1, 20),
        optax.linear_schedule(0.5, 0.0, 10),
    )
    with (
        jax.enable_x64(),
        jax.numpy_dtype_promotion("standard"),
    ):  # optax's schedules mix integers and floats
        result = run(Langevin(step_size, temperature), 20)
        s = np.arange(20)
        expected = recursion(
            0.05 * (1 + np.cos(np.pi * s / 20)),
            0.5 * np.maximum(1 - s / 10, 0),
            exponential=False,
        )
        assert_close(result.positions, expected, 1e-6)  # optax computes in float32


def test_a_schedule_may_end_at_zero():
    """Compiled, optax's 1 - step / 10 rounds to below zero at the end, where there is no square root."""
    with jax.enable_x64(), jax.numpy_dtype_promotion("standard"):
        ending = optax.linear_schedule(0.1, 0.0, 10)
        ten, thirty = (
            run(Langevin(ending, ending, integrator=integrators.Exponential()), n)
            for n in (10, 30)
        )
        assert_close(thirty.position, ten.position, 1e-12)


@pytest.mark.parametrize("factor", [4.0, 1 / 16])
def test_scaling_the_problem_scales_step_size_and_temperature(factor):
    """(F, temperature, step_size) ~ (c F, c temperature, step_size / c): bit for bit at powers of four, in float32."""
    precision = {"a": 1.5, "b": 0.25}
    scaled = jax.tree.map(lambda p: factor * p, precision)
    one = run(Langevin(0.05, 0.3), 30, precision, dtype=jnp.float32)
    other = run(
        Langevin(0.05 / factor, 0.3 * factor), 30, scaled, factor, dtype=jnp.float32
    )
    jax.tree.map(np.testing.assert_array_equal, one.positions, other.positions)


def test_at_temperature_zero_it_is_gradient_descent_to_the_minimum():
    """Whatever the key; at the end the gradient of the potential vanishes."""
    with jax.enable_x64():
        result = run(Langevin(0.1, 0.0), 4000)
        assert_close(
            jax.tree.map(lambda x: x[:20], result.positions),
            recursion([0.1] * 20, [0.0] * 20, False),
        )
        assert_close(run(Langevin(0.1, 0.0), 4000, key=6).position, result.position, 0)
        end = result.position
        slope = jax.tree.map(
            lambda g, p, x: g + p * np.asarray(x), gradient(end), PRECISION, end
        )
        assert_close(slope, jax.tree.map(np.zeros_like, slope), 1e-9)


@pytest.mark.slow
def test_noise_is_independent_between_leaves_coordinates_steps_and_chains():
    """On a flat problem the moves are sqrt(2 h T) xi: unit variance, and no pair of 16 numbers correlates."""
    problem = FiniteSum(lambda x, row: 0.0 * row, jnp.ones(1))
    start = {"a": jnp.zeros(2), "b": jnp.zeros((1, 2))}
    result = langevax.simulate(
        Langevin(0.5, 0.3),
        problem,
        start,
        key=jax.random.key(0),
        num_steps=4,
        num_chains=20_000,
        record_every=1,
    )
    positions = np.concatenate(
        [result.positions["a"], result.positions["b"][:, :, 0]], axis=-1
    )
    moves = np.diff(positions, axis=1, prepend=0.0).reshape(20_000, 16) / np.sqrt(
        2 * 0.5 * 0.3
    )
    covariance = (
        moves.T @ moves / 20_000
    )  # standard error 1 / sqrt(20,000), sqrt(2) times that on the diagonal
    assert np.abs(covariance - np.eye(16)).max() < 5 * np.sqrt(2 / 20_000)
    shifted = np.mean(moves[1:] * moves[:-1], axis=0)  # one chain and the next
    assert np.abs(shifted).max() < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
def test_a_run_keeps_the_positions_dtype(dtype):
    result = run(
        Langevin(0.05, 0.1, integrator=integrators.Exponential()), 3, dtype=dtype
    )
    assert {
        leaf.dtype for leaf in jax.tree.leaves((result.position, result.positions))
    } == {np.dtype(dtype)}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.positions))


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"step_size": 0.0}, "step_size 0 0.0"),
        ({"step_size": -0.1}, "step_size"),
        ({"step_size": np.nan}, "step_size"),
        ({"temperature": -1.0}, "temperature 0 -1.0"),
        ({"temperature": np.inf}, "temperature"),
    ],
)
def test_a_mistake_is_named(arguments, facts):
    with refuses(ValueError, facts):
        Langevin(**({"step_size": 0.1, "temperature": 0.1} | arguments))
