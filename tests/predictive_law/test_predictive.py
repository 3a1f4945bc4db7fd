"""`langevax.predictive` from the arguments to the result: functions, posteriors, NumPyro models, and refusals."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions

import langevax
from langevax.predictive_law import PredictiveWarning
from langevax.predictive_law.law_problem import LawProblem, check_proper
from langevax.predictive_law.path import PredictivePath
from langevax.predictive_law.predictive import SHARES, SHARES_OF_COUNTS
from tests.predictive_law.cases import (
    COUNTS,
    draws_of,
    log_likelihood,
    log_prior,
    table,
)
from tests.predictive_law.grids import solve
from tests.sentences import refuses, warns

pytestmark = pytest.mark.mostly_compiling

DRAWS = jnp.asarray(draws_of(solve(*table(COUNTS), 1.0).weights, 512)[:, 0])
OPTIONS = {
    "key": jax.random.key(0),
    "num_particles": 64,
    "num_folds": None,
    "posterior_shares": (1.0, 0.3, 0.05),
}


@pytest.fixture(scope="module")
def fit():
    return langevax.predictive(
        log_prior, log_likelihood, COUNTS, draws=DRAWS, **OPTIONS
    )


@pytest.mark.slow
def test_a_wrong_model_gets_a_smaller_share_and_a_sentence(fit):
    assert fit.posterior_share < 1
    comparison = fit.compare()
    assert comparison.nats > 2 * comparison.standard_error > 0
    assert str(comparison).startswith(f"Bayes loses {comparison.nats:.3f} ± ")
    assert "The model is misspecified." in repr(fit)
    assert fit.warnings == []
    assert fit.positions.shape == (256,)


def test_log_scores_are_those_of_the_mixture(fit):
    new = jnp.array([0.0, 4.0, 20.0])
    logs = jax.vmap(lambda x: jax.vmap(lambda row: log_likelihood(x, row))(new))(
        jnp.asarray(fit.positions)
    )
    np.testing.assert_allclose(
        fit.log_score(new), jax.nn.logsumexp(logs, axis=0) - np.log(256), rtol=1e-5
    )
    np.testing.assert_allclose(
        fit.log_score(COUNTS).mean(), fit.path.fit[fit.path.chosen], rtol=1e-5
    )
    with refuses(ValueError, "new (2,)"):
        fit.log_score(np.ones((3, 2)))
    with refuses(ValueError, "new"):
        fit.log_score((COUNTS, COUNTS))


def test_particles_are_exported(fit):
    tree = fit.to_datatree()
    assert tree["posterior/position"].shape == (1, 256)
    assert tree["log_likelihood/log_likelihood"].shape == (1, 256, 40)
    assert tree.attrs["posterior_share"] == fit.posterior_share


@pytest.mark.slow
def test_a_posterior_is_the_same_model(fit):
    target = langevax.posterior(None, log_likelihood, COUNTS, prior_precision=1.0)
    same = langevax.predictive(target, draws=DRAWS, **OPTIONS)
    np.testing.assert_allclose(same.path.fit, fit.path.fit, rtol=0.02)


def poisson(count):
    log_rate = numpyro.sample("log_rate", distributions.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(count)):
        numpyro.sample("count", distributions.Poisson(jnp.exp(log_rate)), obs=count)


def gamma_poisson(count, size=None):
    """A rate that is positive, and a number of rows of its own for predictions."""
    rate = numpyro.sample("rate", distributions.LogNormal(0.0, 1.0))
    with numpyro.plate("rows", size if count is None else len(count)):
        numpyro.sample("count", distributions.Poisson(rate), obs=count)


@pytest.mark.slow
def test_a_numpyro_model_is_the_same_model(fit):
    same = langevax.predictive(
        poisson, COUNTS.astype(int), draws={"log_rate": DRAWS}, **OPTIONS
    )
    np.testing.assert_allclose(same.path.fit, fit.path.fit, rtol=0.02)
    np.testing.assert_allclose(
        same.log_score(np.array([3, 4])), fit.log_score(np.array([3.0, 4.0])), rtol=0.1
    )


@pytest.mark.slow
def test_sites_are_values_on_their_own_supports():
    same = langevax.predictive(
        gamma_poisson,
        COUNTS.astype(int),
        None,
        draws={"rate": jnp.exp(DRAWS)},
        **OPTIONS,
    )
    assert same.positions["rate"].min() > 0
    np.testing.assert_allclose(
        np.sort(np.log(same.positions["rate"])), np.sort(same.points[:, 0]), atol=1e-5
    )
    from numpyro.infer import Predictive

    with jax.numpy_dtype_promotion("standard"):
        drawn = Predictive(gamma_poisson, same.positions)(jax.random.key(2), None, 30)
    drawn = np.asarray(drawn["count"])
    assert drawn.shape == (256, 30)
    assert drawn.var() > 1.5 * drawn.mean()  # the law is wider than one Poisson law


@pytest.mark.slow
def test_counts_have_a_path_to_zero_and_densities_stop_before():
    options = {**OPTIONS, "posterior_shares": "auto", "num_particles": 16}
    few = langevax.predictive(
        poisson, COUNTS.astype(int), draws={"log_rate": DRAWS}, **options
    )
    assert tuple(few.path.posterior_share) == SHARES_OF_COUNTS
    assert min(SHARES) == 0.05


def refused(error, facts, *arguments, **options):
    with refuses(error, facts):
        langevax.predictive(*arguments, **{**OPTIONS, "draws": DRAWS, **options})


@pytest.mark.filterwarnings("ignore:log_likelihood reads COUNTS")
def test_wrong_arguments_are_named():
    functions = log_prior, log_likelihood, COUNTS
    refused(
        ValueError,
        "draws 512 num_particles 600",
        *functions,
        num_particles=600,
    )
    refused(
        ValueError,
        "posterior_shares 1",
        *functions,
        posterior_shares=(0.5, 0.1),
    )
    refused(ValueError, "start", *functions, draws=None)
    refused(
        ValueError,
        "data 1",
        log_prior,
        log_likelihood,
        COUNTS[:1],
    )
    refused(
        ValueError,
        "data 3 num_folds 5",
        log_prior,
        log_likelihood,
        COUNTS[:3],
        num_folds=5,
    )
    huge = np.where(COUNTS == 15, 1e200, COUNTS.astype(float))
    refused(
        ValueError,
        "data[39] 1e+200 JAX float32",
        log_prior,
        log_likelihood,
        huge,
    )
    refused(TypeError, "draws", *functions, draws=jnp.arange(512))
    refused(TypeError, "data", log_prior, log_likelihood)
    refused(
        ValueError,
        "log_likelihood",
        log_prior,
        lambda m, y: jnp.stack([m, y]),
        COUNTS,
    )
    refused(
        ValueError,
        "log_prior 0",
        lambda m: 0 * m,
        log_likelihood,
        COUNTS,
    )
    refused(
        ValueError,
        "draws 0",
        *functions,
        draws=jnp.ones(512),
    )
    impossible = lambda m, y: jnp.where(y > 14, -jnp.inf, log_likelihood(m, y))
    refused(ValueError, "39 log_likelihood -inf", log_prior, impossible, COUNTS)
    of_all = lambda m, y: jnp.sum(
        jax.vmap(lambda row: log_likelihood(m, row))(jnp.asarray(COUNTS))
    )
    refused(
        ValueError,
        "log_likelihood",
        log_prior,
        of_all,
        COUNTS,
    )
    weighted = langevax.posterior(
        None, log_likelihood, COUNTS, prior_precision=1.0, weights=np.full(40, 2.0)
    )
    refused(
        ValueError,
        "model log_prior",
        weighted,
    )
    refused(
        ValueError,
        "model",
        langevax.posterior(log_prior, log_likelihood, COUNTS)._replace(
            problem=langevax.Function(lambda m: m**2)
        ),
    )


def test_a_prior_that_is_flat_along_a_diagonal_is_refused():
    draws = jnp.stack([DRAWS, jnp.roll(DRAWS, 7)], axis=1)
    of_sum = lambda p, y: log_likelihood(p[0] + p[1], y)
    flat_in_the_difference = lambda p: -((p[0] + p[1]) ** 2) / 2
    match = "log_prior"
    refused(ValueError, match, flat_in_the_difference, of_sum, COUNTS, draws=draws)
    problem = langevax.posterior(
        lambda p: -jnp.sum(jnp.abs(p)) / 100, of_sum, COUNTS
    ).problem  # proper, no curvature
    check_proper(LawProblem.of(problem, jnp.zeros(2), 64), np.asarray(draws))


def test_draws_of_another_posterior_are_named():
    with warns(PredictiveWarning, "draws"):
        langevax.predictive(
            log_prior,
            log_likelihood,
            COUNTS,
            draws=DRAWS + 4 * DRAWS.std(),
            **OPTIONS | {"posterior_shares": (1.0,)},
        )


def test_draws_that_make_a_row_impossible_are_refused():
    def log_likelihood_above(
        log_rate, count
    ):  # no law of rates below 1/20 has been drawn from it
        return jnp.where(log_rate > -3, log_likelihood(log_rate, count), -jnp.inf)

    refused(
        ValueError,
        "1 512 log_likelihood -inf",
        log_prior,
        log_likelihood_above,
        COUNTS,
        draws=DRAWS.at[5].set(-4.0),
        num_particles=128,
    )


def test_a_density_on_few_values_is_doubted(fit):
    rows = len(COUNTS)
    random = np.random.default_rng(0)
    few = np.tile(random.normal(size=(64, 5)), rows)[
        :, :rows
    ]  # densities of five values
    for logs, expected in (
        (few + 3, True),
        (few - 9, False),
        (random.normal(size=(64, rows)) + 3, False),
    ):
        sentences = dataclasses.replace(fit, log_likelihoods=logs).warnings
        assert (
            any("only 5 different values" in sentence for sentence in sentences)
            == expected
        )
    assert not any(
        "values" in s
        for s in dataclasses.replace(
            fit, log_likelihoods=few + 3, posterior_share=1.0
        ).warnings
    )


def dependent(x):
    with numpyro.plate("rows", len(x)):
        local = numpyro.sample("local", distributions.Normal(0.0, 1.0))
        numpyro.sample("x", distributions.Normal(local, 1.0), obs=x)


def centred(x):
    mean = numpyro.sample("mean", distributions.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("x", distributions.Normal(mean + x.mean(), 1.0), obs=x)


def flat(x):
    mean = numpyro.sample(
        "mean", distributions.ImproperUniform(distributions.constraints.real, (), ())
    )
    with numpyro.plate("rows", len(x)):
        numpyro.sample("x", distributions.Normal(mean, 1.0), obs=x)


def tempered(x):
    rate = numpyro.sample("log_rate", distributions.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(x)), numpyro.handlers.scale(scale=0.1):
        numpyro.sample("x", distributions.Normal(rate, 1.0), obs=x)


@pytest.mark.slow
def test_models_without_rows_or_a_proper_prior_are_refused():
    refused(ValueError, "", dependent, COUNTS)
    refused(ValueError, "'x'", centred, COUNTS)
    refused(ValueError, "'mean' 0", flat, COUNTS, draws={"mean": DRAWS})
    refused(
        ValueError,
        "'x'",
        tempered,
        COUNTS,
        draws={"log_rate": DRAWS},
    )
    by_chain = {"log_rate": DRAWS.reshape(4, 128)}
    match = "draws['log_rate'] (4, 128)"
    refused(ValueError, match, poisson, COUNTS.astype(int), draws=by_chain)
    refused(
        ValueError,
        "draws 'log_rate'",
        poisson,
        COUNTS.astype(int),
        draws={"rate": DRAWS},
    )


@pytest.mark.slow
def test_from_the_model_alone_with_confirmation_by_folds():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictiveWarning)  # few rows
        fit = langevax.predictive(
            poisson,
            COUNTS.astype(int),
            key=jax.random.key(0),
            num_particles=64,
            num_folds=4,
        )
    assert fit.posterior_share < 1
    assert fit.compare().nats > 0.3


@pytest.mark.slow
def test_many_parameters_are_doubted_without_folds(monkeypatch):
    monkeypatch.setattr(PredictivePath, "many_parameters", 100)
    options = OPTIONS | {"draws": DRAWS, "posterior_shares": (1.0, 0.2)}
    model = log_prior, log_likelihood, COUNTS
    with warns(PredictiveWarning, "num_folds"):
        in_closed_form = langevax.predictive(*model, **options)
    fit = langevax.predictive(*model, **options | {"num_folds": 3})
    assert fit.method == "3 folds"
    assert np.isfinite(fit.path.scores).all()
    np.testing.assert_array_equal(fit.path.loo, in_closed_form.path.loo)
    assert abs(fit.path.scores.mean(axis=1) - fit.path.loo).max() < 0.3
