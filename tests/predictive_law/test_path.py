"""Particles along the path against the law on a grid, and the choice of a share."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import platforms
from langevax.predictive_law import path
from langevax.predictive_law.cloud import advance, first_cloud
from langevax.predictive_law.law_problem import (
    LawProblem,
    check_proper,
    check_rows,
)
from langevax.predictive_law.path import (
    PredictivePath,
    held_out_scores,
    run_path,
)
from tests.predictive_law.cases import (
    COUNTS,
    GRID,
    RIGHT,
    draws_of,
    log_likelihood,
    log_prior,
    problem_of,
    table,
)
from tests.predictive_law.grids import solve
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

SHARES = (1.0, 0.3, 0.05)


@pytest.fixture(scope="module")
def levels():
    draws = draws_of(solve(*table(COUNTS), 1.0).weights, 1024)
    return run_path(problem_of(COUNTS), draws, SHARES, 256, key=jax.random.key(0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:p_loo is .* on 13 rows")
def test_a_posterior_with_weights_has_the_law_of_its_rows_as_often():
    """Different counts with their numbers are all counts: the laws of a grid, and their scores."""
    values, numbers = np.unique(COUNTS, return_counts=True)
    model = langevax.posterior(log_prior, log_likelihood, values, weights=numbers)
    draws = draws_of(solve(*table(COUNTS), 1.0).weights, 1024)[:, 0]
    options = {"draws": draws, "posterior_shares": (1.0, 0.5, 0.2), "num_folds": None}
    law = langevax.predictive(model, key=jax.random.key(0), **options)
    assert law.path.weights.tolist() == pytest.approx(numbers.tolist())
    for place, share in enumerate(law.path.posterior_share):
        exact = solve(*table(COUNTS), share)
        assert abs(law.path.fit[place] - exact.fit) < 3 * law.path.fit_error[place]
    with refuses(ValueError):
        law.certificate(key=jax.random.key(1))


def test_the_errors_of_means_with_weights_are_those_without_where_all_are_one():
    differences = np.random.default_rng(0).normal(size=(2, 30))
    known = differences.std(axis=1, ddof=1) / np.sqrt(30)
    for weights in (np.ones(1), np.full(30, 0.5)):
        np.testing.assert_allclose(path.paired_error(differences, weights), known)
    weights = np.random.default_rng(1).uniform(0.1, 3, 30)
    share = weights / weights.sum()
    away = differences - (differences @ share)[:, None]
    np.testing.assert_allclose(
        path.paired_error(differences, weights), np.sqrt(30 / 29 * (away**2 @ share**2))
    )


@pytest.mark.slow
def test_particles_meet_the_law_on_a_grid_within_their_error(levels):
    log_p, prior = table(COUNTS)
    for level in levels:
        exact = solve(log_p, prior, level.posterior_share)
        error = level.fit_error(256)
        assert level.is_converged
        assert 0 < error < 0.06
        assert abs(level.log_scores.mean() - exact.fit) < 3 * error
        mean, spread = (
            exact.weights @ GRID,
            np.sqrt(exact.weights @ GRID**2 - (exact.weights @ GRID) ** 2),
        )
        assert abs(level.points.mean() - mean) < 3 * spread / 16
        assert abs(level.points.std() / spread - 1) < 0.2
    assert (
        solve(log_p, prior, 0.05).fit - solve(log_p, prior, 1.0).fit > 0.5
    )  # the laws differ by far more


def test_a_row_without_weight_does_not_act():
    rows = np.arange(0, 40, 5)
    weights = solve(*table(COUNTS), 1.0).weights
    scores = held_out_scores(
        problem_of(COUNTS),
        draws_of(weights, 256),
        (1.0, 0.2),
        256,
        rows,
        key=jax.random.key(1),
    )
    log_p, prior = table(COUNTS)
    for score, share in zip(scores, (1.0, 0.2), strict=True):
        law = solve(np.delete(log_p, rows, axis=1), prior, share)
        np.testing.assert_allclose(
            score.mean(), np.log(law.weights @ np.exp(log_p[:, rows])).mean(), atol=0.06
        )


def test_blocks_of_rows_change_nothing(monkeypatch):
    whole = problem_of(COUNTS, 8)
    monkeypatch.setattr(platforms, "CPU", platforms.CPU._replace(log_likelihoods=8 * 7))
    blocked = problem_of(COUNTS, 8)
    assert jax.tree.leaves(blocked.finite_sum.data)[0].shape == (
        6,
        7,
    )  # 40 rows and two of padding
    points, share = jnp.linspace(-1, 2, 8)[:, None], jnp.float32(0.3)

    def density(problem: LawProblem):
        means = jnp.asarray(problem.in_blocks(np.full(40, -2, np.float32)))
        weights = jnp.asarray(problem.in_blocks(np.ones(40, np.float32)))
        return problem.tilted(points, share, means, weights)

    one, other = density(whole), density(blocked)
    np.testing.assert_allclose(one.value, other.value, rtol=1e-5)
    np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        one.log_means.ravel()[:40], other.log_means.ravel()[:40], rtol=1e-5
    )
    np.testing.assert_allclose(
        whole.log_likelihoods(points), blocked.log_likelihoods(points), rtol=1e-5
    )


@pytest.mark.parametrize("most", [path.MOST_LOG_LIKELIHOODS, 2 * 32 * 40])
def test_a_law_has_the_likelihoods_of_its_own_particles(monkeypatch, most):
    # with the smaller one, tables of rows are not kept
    monkeypatch.setattr(path, "MOST_LOG_LIKELIHOODS", most)
    problem, draws = (
        problem_of(COUNTS, 32),
        draws_of(solve(*table(COUNTS), 1.0).weights, 32),
    )
    (level,) = run_path(problem, draws, (0.5,), 32, key=jax.random.key(3))
    assert len(level.points) == (64 if most == 2 * 32 * 40 else 128)
    assert len(np.unique(level.points)) > 40
    np.testing.assert_allclose(
        level.log_likelihoods, problem.log_likelihoods(level.points), rtol=1e-6
    )


def test_particles_in_single_precision_stay_so_where_double_is_enabled():
    problem = problem_of(COUNTS, 8)
    cloud = first_cloud(
        problem,
        np.linspace(-1, 1, 8, dtype=np.float32)[:, None],
        np.zeros(40, np.float32),
    )
    weights = jnp.asarray(problem.in_blocks(np.ones(40, np.float32)))
    share, factor, key = (
        jnp.float32(0.3),
        jnp.eye(1, dtype=jnp.float32),
        jax.random.key(0),
    )
    with jax.enable_x64():
        after = eqx.filter_eval_shape(
            advance, problem, cloud, share, weights, factor, key
        )
    assert {
        leaf.dtype for leaf in (after.points, after.log_steps, after.log_means)
    } == {np.dtype(np.float32)}


def test_the_curve_of_a_wrong_model_rises_and_that_of_a_right_one_is_flat(levels):
    wrong = PredictivePath.of(levels, 256)
    assert wrong.chosen > 0
    assert wrong.gain[-1] > 2 * wrong.gain_error[-1]
    paired = np.std(wrong.scores[-1] - wrong.scores[0], ddof=1) / np.sqrt(40)
    of_particles = np.hypot(wrong.fit_error[-1], wrong.fit_error[0])
    np.testing.assert_allclose(wrong.gain_error[-1], np.hypot(paired, of_particles))
    weights = solve(*table(RIGHT), 1.0).weights
    right = run_path(
        problem_of(RIGHT), draws_of(weights, 1024), SHARES, 256, key=jax.random.key(0)
    )
    assert np.abs(PredictivePath.of(right, 256).gain).max() < 0.02


def path_of(scores, p_eff=1.0, fit_error=0.0):
    numbers = np.zeros(len(scores))
    return PredictivePath(
        posterior_share=np.linspace(1, 0, len(scores)),
        fit=numbers,
        fit_error=numbers + fit_error,
        loo=numbers,
        gain=numbers,
        gain_error=numbers,
        p_eff=numbers + p_eff,
        num_moves=numbers,
        is_converged=numbers == 0,
        scores=np.asarray(scores),
    )


def test_the_largest_share_within_one_standard_error_of_the_best_is_chosen():
    noise = np.tile([1.0, -1.0], 50)  # standard error 0.1
    assert path_of([0 * noise - 0.09, 0 * noise - 0.05, noise]).chosen == 0
    assert path_of([0 * noise - 0.11, 0 * noise - 0.09, noise]).chosen == 1
    assert path_of([0 * noise - 0.2, 0 * noise - 0.11, noise]).chosen == 2


def test_noise_of_particles_alone_does_not_choose():
    """Rows that are alike have no spread between them."""
    scores = [np.zeros(100), np.full(100, 0.01)]
    assert path_of(scores).chosen == 1
    assert path_of(scores, fit_error=0.01).chosen == 0


def test_noise_of_particles_that_still_drift_does_not_choose():
    """A law of which little is known would be within its own error of any other."""
    drifting = path_of(
        [np.full(100, -2.0), np.full(100, -1.0), np.zeros(100)], fit_error=0.8
    )
    assert drifting.chosen == 1  # 1.13 is the error of both
    settled = np.array([True, False, True])
    assert dataclasses.replace(drifting, is_converged=settled).chosen == 2
    slightly = path_of(
        [np.full(100, -2.0), np.full(100, -0.7), np.zeros(100)], fit_error=0.8
    )
    assert (
        dataclasses.replace(slightly, is_converged=settled).chosen == 1
    )  # within the error of the best


def test_priors_and_rows_that_have_no_law_are_refused():
    points = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    check_proper(problem_of(COUNTS), points)

    def with_prior(prior):
        target = langevax.posterior(prior, lambda m, y: -((y - m) ** 2), COUNTS)
        return LawProblem.of(target.problem, jnp.zeros(()), 32)

    check_proper(with_prior(lambda m: -jnp.log1p(m**2)), points)  # Cauchy
    with refuses(ValueError, "log_prior 'position'"):
        check_proper(with_prior(lambda m: 0 * m), points)
    named = {"level": jnp.zeros(()), "slopes": jnp.zeros(2), "spread": jnp.zeros(())}
    flat = {
        "'level'": lambda p: -jnp.sum(p["slopes"] ** 2) - p["spread"] ** 2,
        "'slopes'[1]": lambda p: (
            -(p["level"] ** 2) - p["slopes"][0] ** 2 - p["spread"] ** 2
        ),
        "'spread'": lambda p: (
            -(p["level"] ** 2) - jnp.sum(p["slopes"] ** 2) + p["spread"]
        ),
    }
    cloud = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    for place, prior in flat.items():
        target = langevax.posterior(
            prior, lambda p, y: -((y - p["level"]) ** 2), COUNTS
        )
        with refuses(ValueError, place):
            check_proper(
                LawProblem.of(target.problem, named, 32), cloud, "the prior of model"
            )
    logs = np.zeros((4, 5))
    logs[:, 3] = -np.inf
    with refuses(ValueError, "3 log_likelihood -inf 4"):
        check_rows(logs)


def test_draws_that_floating_point_numbers_cannot_hold_are_refused():
    points = np.float32(1e6) + np.linspace(-0.3, 0.3, 32, dtype=np.float32)[:, None]
    with refuses(ValueError, "position 1e+06"):
        check_proper(problem_of(COUNTS), points)
