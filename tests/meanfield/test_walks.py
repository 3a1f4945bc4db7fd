"""Walks on frozen plans against quadrature and closed forms, the moves, the starts, and what is counted as work."""

from contextlib import closing
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from langevax import MeanFieldRisk, losses, neurons
from langevax.log_weights import effective_share, normalised
from langevax.meanfield.clouds import Clouds, EffortSpent, Mixture, mixture
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.walks import (
    Cells,
    largest_step,
    plan_along,
    plan_from_start,
    resample_within,
    walk,
    walk_back,
)
from langevax.theory.mean_field import linear_log_partition
from tests.errorbars import assert_mean
from tests.meanfield.known_optima import needle, smooth

RUNS, SIZE = 400, 16


def coarse(plan):
    """A plan of every fourth of its laws, resampled at each: its weights vary, and so does log Z^."""
    return replace(
        plan, laws=[law._replace(resample=True) for law in plan.laws[::-1][::4][::-1]]
    )


def start_of(clouds):
    shares, means = np.array([0.3, 0.7]), np.array([[-1.0], [1.5]])
    return mixture(shares, means, np.array([[[1.5]], [[0.6]]]), clouds.dtype)


@pytest.mark.parametrize("start", ["prior", "normals", "normals in cells"])
def test_the_estimate_of_a_frozen_plan_has_no_bias(start):
    """One plan, 400 runs of 16 particles: E Z^ = Z of quadrature, whereas E log Z^ is below log Z."""
    problem = smooth("logistic", temperature=0.01)
    dual = 0.8 * problem.optimal_dual()
    with closing(problem.clouds()) as clouds:
        tilt = problem.tilt(dual)
        cells = Cells(
            np.array([[-1.0], [0.5], [2.0]]) if "cells" in start else np.zeros((1, 1)),
            np.eye(1),
        )
        if start == "prior":
            plan = plan_along(clouds, [tilt], 1000)
        else:
            plan = plan_from_start(clouds, tilt, start_of(clouds), 1000, cells)
        assert plan.complete
        walked = walk(
            clouds, coarse(plan), RUNS, SIZE, cells=cells if "cells" in start else None
        )
    excess = walked.log_partition - problem.log_partition(dual)
    assert walked.clouds.shape == (RUNS, SIZE, 1)
    assert_mean(np.exp(excess)[:, None], 1.0, wrong=2.0)
    assert excess.mean() + 3 * excess.std() / np.sqrt(RUNS) < 0


def test_weights_at_the_end_are_of_the_last_law():
    """Outputs weighted within runs and by Z^ between them are those of quadrature."""
    problem = smooth("logistic", temperature=0.01)
    dual = 0.8 * problem.optimal_dual()
    with closing(problem.clouds(1)) as clouds:
        tilt = problem.tilt(dual)
        plan = plan_along(clouds, [tilt], 1000)
        walked = walk(clouds, plan, 20, 500)
        shares = normalised(walked.log_weights)
        runs = zip(walked.clouds, shares, strict=True)
        one = np.zeros(500, int)
        outputs = np.array(
            [
                clouds.cell_sums(tilt, cloud, own, one, 1)[0][0, :, 0]
                for cloud, own in runs
            ]
        )
    expected = problem.grid.outputs(problem.grid.gibbs(dual))
    assert_mean(outputs, expected, slack=0.01, wrong=np.zeros(6))


def test_a_walk_back_from_exact_draws_estimates_one_over_z():
    problem = smooth("logistic", temperature=0.01)
    dual = 0.8 * problem.optimal_dual()
    with closing(problem.clouds(2)) as clouds:
        plan = plan_along(clouds, [problem.tilt(0.5 * dual), problem.tilt(dual)], 1000)
        back = walk_back(clouds, plan, problem.draws(dual, (100, 100)))
    assert_mean(np.exp(problem.log_partition(dual) - back)[:, None], 1.0, wrong=0.5)


@pytest.mark.slow
def test_a_mode_that_a_walk_misses_makes_the_walk_back_too_high():
    """From the well alone: E(1 / Z^) is the mass that forward walks put there over that of the law."""
    problem = needle()
    dual = -0.1 * np.asarray(problem.risk.targets)
    with closing(problem.clouds(3)) as clouds:
        plan = plan_along(clouds, [problem.tilt(dual)], 500)
        forward = walk(clouds, plan, 4, 250).log_partition
        draws = problem.draws(dual, (4, 250))
        back = walk_back(clouds, plan, draws)
    assert np.mean(np.abs(draws - 4) < 0.3) > 0.1
    assert back.mean() > forward.mean() + 3


