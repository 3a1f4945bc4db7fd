"""Marginal laws of functionals and of coefficients, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import langevax as lx
from langevax.sampling import InverseProblem

pytestmark = pytest.mark.mostly_compiling

BASIS = lx.spaces.Cosine(6)
PRIOR = lx.spaces.GaussianPrior(
    BASIS, jnp.array([1.0, 0.5, 0.25, 0.12, 0.06, 0.03], jnp.float32)
)
MAP = np.random.default_rng(1).normal(size=(4, 6))
DATA, NOISE = np.array([0.5, -1.0, 0.3, 0.8]), 0.3
OUTLET = np.asarray(BASIS.evaluate([0.9])[0], np.float64)


def problem(noise=NOISE, prior=PRIOR):
    return lx.inverse_problem(
        lambda f: jnp.asarray(MAP, jnp.float32) @ BASIS.analyze(f),
        DATA,
        noise=noise,
        prior=prior,
    )


def exact():
    """Mean and covariance of the coefficients."""
    covariance = np.linalg.inv(
        MAP.T @ MAP / NOISE**2 + np.diag(1 / np.asarray(PRIOR.eigenvalues, np.float64))
    )
    return covariance @ MAP.T @ DATA / NOISE**2, covariance


@pytest.fixture(scope="module")
def draws():
    mean, covariance = exact()
    drawn = np.random.default_rng(0).multivariate_normal(
        mean, covariance, size=(4, 5000)
    )
    return jnp.asarray(drawn, jnp.float32)


def at_outlet(f):
    return np.asarray(BASIS.analyze(jnp.asarray(f, jnp.float32)), np.float64) @ OUTLET


def test_marginals_of_linear_functionals_are_normal_laws(draws):
    target = problem()
    assert isinstance(target, InverseProblem)
    few = draws[:, :500]
    table = target.marginals(
        few,
        {"outlet": at_outlet, "largest": np.max},
        key=jax.random.key(3),
        coverage=0.8,
        num_prior_draws=2000,
    )
    mean, covariance = exact()
    sd, prior_sd = (
        np.sqrt(OUTLET @ of @ OUTLET) for of in (covariance, np.diag(PRIOR.eigenvalues))
    )
    assert abs(np.asarray(table["mean"])[0] - OUTLET @ mean) < 4 * sd / np.sqrt(2000)
    assert np.asarray(table["sd"])[0] == pytest.approx(sd, rel=0.06)
    width = 2 * 1.2816 * sd
    assert np.asarray(table["high"])[0] - np.asarray(table["low"])[0] == pytest.approx(
        width, rel=0.08
    )
    assert np.asarray(table["prior_sd"])[0] == pytest.approx(prior_sd, rel=0.06)
    assert abs(np.asarray(table["prior_mean"])[0]) < 4 * prior_sd / np.sqrt(2000)
    assert np.asarray(table["mean"])[1] > np.asarray(target.functions(few)).mean()
    assert 1200 < np.asarray(table["ess_bulk"])[0] < 3000
    assert np.asarray(table["r_hat"])[0] < 1.01


def test_data_inform_the_share_of_each_mode_that_the_closed_form_says(draws):
    table = problem().modes(draws)
    _, covariance = exact()
    np.testing.assert_allclose(table["sd"], np.sqrt(np.diag(covariance)), rtol=0.03)
    np.testing.assert_allclose(
        table["informed"], 1 - np.diag(covariance) / PRIOR.eigenvalues, atol=0.06
    )
    np.testing.assert_allclose(table["prior_sd"], np.sqrt(PRIOR.eigenvalues), rtol=1e-6)


def test_data_that_would_be_measured_again_vary_by_the_function_and_the_noise(draws):
    again = np.asarray(problem().sample_predictive(draws, key=jax.random.key(5)))
    mean, covariance = exact()
    assert again.shape == (4, 5000, 4)
    expected = np.diag(MAP @ covariance @ MAP.T) + NOISE**2
    np.testing.assert_allclose(again.var((0, 1)), expected, rtol=0.06)
    np.testing.assert_allclose(
        again.mean((0, 1)), MAP @ mean, atol=5 * np.sqrt(expected.max() / 20000)
    )


def test_those_of_unknown_noise_and_length_scale_have_the_hyperpriors_in_their_prior():
    prior = lx.spaces.MaternPrior(
        BASIS, smoothness=1.5, length_scale=0.3, variance=dist.LogNormal(0.0, 0.5)
    )
    target = problem(noise=dist.LogNormal(-1.0, 0.3), prior=prior)
    positions = {"function": jnp.zeros((2, 50, 6), jnp.float32)}
    table = target.marginals(
        positions, {"outlet": at_outlet}, key=jax.random.key(0), num_prior_draws=4000
    )
    one = np.asarray(prior.eigenvalues({"variance": 1.0}), np.float64)
    mean_variance = np.exp(0.5**2 / 2)  # of a lognormal
    assert np.asarray(table["prior_sd"])[0] == pytest.approx(
        np.sqrt(mean_variance * OUTLET @ (one * OUTLET)), rel=0.06
    )
    assert np.asarray(table["sd"])[0] == 0
    spread = target.modes(positions)
    np.testing.assert_allclose(
        spread["prior_sd"], np.sqrt(mean_variance * one), rtol=0.06
    )
    np.testing.assert_allclose(spread["informed"], 1)


@pytest.mark.parametrize(
    ("functionals", "error", "words"),
    [
        (
            np.max,
            TypeError,
            "functionals must be a dict from names to functions of one drawn function",
        ),
        ({}, TypeError, "functionals must be a dict"),
        (
            {"all": lambda f: f},
            ValueError,
            "'all' must return one real number, got an array",
        ),
        ({"word": lambda f: "3.5"}, ValueError, "'word' must return one real number"),
        (
            {"masked": lambda f: np.ma.masked},
            ValueError,
            "'masked' must return one real number",
        ),
        (
            {"complex": lambda f: f[0] + 1j},
            ValueError,
            "'complex' must return one real number",
        ),
        ({"x": 3}, TypeError, r"functionals\['x'\] must be a function"),
        (
            {"log": lambda f: np.log(f.min())},
            ValueError,
            "'log' is not finite at [0-9]+ of 80 drawn functions",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_functionals_that_are_not_numbers_are_refused(draws, functionals, error, words):
    with pytest.raises(error, match=words):
        problem().marginals(
            draws[:, :20], functionals, key=jax.random.key(0), num_prior_draws=10
        )


def test_draws_without_chains_and_impossible_coverages_are_refused(draws):
    with pytest.raises(ValueError, match="leading axes"):
        problem().marginals(draws[0], {"largest": np.max}, key=jax.random.key(0))
    with pytest.raises(ValueError, match="at least two draws, got 4 chains of 0"):
        problem().marginals(draws[:, :0], {"largest": np.max}, key=jax.random.key(0))
    with pytest.raises(ValueError, match="coverage must be below 1"):
        problem().marginals(
            draws, {"largest": np.max}, key=jax.random.key(0), coverage=1.0
        )


def test_functionals_see_double_precision(draws):
    table = problem().marginals(
        draws[:, :100],
        {"far": lambda f: 1e9 + f[0], "near": lambda f: f[0]},
        key=jax.random.key(0),
    )
    far, near = np.asarray(table["sd"])
    assert far == pytest.approx(near, rel=1e-4)


def test_an_error_of_a_functional_names_it(draws):
    with pytest.raises(ZeroDivisionError) as raised:
        problem().marginals(
            draws[:, :5], {"ratio": lambda f: 1 / 0}, key=jax.random.key(0)
        )
    assert raised.value.__notes__ == [
        "raised by functional 'ratio' at one of the drawn functions"
    ]


@pytest.mark.parametrize("shape", [(30, 6), (6,), (1, 1, 6), (0, 5, 6), (2, 10, 5)])
def test_modes_of_draws_of_another_shape_are_refused(shape):
    with pytest.raises(
        ValueError,
        match=r"positions must be at least two draws \(chain, draw, 6\), got shape",
    ):
        problem().modes(np.zeros(shape))


def test_a_prior_without_variance_is_named():
    prior = lx.spaces.MaternPrior(
        BASIS, smoothness=1.5, length_scale=0.3, variance=dist.HalfCauchy(1.0)
    )
    with pytest.warns(
        UserWarning,
        match="not known from 1,000 draws of the hyperparameters, whose tails are heavy",
    ):
        problem(prior=prior).modes({"function": jnp.zeros((2, 50, 6), jnp.float32)})
