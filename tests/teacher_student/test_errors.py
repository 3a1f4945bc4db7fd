"""Gradients in closed form against automatic ones of the loss of one row, whatever the phase, weights and blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.problems.finite_sum import FiniteSum
from langevax.teacher_student import Converge, Explore, ReLUNetwork
from langevax.teacher_student.errors import SquaredErrors, block_size_for, in_blocks
from langevax.teacher_student.phases import ClippedError, SignedError
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

N, DIM, NEURONS, BOUND = 11, 3, 4, 0.8
WEIGHTS = np.array([1.0, 2.0, 0.0, 3.0, 1.0, 1.0, 0.5, 2.0, 1.0, 0.1, 4.0])
LOSSES = {"explore": ClippedError(BOUND), "converge": SignedError()}
PHASES = {"explore": Explore(bound=BOUND), "converge": Converge()}
CASES = pytest.mark.parametrize("phase", LOSSES)


def of_row(phase):
    def half_square(theta, row):
        x, y = row
        return (LOSSES[phase].effective(theta).outputs(x) - y) ** 2 / 2

    return half_square


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64():
        yield


def data(seed=0):
    """Rows of which one is 0, where relu has a corner for every neuron."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(N, DIM))
    inputs[4] = 0
    return inputs, rng.normal(size=N)


def position(seed=1):
    rng = np.random.default_rng(seed)
    return ReLUNetwork(
        jnp.asarray(rng.normal(size=NEURONS)),
        jnp.asarray(rng.normal(size=(NEURONS, DIM))),
    )


def compiled(method):
    """One program instead of many small ones."""
    return jax.jit(lambda *arguments: method(*arguments))


def assert_same(actual, expected, rtol=1e-12):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-14)


@CASES
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("block_size", [N, 4], ids=["whole", "three blocks"])
def test_value_and_gradient_are_those_of_the_mean_loss_of_rows(
    phase, weights, block_size
):
    """Against `FiniteSum`, which differentiates the loss of one row; of eleven rows in blocks of four one is padded."""
    examples, theta = data(), position()
    problem = PHASES[phase].problem(*examples, weights=weights, block_size=block_size)
    rows = FiniteSum(of_row(phase), examples, weights=weights)
    assert_same(
        compiled(problem.value_and_gradient)(theta),
        compiled(rows.value_and_gradient)(theta),
    )
    assert problem.size == problem.max_size == N


@CASES
def test_gradient_with_an_intercept_is_that_of_the_variance_of_errors(phase):
    inputs, targets = data()
    shares = WEIGHTS / WEIGHTS.sum()

    def value(theta):
        errors = LOSSES[phase].effective(theta).outputs(inputs) - targets
        return jnp.sum(shares * (errors - jnp.sum(shares * errors)) ** 2) / 2

    problem = PHASES[phase].problem(
        inputs, targets, WEIGHTS, intercept=True, block_size=4
    )
    assert_same(
        compiled(problem.value_and_gradient)(position()),
        compiled(jax.value_and_grad(value))(position()),
    )


@CASES
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_gradients_of_batches_are_those_of_their_rows(phase, weights):
    """With a row that comes twice; in blocks of four rows."""
    examples, theta, indices = data(), position(), jnp.array([10, 0, 3, 4, 3, 7])
    problem, rows = (
        SquaredErrors(LOSSES[phase], examples, weights, block_size=4),
        FiniteSum(of_row(phase), examples, weights=weights),
    )
    for one, other in (
        (problem.gradient_at, rows.gradient_at),
        (problem.gradients_at, rows.gradients_at),
    ):
        assert_same(compiled(one)(theta, indices), compiled(other)(theta, indices))


@pytest.mark.slow
def test_restarts_do_not_touch_one_another():
    thetas = [position(seed) for seed in range(3)]
    problem = Explore().problem(*data(), block_size=4)
    together = compiled(jax.vmap(problem.gradient))(
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *thetas)
    )
    for i, theta in enumerate(thetas):
        assert_same(
            jax.tree.map(lambda leaf, i=i: leaf[i], together),
            compiled(problem.gradient)(theta),
        )


@pytest.mark.slow
def test_single_precision_stays():
    """In the dtype of the inputs, to rounding."""
    inputs, targets = (array.astype(np.float32) for array in data())
    theta = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), position())
    value, gradient = (
        Explore().problem(inputs, targets, block_size=4).value_and_gradient(theta)
    )
    assert value.dtype == gradient.outer.dtype == gradient.inner.dtype == jnp.float32
    exact = Explore().problem(*data()).gradient(position())
    np.testing.assert_allclose(gradient.inner, exact.inner, atol=1e-6)


def test_blocks_are_even_and_made_alike_inside_and_outside_of_programs():
    inputs, targets = data()
    rows, size = in_blocks((inputs, targets), WEIGHTS, 4)
    assert size == N
    assert rows.inputs.shape == (3, DIM, 4)
    np.testing.assert_array_equal(
        np.moveaxis(rows.inputs, 1, 2).reshape(-1, DIM)[:N], inputs
    )
    np.testing.assert_allclose(
        rows.weights.reshape(-1), np.append(WEIGHTS * N / WEIGHTS.sum(), 0), rtol=1e-14
    )
    traced = jax.jit(lambda *arrays: in_blocks(arrays[:2], arrays[2], 4)[0])(
        inputs, targets, WEIGHTS
    )
    assert_same(traced, rows)


def test_mistakes_are_named():
    inputs, targets = data()
    with refuses(ValueError, "block_size 1"):
        Explore().problem(inputs, targets, block_size=0)
    with refuses(ValueError, "data"):
        Explore().problem(inputs, targets[1:])
    with refuses(ValueError, "drop"):
        Explore().problem(inputs * np.nan, targets)
    with refuses(ValueError, "weights"):
        Explore().problem(inputs, targets, weights=WEIGHTS[1:])
    with refuses(ValueError, "precision 0"):
        SquaredErrors(SignedError(), (inputs, targets), precision=-1.0)


def test_more_neurons_have_shorter_blocks_and_wide_rows_are_not_cut():
    assert [block_size_for(m, 16) for m in (1, 16, 17, 32, 33, 10_000)] == [
        2048,
        2048,
        1024,
        1024,
        512,
        256,
    ]
    assert {block_size_for(m, 17) for m in (1, 33, 10_000)} == {4096}
