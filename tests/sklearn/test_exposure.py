"""Counts with an exposure: statsmodels' coefficients and means, one unit or another, and what is refused."""

import copy
import pickle
from functools import cache
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import statsmodels.api

from langevax import Run
from langevax.sklearn import PredictiveRegressor, load
from tests.sentences import refuses

pytestmark = pytest.mark.filterwarnings(
    "ignore::langevax.predictive_law.PredictiveWarning",
    "ignore::langevax.sampling.SamplingWarning",
)  # few rows, short paths

SMALL = {
    "posterior_shares": (1.0, 0.1),
    "num_particles": 64,
    "num_folds": None,
    "random_state": 0,
}
SHIPS = """
A60 0 127 0  A60 1 63 0  A65 0 1095 3  A65 1 1095 4  A70 0 1512 6  A70 1 3353 18  A75 1 2244 11
B60 0 44882 39  B60 1 17176 29  B65 0 28609 58  B65 1 20370 53  B70 0 7064 12  B70 1 13099 44  B75 1 7117 18
C60 0 1179 1  C60 1 552 1  C65 0 781 0  C65 1 676 1  C70 0 783 6  C70 1 1948 2  C75 1 274 1
D60 0 251 0  D60 1 105 0  D65 0 288 0  D65 1 192 0  D70 0 349 2  D70 1 1208 11  D75 1 2051 4
E60 0 45 0  E65 0 789 7  E65 1 437 7  E70 0 1157 5  E70 1 2161 12  E75 1 542 1
"""
"""Damage by waves: type and years of construction, whether it was after 1974, months of service, incidents (MASS)."""


@cache
def ships():
    """Indicators of types, years and period, months of service, and incidents."""
    words = np.array(SHIPS.split()).reshape(-1, 4)
    made, (period, months, incidents) = words[:, 0], words[:, 1:].T.astype(float)
    kinds = [np.char.startswith(made, letter) for letter in "BCDE"]
    years = [np.char.endswith(made, year) for year in ("65", "70", "75")]
    return np.column_stack([*kinds, *years, period]).astype(float), months, incidents


def beside(X, months):
    """The table with its exposure as the last column."""
    return np.column_stack([X, months])


def poisson(**more):
    return PredictiveRegressor("poisson", exposure_column=8, **SMALL | more)


@cache
def of_ships():
    X, months, incidents = ships()
    return poisson().fit(beside(X, months), incidents)


@pytest.mark.slow
def test_coefficients_and_means_are_those_of_statsmodels():
    X, months, incidents = ships()
    design = statsmodels.api.add_constant(X)
    known = statsmodels.api.Poisson(incidents, design, exposure=months).fit(disp=0)
    model = of_ships()
    np.testing.assert_array_less(
        np.abs(model.as_bayes().coef_ - known.params[1:]) / known.bse[1:], 0.35
    )
    np.testing.assert_allclose(model.as_bayes().coef_sd_, known.bse[1:], rtol=0.25)
    means = known.predict(design, exposure=months)
    likely = incidents > 5  # elsewhere the prior counts
    np.testing.assert_allclose(
        model.predict(beside(X, months))[likely], means[likely], rtol=0.15
    )
    np.testing.assert_allclose(
        model.predict(beside(X, 7 * months)), 7 * model.predict(beside(X, months))
    )
    robust = (
        statsmodels.api.Poisson(incidents, design, exposure=months)
        .fit(disp=0, cov_type="HC0")
        .bse[1:]
    )
    errors = model.robust_coef_sd(beside(X, months), incidents)
    np.testing.assert_allclose(
        errors[[0, 4, 5, 6, 7]], robust[[0, 4, 5, 6, 7]], rtol=0.1
    )


@pytest.mark.slow
def test_the_unit_of_the_exposure_and_the_place_of_its_column_are_the_users():
    X, months, incidents = ships()
    model, bayes = of_ships(), of_ships().as_bayes()
    years = poisson().fit(beside(X, months / 12), incidents)
    assert np.all(np.abs(years.as_bayes().coef_ - bayes.coef_) < 0.3 * bayes.coef_sd_)
    assert years.centre_ == pytest.approx(model.centre_ + np.log(12))
    inside = np.insert(X, 3, months, axis=1)
    named = PredictiveRegressor("poisson", exposure_column=3, **SMALL).fit(
        inside, incidents
    )
    assert named.columns_.tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert np.all(np.abs(named.as_bayes().coef_ - bayes.coef_) < 0.3 * bayes.coef_sd_)
    scores = (
        named.as_bayes().score(inside, incidents),
        bayes.score(beside(X, months), incidents),
    )
    np.testing.assert_allclose(
        *scores, atol=0.01
    )  # not those of the shares: two are level here, and seeds decide
    with refuses(ValueError, "exposure[2] -1"):
        named.predict(np.where(np.arange(len(X))[:, None] == 2, -1.0, inside))