@pytest.mark.slow
def test_log_z_of_linear_neurons_is_that_of_the_closed_form():
    """|X^T g / n|^2 / (4 T ridge), and the cloud's mean."""
    rng = np.random.default_rng(0)
    inputs, dual, temperature, ridge = (
        rng.normal(size=(20, 3)),
        rng.normal(size=20),
        0.1,
        0.05,
    )
    risk = MeanFieldRisk(
        neurons.Linear(),
        losses.squared,
        np.float32(inputs),
        np.zeros(20, np.float32),
        2 * ridge,
    )
    law = GibbsLaw.of(risk, temperature)
    expected = linear_log_partition(dual, inputs, ridge, temperature)
    expected -= linear_log_partition(0 * dual, inputs, ridge, temperature)
    with closing(Clouds(law, 20, jax.random.key(0))) as clouds:
        tilt = law.tilt(jnp.asarray(dual, jnp.float32), temperature)
        plan = plan_along(clouds, [tilt], 500)
        walked = walk(clouds, plan, 16, 500)
        means = np.einsum("rp,rpd->rd", normalised(walked.log_weights), walked.clouds)
    assert_mean(
        walked.log_partition[:, None], expected, slack=0.002, wrong=2 * expected
    )
    mean = -np.sqrt(temperature / (2 * ridge)) * (inputs.T @ dual / 20) / temperature
    assert_mean(means, mean, slack=0.02, wrong=0 * mean)


@pytest.mark.parametrize("step", [0.5, 3.0])
def test_moves_keep_their_law(step):
    """Exact draws stay exact under long steps, most of which are refused."""
    problem = smooth("squared")
    dual = problem.optimal_dual()
    draws = problem.draws(dual, (20, 1000))
    with closing(problem.clouds(4)) as clouds:
        target = clouds.target(problem.tilt(dual))
        moved, values, acceptance = clouds.moved(
            target, draws.reshape(-1, 1), np.eye(1), step, 10
        )
        again = clouds.values(target, moved)
    assert 0.1 < acceptance < 1
    np.testing.assert_allclose(values.exponent, again.exponent, atol=1e-4)
    grid = problem.grid
    density = grid.measure * grid.gibbs(dual)
    cloud = moved.reshape(20, 1000)
    moments = np.stack([cloud.mean(1), (cloud**2).mean(1), (cloud > 1).mean(1)], 1)
    expected = [
        density @ grid.points,
        density @ grid.points**2,
        density @ (grid.points > 1),
    ]
    assert_mean(moments, expected, slack=2e-3)
    assert np.mean(np.abs(moved[:, 0] - draws.reshape(-1)) > 1e-3) > 0.5


