"""Offsets of linear predictors and laws of several seeds: coefficients by maximum likelihood, and refusals."""

import copy
from functools import cache

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from langevax.sklearn import PredictiveClassifier, PredictiveRegressor
from tests.sentences import refuses

pytestmark = pytest.mark.filterwarnings(
    "ignore::langevax.predictive_law.PredictiveWarning"
)  # short paths

SMALL = {
    "posterior_shares": (1.0,),
    "num_particles": 64,
    "num_folds": None,
    "random_state": 0,
}
N = 300


@cache
def rows():
    """Two columns, and an offset that is far from 0 and goes with the first of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2)) * [1.0, 5.0]
    return X, 3 + 0.5 * X[:, 0] + rng.normal(size=N), rng


def beside(X, offset):
    return np.insert(X, 1, offset, axis=1)


@pytest.mark.slow
def test_numbers_less_their_offset_are_what_is_modelled():
    X, offset, rng = rows()
    y = 2 + X @ [1.0, 0.3] + offset + rng.normal(size=N)
    model = PredictiveRegressor(offset_column=1, **SMALL).fit(beside(X, offset), y)
    plain = PredictiveRegressor(**SMALL).fit(X, y - offset)
    assert model.columns_.tolist() == [0, 2]
    known = sm.OLS(y - offset, sm.add_constant(X)).fit()
    np.testing.assert_array_less(
        np.abs(model.coef_ - known.params[1:]) / known.bse[1:], 0.25
    )
    np.testing.assert_allclose(model.coef_sd_, known.bse[1:], rtol=0.25)
    np.testing.assert_allclose(
        model.predict(beside(X, offset)), known.fittedvalues + offset, atol=0.05
    )
    densities = (
        model.log_density(beside(X, offset), y),
        plain.log_density(X, y - offset),
    )
    np.testing.assert_allclose(*densities, atol=0.1)
    low, high = model.predict_interval(beside(X, offset)).T - offset
    assert np.mean((low <= y - offset) & (y - offset <= high)) > 0.85


@pytest.mark.slow
def test_the_offset_of_counts_is_the_logarithm_of_an_exposure():
    X, offset, rng = rows()
    y, exposure = rng.poisson(np.exp(0.4 * X[:, 0] + offset - 3)), np.exp(offset)
    model = PredictiveRegressor("poisson", offset_column=1, **SMALL).fit(
        beside(X, offset), y
    )
    rates = PredictiveRegressor("poisson", exposure_column=2, **SMALL)
    known = rates.fit(np.column_stack([X, exposure]), y)
    bayes = sm.Poisson(y, sm.add_constant(X), offset=offset).fit(disp=0)
    for one in (model, known):
        np.testing.assert_array_less(
            np.abs(one.coef_ - bayes.params[1:]) / bayes.bse[1:], 0.25
        )
    assert model.centre_ == pytest.approx(known.centre_)
    both = PredictiveRegressor("poisson", offset_column=1, exposure_column=3, **SMALL)
    both.fit(np.column_stack([beside(X, offset - 1), np.full(N, np.e)]), y)
    np.testing.assert_allclose(  # they add up
        both.predict(np.column_stack([beside(X, offset), np.ones(N)])),
        model.predict(beside(X, offset)),
    )


@pytest.mark.slow
def test_log_odds_are_those_of_maximum_likelihood_with_the_offset():
    X, offset, rng = rows()
    y = rng.random(N) < expit(X @ [0.8, -0.1] + offset - 3.5)
    model = PredictiveClassifier(offset_column=1, **SMALL).fit(beside(X, offset), y)
    design, known = sm.add_constant(X), np.array([-offset.mean(), 0.0, 0.0])
    for _ in range(30):  # Newton's steps
        p = expit(design @ known + offset)
        covariance = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)
        known = known + covariance @ design.T @ (y - p)
    errors = np.sqrt(np.diag(covariance))[1:]
    np.testing.assert_array_less(np.abs(model.coef_ - known[1:]) / errors, 0.25)
    np.testing.assert_allclose(model.coef_sd_, errors, rtol=0.25)
    np.testing.assert_allclose(
        model.predict_proba(beside(X, offset))[:, 1], p, atol=0.03
    )
    own = np.log(np.where(y, *model.predict_proba(beside(X, offset)).T[::-1]))
    np.testing.assert_allclose(model.log_density(beside(X, offset), y), own, atol=1e-4)
    single = copy.copy(model)
    single.particles_ = {name: leaf[:1] for name, leaf in model.particles_.items()}
    moved = logit(
        [single.predict_proba(beside(X, offset + shift))[:, 1] for shift in (0.0, 0.7)]
    )
    np.testing.assert_allclose(moved[1] - moved[0], 0.7, atol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "facts"),
    [
        (
            {"offset_column": 3},
            "offset_column 0 2 3",
        ),
        ({"offset_column": -1}, "'offset_column'"),
        (
            {"offset_column": 1, "columns": [0, 1]},
            "columns offset_column=1",
        ),
        (
            {"offset_column": 1, "exposure_column": 1},
            "offset_column exposure_column 1",
        ),
        (
            {"exposure_column": 3},
            "exposure_column 0 2 3",
        ),
    ],
)
def test_columns_that_cannot_be_offsets_are_refused(parameters, facts):
    X, offset, _ = rows()
    with refuses(ValueError, facts):
        PredictiveRegressor("poisson", **SMALL, **parameters).fit(
            np.abs(beside(X, offset)), np.arange(N) % 4
        )
    with refuses(ValueError, "0"):
        PredictiveRegressor(offset_column=1, **SMALL).fit(beside(X, offset), offset)


@pytest.mark.slow
def test_laws_of_other_seeds_agree_with_the_first():
    X, _, rng = rows()
    y = rng.poisson(np.exp(0.4 * X[:, 0] + rng.normal(size=N)))
    options = SMALL | {"posterior_shares": (1.0, 0.1)}
    laws = [
        PredictiveRegressor("poisson", **options | {"random_state": seed})
        .fit(X, y)
        .law_
        for seed in range(3)
    ]
    scores, errors = np.array(
        [(one.path.fit[1], one.path.fit_error[1]) for one in laws]
    ).T
    assert len(np.unique(scores)) == 3
    assert np.ptp(scores) < 3 * np.hypot(*np.sort(errors)[1:])