@pytest.mark.slow
def test_an_exposure_of_one_is_none():
    X, _, incidents = ships()
    one = poisson().fit(beside(X, np.ones(len(X))), incidents)
    none = PredictiveRegressor("poisson", **SMALL).fit(X, incidents)
    np.testing.assert_array_equal(
        np.sort(one.particles_["intercept"]), np.sort(none.particles_["intercept"])
    )


@pytest.mark.slow
def test_rows_that_differ_in_exposure_alone_stay_apart_and_repeated_ones_count_twice():
    X, months, incidents = ships()
    weights = np.tile([2, 0], 17)
    weighted = poisson().fit(beside(X, months), incidents, weights)
    X, incidents, months = (
        np.repeat(part, weights, axis=0) for part in (X, incidents, months)
    )
    repeated = poisson().fit(beside(X, months), incidents)
    np.testing.assert_array_equal(
        weighted.particles_["slopes"], repeated.particles_["slopes"]
    )
    apart = poisson().fit(beside(X, months * np.tile([1.0, 3.0], 17)), incidents)
    assert apart.centre_ == pytest.approx(repeated.centre_ - np.log(2))
    assert len(np.unique(apart.law_.log_likelihoods[0])) == 34


@pytest.mark.slow
def test_intervals_and_draws_grow_with_the_exposure(tmp_path):
    X, months, incidents = ships()
    table = beside(X, months)
    model = of_ships()
    low, high = model.predict_interval(table, 0.9).T
    assert np.mean((low <= incidents) & (incidents <= high)) > 0.85
    assert np.all(model.predict_interval(beside(X, 10 * months))[:, 1] > high)
    drawn = model.sample_predictive(table, 400, random_state=1)
    assert drawn.shape == (400, len(X))
    assert np.all(drawn == np.round(drawn))
    inside = (low <= drawn) & (drawn <= high)
    assert inside.mean() > 0.88
    other = model.as_bayes()
    means = other.sample_predictive(table, 4000, random_state=1).mean(axis=0)
    np.testing.assert_allclose(means, other.predict(table), rtol=0.1, atol=0.1)
    model.save(tmp_path / "ships.safetensors")
    for one in (
        load(tmp_path / "ships.safetensors"),
        pickle.loads(pickle.dumps(model)),
    ):
        np.testing.assert_array_equal(one.predict(table), model.predict(table))
        with refuses(AttributeError):
            one.certificate()


def refusals():
    X, months, _ = ships()
    for value, shown in ((0.0, "0"), (-3.0, "-3")):
        wrong = np.where(np.arange(len(X)) == 5, value, months)
        yield poisson(), beside(X, wrong), f"exposure[5] {shown}"
    yield PredictiveRegressor(exposure_column=0), X, "exposure family='gaussian'"
    yield poisson(), X, "exposure_column"
    both = PredictiveRegressor("poisson", exposure_column=1, columns=[0, 1])
    yield both, X + 1, "exposure_column=1"


@pytest.mark.parametrize(("model", "X", "facts"), list(refusals()))
def test_what_is_no_exposure_is_refused(model, X, facts):
    with refuses(ValueError, facts):
        model.fit(X, ships()[2])


def test_a_certificate_is_that_of_the_law():
    model, calls = copy.copy(of_ships()), []
    model.law_ = SimpleNamespace(certificate=lambda **options: calls.append(options))
    model.certificate(1e7, random_state=3)
    model.certificate(random_state=3)
    model.certificate()
    first, second, own = calls
    assert (first["effort"], first["run"]) == (1e7, Run())
    assert second["effort"] is None
    assert (
        jax.random.key_data(first["key"]).tolist()
        == jax.random.key_data(second["key"]).tolist()
    )
    assert (
        jax.random.key_data(first["key"]).tolist()
        != jax.random.key_data(own["key"]).tolist()
    )
    with refuses(AttributeError, "as_bayes() posterior_shares=(1.0,)"):
        model.as_bayes().certificate()
