"""Batches in blocks of one permutation per pass: each row once, for every estimator, and noise that cancels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, gradients
from langevax.gradients import batches
from langevax.theory import moments
from tests.errorbars import assert_mean
from tests.sentences import refuses

N, B, PERIOD = 12, 3, 5


def one_hot(x, row):
    """Its gradient at a batch says which rows are in it, times x for the difference of two points to say so too."""
    return jnp.sum(row * x**2) / 2


def rows_of(estimator, num_steps):
    """(step, row): how often each row is in the batch of a step, read off the estimator's own gradients."""
    problem = FiniteSum(one_hot, jnp.eye(N))
    here, there = jnp.full(N, 2.0), jnp.full(N, 1.0)
    state, _ = estimator.init(problem, there)
    actual = []
    for step in range(num_steps):
        key = jax.random.fold_in(jax.random.key(5), step)
        full = (
            isinstance(estimator, gradients.SVRG | gradients.SARAH)
            and step % estimator.period == 0
        )
        before = state
        gradient, state, _ = estimator.estimate(
            problem, there if full else here, state, key, jnp.int32(step)
        )
        if (
            isinstance(estimator, gradients.SARAH) and not full
        ):  # its own last gradient, and one point back
            actual.append((gradient - before.gradient) * B)
            state = state._replace(position=there)
        elif not full:
            actual.append(
                (
                    gradient
                    - (0 if isinstance(estimator, gradients.Minibatch) else 1 / N)
                )
                * B
            )
    scale = 2 if isinstance(estimator, gradients.Minibatch) else 1
    return np.round(np.array(actual) / scale, 4)


@pytest.mark.parametrize(
    "estimator",
    [
        gradients.Minibatch(B, reshuffle=True),
        gradients.ControlVariate(B, reshuffle=True),
        gradients.SVRG(B, PERIOD, reshuffle=True),
        gradients.SARAH(B, PERIOD, reshuffle=True),
    ],
    ids=lambda e: type(e).__name__,
)
def test_each_pass_takes_every_row_once(estimator):
    """Three passes of N / B batches, wherever full gradients come in between; each pass in another order."""
    actual = rows_of(estimator, 16)[: 3 * (N // B)].reshape(3, N // B, N)
    assert set(np.unique(actual)) == {0.0, 1.0}
    np.testing.assert_array_equal(actual.sum(1), np.ones((3, N)))
    assert not np.array_equal(actual[0], actual[1])


@pytest.mark.slow
def test_rows_that_do_not_fill_a_batch_sit_out():
    actual = rows_of(gradients.Minibatch(5, reshuffle=True), 6) * 5 / B
    np.testing.assert_array_equal(actual.reshape(3, 2, N).sum((1, 2)), [10, 10, 10])
    assert actual.reshape(3, 2, N).sum(1).max() == 1


@pytest.mark.slow
def test_a_block_is_a_batch_of_distinct_indices():
    """Xi of one block is that of distinct indices, and that of all blocks of a pass together is 0."""
    values = np.random.default_rng(1).exponential(size=N)
    problem = FiniteSum(lambda x, row: row * x, jnp.asarray(values, jnp.float32))

    def one_pass(key):
        permutation, means = batches.permutation_state(True), []
        for number in range(N // B):
            indices, permutation = batches.draw(
                jax.random.fold_in(key, number), problem, B, False, permutation, number
            )
            means.append(problem.data[indices].mean())
        return jnp.stack(means)

    means = np.asarray(
        jax.jit(jax.vmap(one_pass))(jax.random.split(jax.random.key(2), 50_000))
    )
    xi, other = (moments.batch_variance_factor(N, B, replace=r) for r in (False, True))
    assert_mean(
        (means - values.mean()) ** 2, xi * values.var(), wrong=other * values.var()
    )
    np.testing.assert_allclose(means.mean(1), values.mean(), rtol=1e-5)


@pytest.mark.slow
def test_noise_that_cancels_over_a_pass_heats_a_chain_far_less():
    """x^2/2 + c_i x without Langevin noise: after k of K blocks the variance is that of a sum of blocks, exactly.

    A pass from x is a^K x - h sum_j a^(K-1-j) c_j with a = 1 - h; blocks j and l have covariance -s^2/(K-1) where
    independent batches have none, s^2 = Xi Var(c). 20,000 chains after 40 passes; the variance of fresh batches,
    which is 17 times as large, is distinguished.
    """
    h, blocks, passes = 0.05, N // B, 40
    slopes = np.random.default_rng(3).normal(size=N)
    slopes -= slopes.mean()
    problem = FiniteSum(lambda x, c: x**2 / 2 + c * x, jnp.asarray(slopes, jnp.float32))
    langevin = langevax.Langevin(h, 0.0, gradients.Minibatch(B, reshuffle=True))
    options = {
        "key": jax.random.key(4),
        "num_steps": blocks * passes,
        "num_chains": 20_000,
    }
    actual = np.asarray(
        langevax.simulate(langevin, problem, jnp.array(0.0), **options).position
    )
    variance = moments.batch_variance_factor(N, B, replace=False) * slopes.var()
    weights = h * (1 - h) ** np.arange(blocks)
    one_pass = variance * (
        np.sum(weights**2) - (np.sum(weights) ** 2 - np.sum(weights**2)) / (blocks - 1)
    )
    exact = one_pass / (1 - (1 - h) ** (2 * blocks))
    assert_mean(actual**2, exact, slack=1e-3 * exact, wrong=variance * h / (2 - h))


@pytest.mark.slow
def test_replace_and_reshuffle_exclude_each_other():
    for make in (gradients.Minibatch, gradients.ControlVariate):
        with refuses(ValueError, "replace True"):
            make(B, replace=True, reshuffle=True)