def test_a_mixture_is_that_of_scipy_and_its_draws_are_of_it():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3, 2, 2))
    shares, means, covariances = (
        np.array([1.0, 2.0, 5.0]),
        3 * rng.normal(size=(3, 2)),
        factors @ factors.swapaxes(1, 2),
    )
    start, points = (
        mixture(shares, means, covariances, jnp.float32),
        rng.normal(size=(50, 2)),
    )
    assert isinstance(start, Mixture)
    densities = [
        multivariate_normal(m, c).pdf(points)
        for m, c in zip(means, covariances, strict=True)
    ]
    expected = np.log(shares / shares.sum() @ np.array(densities))
    pulls = [
        (m - points) @ np.linalg.inv(c) for m, c in zip(means, covariances, strict=True)
    ]
    weights = shares[:, None] * np.array(densities)
    slopes = (weights[:, :, None] * np.array(pulls)).sum(0) / weights.sum(0)[:, None]
    value, gradient = start.value_and_gradient(jnp.asarray(points, jnp.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-3, atol=1e-3)
    risk = MeanFieldRisk(
        neurons.Linear(),
        losses.squared,
        np.ones((2, 2), np.float32),
        np.zeros(2, np.float32),
        1.0,
    )
    with closing(Clouds(GibbsLaw.of(risk, 1.0), 2, jax.random.key(0))) as clouds:
        drawn = clouds.drawn(start, 20000).reshape(20, 1000, 2)
    assert_mean(drawn.mean(1), shares / shares.sum() @ means, wrong=0.0)


def test_blocks_change_nothing():
    """Values, features and sums of a cloud are those of its parts, whatever fills up the last block."""
    problem = smooth("squared")
    tilt = problem.tilt(problem.optimal_dual())
    with closing(problem.clouds()) as clouds:
        cloud = clouds.prior(clouds.block + 37)
        values = clouds.values(clouds.target(tilt), cloud).exponent
        np.testing.assert_array_equal(
            clouds.values(clouds.target(tilt), cloud[-37:]).exponent, values[-37:]
        )
        assert clouds.features(cloud).shape == (len(cloud), 6)
        weights = np.random.default_rng(0).uniform(size=len(cloud))
        labels = np.arange(len(cloud)) % 2
        outputs, exponents = clouds.cell_sums(tilt, cloud, weights, labels, 2)
    weights = np.where(labels == np.arange(2)[:, None], weights, 0)
    expected = weights @ (3 * np.tanh(np.float64(cloud) * problem.risk.inputs[:, 0]))
    np.testing.assert_allclose(outputs[..., 0], expected, atol=0.05)
    np.testing.assert_allclose(exponents, weights @ values, rtol=1e-4)


def test_sums_of_cells_are_those_of_each_cell():
    """Two blocks, five cells of which one is empty and one weighs e^-20 of the others."""
    problem = smooth("squared")
    tilt, rng = problem.tilt(problem.optimal_dual()), np.random.default_rng(0)
    with closing(problem.clouds()) as clouds:
        cloud = clouds.prior(clouds.block + 37)
        labels = np.array([0, 1, 3, 4])[rng.integers(0, 4, len(cloud))]
        weights = rng.uniform(size=len(cloud)) * np.where(labels == 1, np.exp(-20), 1)
        before = clouds.work
        outputs, exponents = clouds.cell_sums(tilt, cloud, weights, labels, 5)
        work = clouds.work - before
        one = np.zeros(len(cloud), int)
        alone = np.where(labels == np.arange(5)[:, None], weights, 0)
        outputs_alone, exponents_alone = (
            np.concatenate(parts)
            for parts in zip(
                *(clouds.cell_sums(tilt, cloud, own, one, 1) for own in alone),
                strict=True,
            )
        )
        assert clouds.work - before - work == 5 * work
    assert outputs.shape == (5, 6, 1)
    assert not outputs[2].any()
    np.testing.assert_allclose(outputs, outputs_alone, rtol=2e-4)
    np.testing.assert_allclose(exponents, exponents_alone, rtol=2e-4)


def test_descents_that_have_ended_cost_nothing_more():
    """From two blocks of starts all ends are level ones, with their own energies, and few steps are counted."""
    problem = smooth("squared")
    tilt = problem.tilt(problem.optimal_dual())
    with closing(problem.clouds()) as clouds:
        cloud = clouds.prior(clouds.block + 37)
        ends, energies, gradients = clouds.descended(tilt, cloud, 400)
        assert clouds.work < 6 * 200 * len(cloud)
        assert np.abs(gradients).max() <= 3e-3
        _, again, slopes = clouds.descended(tilt, ends, 0)
        one_by_one = np.concatenate(
            [clouds.descended(tilt, start[None], 400)[0] for start in cloud[-3:]]
        )
    np.testing.assert_allclose(energies, again, rtol=1e-5)
    np.testing.assert_allclose(gradients, slopes, atol=1e-4)
    np.testing.assert_allclose(one_by_one, ends[-3:], atol=0.01)


def test_work_is_counted_and_ends_where_it_is_spent():
    """Particles times rows times gradients; what would go beyond the limit is refused, less is still done."""
    problem = smooth("squared")
    with closing(problem.clouds()) as clouds:
        clouds.limit = 100 * 5 * 6 + 300
        cloud, target = clouds.prior(100), clouds.target(problem.tilt(np.zeros(6)))
        cloud, _, _ = clouds.moved(target, cloud, np.eye(1), 0.1, 4)
        assert clouds.work == 100 * 5 * 6
        clouds.features(cloud)
        assert clouds.work == 100 * 5 * 6 + 300
        with pytest.raises(EffortSpent):
            clouds.descended(problem.tilt(np.zeros(6)), cloud, 10)
        assert clouds.work == 100 * 5 * 6 + 300


def test_steps_between_laws_keep_four_fifths_of_the_particles():
    slopes = 30 * np.random.default_rng(2).normal(size=500)
    step = largest_step(lambda step: effective_share(step * slopes), 1.0)
    assert effective_share(step * slopes) == pytest.approx(0.8, abs=1e-3)
    assert (
        largest_step(lambda step: effective_share(1e-3 * step * slopes), 0.25) == 0.25
    )


def test_resampling_within_cells_keeps_their_weights():
    rng = np.random.default_rng(0)
    labels, log_weights = (
        rng.integers(0, 3, 60),
        np.where(np.arange(60) < 5, -200.0, 3 * rng.normal(size=60)),
    )
    labels[:5] = 7  # a cell that weighs next to nothing
    parents, after = resample_within(rng, labels, log_weights)
    np.testing.assert_array_equal(labels[parents], labels)
    for cell in np.unique(labels):
        own = labels == cell
        assert np.ptp(after[own]) == 0
        assert np.logaddexp.reduce(after[own]) == pytest.approx(
            np.logaddexp.reduce(log_weights[own])
        )
