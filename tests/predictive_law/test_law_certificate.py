"""Certificates of predictive laws against a grid: both ends, the score of the minimiser, and what is refused."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.homotopy import mean_conjugate, mean_gap
from langevax.meanfield.upper_bound import UpperBound
from langevax.predictive_law import law_search
from langevax.predictive_law.dual import best_tilt
from langevax.predictive_law.law_certificate import _inverse, _verdict
from langevax.predictive_law.law_search import LawRisk, LawSearch
from langevax.predictive_law.parameter_law import ParameterLaw, in_units_of_prior
from tests.predictive_law.cases import (
    COUNTS,
    GRID,
    draws_of,
    log_likelihood,
    log_prior,
    problem_of,
    table,
)
from tests.predictive_law.grids import solve
from tests.sentences import refuses, tells

SHARE = 0.05
LOG_P, LOG_PRIOR = table(COUNTS)
CONSTANT = np.logaddexp.reduce(LOG_PRIOR) + np.log(
    GRID[1] - GRID[0]
)  # of the log prior as it is written
POSTERIOR = solve(LOG_P, LOG_PRIOR, 1.0)
EXACT = solve(LOG_P, LOG_PRIOR, SHARE)
DRAWS = draws_of(POSTERIOR.weights, 512)


def objective(weights, share):
    """J_a of a law on the grid, with the log prior as it is written."""
    divergence = weights @ (
        np.log(np.maximum(weights, 1e-300)) - LOG_PRIOR + np.logaddexp.reduce(LOG_PRIOR)
    )
    fit = (1 - share) * np.log(weights @ np.exp(LOG_P)).sum() + share * (
        weights @ LOG_P
    ).sum()
    return divergence - fit - CONSTANT


@pytest.fixture(scope="module")
def law():
    options = {
        "num_particles": 64,
        "num_folds": None,
        "posterior_shares": (1.0, 0.3, SHARE),
        "draws": DRAWS[:, 0],
    }
    fit = langevax.predictive(
        log_prior, log_likelihood, COUNTS, key=jax.random.key(0), **options
    )
    assert fit.posterior_share == SHARE
    return fit


def certified(law, seed, effort=6e7):
    return law.certificate(
        key=jax.random.key(seed), effort=effort, run=langevax.Run(progress=False)
    )


@pytest.fixture(scope="module")
def certificate(law):
    return certified(law, 0)


@pytest.mark.slow
def test_the_interval_holds_the_least_objective_of_the_grid(certificate):
    assert certificate.trustworthy
    assert certificate.lower_bound <= EXACT.value - CONSTANT <= certificate.upper_bound
    assert (
        certificate.width
        < 0.5
        < 40
        < certificate.bayes_objective - certificate.upper_bound
    )
    np.testing.assert_allclose(
        certificate.bayes_objective, objective(POSTERIOR.weights, SHARE), atol=0.3
    )
    low, high = certificate.score_bounds
    assert low < EXACT.fit < high < low + 0.4
    np.testing.assert_allclose(certificate.log_scores.mean(), EXACT.fit, atol=0.05)
    assert certificate.missing_share < 0.02
    assert certificate.effective_draws > 100
    assert str(certificate).startswith(
        "Certified: the least value of the objective at a share of 0.05 of Bayes lies "
    )
    assert "says nothing of how well it predicts new rows" in str(certificate)
    assert repr(certificate).startswith(f"LawCertificate({certificate}")
    assert certificate.work <= 6.1e7
    assert 0 < certificate.unknown_share < 0.02


@pytest.mark.slow
def test_that_of_the_posterior_bounds_the_evidence(law):
    chosen = dataclasses.replace(law.path, scores=law.path.scores[:1])
    bayes = dataclasses.replace(
        law, posterior_share=1.0, points=DRAWS[:256], path=chosen
    )
    certificate = certified(bayes, 3)
    assert (
        certificate.lower_bound <= POSTERIOR.value - CONSTANT <= certificate.upper_bound
    )
    assert certificate.width < 0.6
    assert certificate.score_bounds == (-math.inf, math.inf)


@pytest.mark.slow
def test_a_law_that_lacks_a_part_is_refused_in_a_sentence(law):
    low = law.points[law.points[:, 0] < 1]
    certificate = certified(
        dataclasses.replace(law, points=np.resize(low, law.points.shape)), 4
    )
    lacking = EXACT.weights[GRID > 1].sum()
    share = certificate.missing_share
    assert share == pytest.approx(lacking, abs=0.09)
    assert not certificate.trustworthy
    tells(str(certificate), f"{share:.0%}")
    assert certificate.lower_bound <= EXACT.value - CONSTANT <= certificate.upper_bound


@pytest.mark.slow
def test_particles_that_score_otherwise_than_the_path_are_seen(law):
    # nearly all of the particles at one place: none is missing, and the path still says what the law scored before
    order = np.argsort(law.points[:, 0])
    few = np.resize(order[: len(order) // 4], len(order) - 4)
    damaged = dataclasses.replace(
        law, points=law.points[np.concatenate([few, order[-4:]])]
    )
    certificate = certified(damaged, 5)
    expected = np.log(
        np.exp(law.problem.log_likelihoods(damaged.points)).mean(0)
    ).mean()
    np.testing.assert_allclose(certificate.law_score, expected, rtol=1e-4)
    assert certificate.law_score < certificate.score_bounds[0]
    assert not certificate.trustworthy


def test_mass_that_the_search_has_elsewhere_is_refused(certificate):
    lacking = _verdict(
        dataclasses.replace(certificate, missing_share=0.4), True, True, ""
    )
    assert lacking.startswith("Not certified: ")
    assert (
        "It lacks parameters that hold about 40% of the minimiser's mass; " in lacking
    )
    assert "It lacks" not in _verdict(certificate, True, True, "")


def test_a_law_of_another_score_is_refused_in_a_sentence(certificate):
    other = _verdict(dataclasses.replace(certificate, law_score=-2.5), True, False, "")
    assert other.startswith("Not certified: the least value")
    assert "this distribution by -2.500 ± " in other
    tells(other, "posterior_shares")
    wide = _verdict(
        certificate,
        False,
        True,
        "the dual is not yet that of the optimum; raise effort",
    )
    assert wide.endswith(
        "too wide since the dual is not yet that of the optimum; raise effort."
    )


@pytest.mark.slow
def test_little_effort_is_refused_and_arguments_are_named(law):
    certificate = certified(law, 0, effort=1e5)
    assert not certificate.trustworthy
    assert certificate.lower_bound == -math.inf
    assert "has no lower end since walks from the prior did not reach" in str(
        certificate
    )
    tells(str(certificate), "1e+05")
    with refuses(ValueError, "effort"):
        certified(law, 0, effort=-1.0)


@pytest.mark.slow
def test_a_likelihood_beyond_single_precision_has_no_lower_end(law, monkeypatch):
    monkeypatch.setattr(law_search, "MAX_EXPONENT", math.log(2))
    certificate = certified(law, 0)
    assert not certificate.trustworthy
    assert (
        certificate.lower_bound
        == -math.inf
        < certificate.upper_bound
        < certificate.bayes_objective
    )
    tells(str(certificate), "e^1")


def test_an_upper_end_needs_likelihoods_that_are_numbers(law):
    """An output that underflows counts as the smallest number, which would be too low an end."""
    bound = UpperBound(0.5, 0.01, 7, np.array([1.0, 0.0]))
    tilted = ParameterLaw.of(law.problem, SHARE, law.points)
    clouds = Clouds(tilted, 40, jax.random.key(0))
    search = LawSearch(
        LawRisk.of(tilted), 1 / 40, clouds, lambda words, share: None, []
    )
    clouds.close()
    search.keep_upper(bound)
    assert search.upper is None
    search.keep_upper(bound._replace(outputs=np.array([1.0, 1e-30])))
    assert search.upper is not None


def test_newton_steps_on_a_weighted_grid_reach_its_dual():
    log_weights = LOG_PRIOR + SHARE * LOG_P.sum(axis=1)
    tilt, weight = (
        np.exp(EXACT.log_dual) * (1 - SHARE) * np.linspace(0.7, 1.4, 40),
        1 - SHARE,
    )
    reached, weights = best_tilt(
        np.exp(LOG_P), log_weights + np.exp(LOG_P) @ tilt, tilt, weight
    )
    np.testing.assert_allclose(np.log(reached / weight), EXACT.log_dual, atol=1e-4)
    np.testing.assert_allclose(weights, log_weights + np.exp(LOG_P) @ reached)
    few = np.linspace(0, len(GRID) - 1, 25).astype(
        int
    )  # fewer points than rows: the other form of the step
    less, _ = best_tilt(
        np.exp(LOG_P[few]), log_weights[few] + np.exp(LOG_P[few]) @ tilt, tilt, weight
    )
    shares = log_weights[few] + np.exp(LOG_P[few]) @ less
    shares = np.exp(shares - np.logaddexp.reduce(shares))
    np.testing.assert_allclose(less * (shares @ np.exp(LOG_P[few])), weight, rtol=1e-3)


@pytest.mark.slow
def test_a_particle_has_the_density_of_its_law_in_units_of_the_prior():
    law = ParameterLaw.of(problem_of(COUNTS), SHARE, DRAWS[:256])
    law = in_units_of_prior(law, DRAWS[:256], key=jax.random.key(0))
    np.testing.assert_allclose(
        law.factor, 1, atol=0.25
    )  # the prior is N(0, 1), the draws have deviation 0.1
    assert abs(float(law.centre[0])) < 0.25
    points = np.linspace(-1, 2, 5, dtype=np.float32)[:, None]
    cloud = law.inner(points)
    np.testing.assert_allclose(law.outer(cloud), points, atol=1e-6)
    c = np.exp(EXACT.log_dual)
    dual = -(1 - SHARE) * c * np.exp(np.asarray(law.references, np.float64))
    tilt = law.tilt(jnp.asarray(dual, jnp.float32), 1 / 40)
    values, gradient = law.value_and_gradient(tilt, jnp.asarray(cloud))

    def log_density(x):
        logs = jax.vmap(lambda count: log_likelihood(x, count))(jnp.asarray(COUNTS))
        return (
            log_prior(x)
            + SHARE * jnp.sum(logs)
            + (1 - SHARE) * jnp.sum(jnp.asarray(c, jnp.float32) * jnp.exp(logs))
        )

    expected, slopes = jax.vmap(jax.value_and_grad(log_density))(
        jnp.asarray(points[:, 0])
    )
    normal = (
        -(cloud[:, 0] ** 2) / 2
        - np.log(2 * np.pi) / 2
        - np.log(float(law.factor[0, 0]))
    )
    constant = SHARE * np.asarray(law.references).sum()
    np.testing.assert_allclose(values + normal + constant, expected, rtol=1e-4)
    np.testing.assert_allclose(
        (gradient - cloud)[:, 0], slopes * law.factor[0, 0], rtol=1e-3, atol=1e-3
    )
    activity = law.activity(tilt, jnp.asarray(cloud))
    np.testing.assert_allclose(
        activity.exponent, (activity.features @ -dual)[:], rtol=1e-4
    )
    np.testing.assert_allclose(
        activity.exponent,
        law.features(jnp.asarray(cloud))[:, 2:] @ tilt[2:, 0],
        rtol=1e-4,
    )


def test_the_loss_is_the_score_with_the_weight_that_the_share_leaves():
    law, dual = (
        ParameterLaw.of(problem_of(COUNTS), 0.3, DRAWS[:256]),
        -jnp.linspace(0.2, 3, 40),
    )
    ratio = np.linspace(0.2, 3, 40) / 0.7
    expected = np.mean(-0.7 * (1 + np.log(ratio)))
    assert float(mean_conjugate(LawRisk.of(law), dual)) == pytest.approx(
        expected, rel=1e-5
    )
    gap = np.mean(0.7 * (2 * ratio - 1 - np.log(2 * ratio)))
    assert float(mean_gap(LawRisk.of(law), jnp.full(40, 2.0), dual)) == pytest.approx(
        gap, rel=1e-5
    )
    risk = LawRisk.of(ParameterLaw.of(problem_of(COUNTS), 1.0, DRAWS[:256]))
    assert (
        float(mean_conjugate(risk, jnp.zeros(40)))
        == float(mean_gap(risk, jnp.ones(40), jnp.zeros(40)))
        == 0
    )


def test_the_roots_that_bound_the_score():
    for value in (1e-6, 0.01, 0.5, 5.0, 500.0):
        low, high = _inverse(value)
        assert low < 0 < high
        np.testing.assert_allclose(
            [math.expm1(x) - x for x in (low, high)], value, rtol=1e-4
        )
