"""Generalised linear models as estimators: what they gain where the model is wrong, and what they refuse."""

import pickle
from functools import cache

import jax.numpy as jnp
import numpy as np
import pandas
import pytest
import statsmodels.api
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.utils.estimator_checks import estimator_checks_generator

from langevax.sklearn import PredictiveClassifier, PredictiveRegressor, load
from tests.sentences import refuses

pytestmark = pytest.mark.filterwarnings(
    "ignore::langevax.predictive_law.PredictiveWarning"
)  # paths are short

SMALL = {
    "posterior_shares": (1.0, 0.1),
    "num_particles": 64,
    "num_folds": None,
    "random_state": 0,
}


@cache
def visits(n=400):
    """Counts whose rates differ by more than their columns say."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 2)) * [1.0, 10.0] + [0.0, 50.0]
    return X, rng.poisson(np.exp(0.5 + 0.5 * X[:, 0] + rng.normal(size=n))).astype(
        float
    )


@cache
def of_visits():
    X, y = visits()
    return PredictiveRegressor("poisson", **SMALL).fit(X[:200], y[:200])


@cache
def of_pain():
    X, _ = visits()
    pain = np.digitize(
        X[:, 0] + np.random.default_rng(2).logistic(size=400) / 2, [-0.5, 0.5]
    )
    words = np.array(["none", "mild", "severe"])
    return PredictiveClassifier(words, **SMALL).fit(X[:200], words[pain[:200]]), words[
        pain
    ]


@pytest.mark.slow
def test_a_wrong_model_of_counts_predicts_better_by_the_law_than_by_bayes():
    X, y = visits()
    model, new = of_visits(), (X[200:], y[200:])
    bayes = model.as_bayes()
    assert model.posterior_share_ == 0.1
    assert bayes.posterior_share_ == 1
    assert model.score(*new) > bayes.score(*new) + 0.2
    gain, promise = model.score(*new) - bayes.score(*new), model.comparison_
    assert abs(gain - promise.nats) < 3 * promise.standard_error
    assert "Bayes loses" in str(model.comparison_)


def test_intervals_cover_new_counts_where_those_of_bayes_do_not():
    X, y = visits()
    share = {}
    for name, model in {"law": of_visits(), "Bayes": of_visits().as_bayes()}.items():
        low, high = model.predict_interval(X[200:], 0.9).T
        share[name] = np.mean((low <= y[200:]) & (y[200:] <= high))
        assert np.all(low == np.round(low))
    assert share["law"] > 0.87
    assert share["Bayes"] < 0.8
    narrow = of_visits().predict_interval(X[200:], 0.5)
    assert np.all(np.ptp(narrow, axis=1) <= high - low + 20)
    assert np.mean(np.ptp(narrow, axis=1)) < 0.7 * np.mean(
        np.ptp(of_visits().predict_interval(X[200:]), axis=1)
    )


def test_means_and_coefficients_are_those_of_the_posterior():
    X, y = visits()
    bayes = of_visits().as_bayes()
    likelihood = PoissonRegressor(alpha=0, tol=1e-8, max_iter=1000).fit(
        X[:200] / [1, 10], y[:200]
    )
    np.testing.assert_allclose(
        bayes.coef_, likelihood.coef_ / [1, 10], atol=3 * bayes.coef_sd_.max()
    )
    np.testing.assert_allclose(bayes.coef_[0], likelihood.coef_[0], rtol=0.05)
    np.testing.assert_allclose(
        of_visits().predict(X[200:]), likelihood.predict(X[200:] / [1, 10]), rtol=0.1
    )


def test_scores_are_those_of_the_law():
    X, y = visits()
    model = of_visits()
    rows = {"x": model.standardiser_(X)} | model._family().rows(
        y, np.full(len(y), model.centre_), model.scale_
    )
    expected = model.law_.log_score(
        {name: jnp.asarray(column) for name, column in rows.items()}
    )
    np.testing.assert_allclose(model.log_density(X, y), expected, rtol=1e-5)


@pytest.mark.slow
def test_densities_are_in_the_units_of_the_targets():
    X, _ = visits()
    y = 3 * X[:, 0] + np.random.default_rng(0).normal(size=400)
    one, other = (
        PredictiveRegressor(**SMALL).fit(X[:200], y[:200] * unit) for unit in (1, 100)
    )
    assert one.posterior_share_ == 1
    np.testing.assert_allclose(
        other.score(X[200:], 100 * y[200:]),
        one.score(X[200:], y[200:]) - np.log(100),
        atol=0.01,
    )
    np.testing.assert_allclose(
        one.score(X[200:], y[200:]), -np.log(2 * np.pi * np.e) / 2, atol=0.1
    )
    low, high = other.predict_interval(X[200:]).T
    assert 0.84 < np.mean((low <= 100 * y[200:]) & (100 * y[200:] <= high)) < 0.96


@pytest.mark.slow
def test_classes_have_their_order():
    model, pain = of_pain()
    X, _ = visits()
    probabilities = model.predict_proba(X[200:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert model.classes_.tolist() == ["none", "mild", "severe"]
    high, low = X[200:, 0] > 1.5, X[200:, 0] < -1.5
    assert set(model.predict(X[200:])[high]) == {"severe"}
    assert set(model.predict(X[200:])[low]) == {"none"}
    places = [model.classes_.tolist().index(word) for word in pain[200:]]
    own = np.log(probabilities[np.arange(200), places])
    np.testing.assert_allclose(
        model.log_density(X[200:], pain[200:]), own, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        model.predict_log_proba(X), np.log(model.predict_proba(X))
    )


@pytest.mark.slow
def test_a_row_of_weight_two_is_the_same_row_twice():
    X, y = visits()
    weights = np.tile([2, 0, 1, 1], 50)  # as many rows as the others have: one program
    once = PredictiveRegressor("poisson", **SMALL).fit(
        X[:200], y[:200], sample_weight=weights
    )
    twice = PredictiveRegressor("poisson", **SMALL).fit(
        np.repeat(X[:200], weights, 0), np.repeat(y[:200], weights)
    )
    np.testing.assert_array_equal(once.particles_["slopes"], twice.particles_["slopes"])


@pytest.mark.slow
def test_fractional_weights_are_relative_and_have_the_coefficients_of_maximum_likelihood():
    X, y = visits()
    weights = np.random.default_rng(3).uniform(0.2, 3.0, 400)
    model = PredictiveRegressor("poisson", **SMALL).fit(X, y, sample_weight=weights)
    relative = weights / weights.mean()
    exact = PoissonRegressor(alpha=0, tol=1e-8, max_iter=1000)
    known = exact.fit(X / [1, 10], y, sample_weight=weights)
    slopes, means = known.coef_ / [1, 10], known.predict(X / [1, 10])
    design = statsmodels.api.add_constant(X)
    scores = (relative * (y - means))[:, None] * design
    inverse = np.linalg.inv(design.T @ (design * (relative * means)[:, None]))
    errors, bayes = np.sqrt(np.diag(inverse))[1:], model.as_bayes()
    assert np.all(np.abs(bayes.coef_ - slopes) < 0.25 * errors)
    np.testing.assert_allclose(bayes.coef_sd_, errors, rtol=0.25)
    alone = exact.fit(X / [1, 10], y).coef_ / [1, 10]
    assert np.any(np.abs(alone - slopes) > 0.5 * errors)  # weights matter here
    robust = np.sqrt(np.diag(inverse @ scores.T @ scores @ inverse))[1:]
    np.testing.assert_allclose(
        model.robust_coef_sd(X, y, sample_weight=weights), robust, rtol=0.1
    )
    np.testing.assert_allclose(model.path_.weights, relative, rtol=1e-6)
    assert model.score(X, y, weights) > model.as_bayes().score(X, y, weights) + 0.1
    scaled = PredictiveRegressor("poisson", **SMALL).fit(
        X, y, sample_weight=10 * weights
    )
    np.testing.assert_allclose(scaled.coef_, model.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_fractional_weights_of_two_classes_are_those_of_logistic_regression():
    X, _ = visits()
    y = X[:, 0] + np.random.default_rng(0).logistic(size=400) > 0.5
    weights = np.where(y, 2.5, 0.7)
    options = SMALL | {"posterior_shares": (1.0,)}
    model = PredictiveClassifier(**options).fit(X, y, sample_weight=weights)
    likelihood = LogisticRegression(C=1e6, max_iter=1000).fit(
        X / [1, 10], y, sample_weight=weights
    )
    np.testing.assert_allclose(
        model.predict_proba(X), likelihood.predict_proba(X / [1, 10]), atol=0.03
    )
    alone = LogisticRegression(C=1e6, max_iter=1000).fit(X / [1, 10], y)
    assert (
        np.abs(
            alone.predict_proba(X / [1, 10]) - likelihood.predict_proba(X / [1, 10])
        ).max()
        > 0.2
    )


@pytest.mark.slow
def test_saved_and_pickled_models_predict_the_same(tmp_path):
    X, y = visits()
    for model, targets in ((of_visits(), y), of_pain()):
        model.save(tmp_path / "model.safetensors")
        for other in (
            load(tmp_path / "model.safetensors"),
            pickle.loads(pickle.dumps(model)),
        ):
            np.testing.assert_array_equal(
                other.log_density(X, targets), model.log_density(X, targets)
            )
            assert str(other.comparison_) == str(model.comparison_)
            assert not hasattr(other, "law_")


def refusals():
    X, y = visits()
    X, y = X[:30], y[:30]
    counts, numbers, classes = (
        PredictiveRegressor("poisson"),
        PredictiveRegressor(),
        PredictiveClassifier(),
    )
    words = np.array(["a", "b", "c"])[np.arange(30) % 3]
    frame = pandas.DataFrame({"age": X[:, 0], "year": np.full(30, 1984.0)})
    yield counts, (X, y - 1), {}, "family='poisson'"
    yield (
        PredictiveRegressor("negative binomial"),
        (X, y + 0.5),
        {},
        "family='gaussian'",
    )
    yield counts, (X, 0 * y), {}, "0"
    yield counts, (X, y + 2e6), {}, "0 1 1,000,000"
    yield numbers, (X, 0 * y), {}, ""
    yield numbers, (frame, y), {}, "1984"
    yield numbers, (X, y), {"sample_weight": np.full(30, 4000)}, "120,000"
    yield classes, (X, words), {}, "3"
    yield (
        PredictiveClassifier(order=["a", "b"]),
        (X, words),
        {},
        "order",
    )
    yield PredictiveRegressor("binomial"), (X, y), {}, "'family'"


@pytest.mark.parametrize(("model", "rows", "more", "facts"), list(refusals()))
def test_bad_input_is_refused_in_a_sentence(model, rows, more, facts):
    with refuses(ValueError, facts):
        model.fit(*rows, **more)


def test_targets_without_noise_are_refused():
    X, _ = visits()
    with refuses(ValueError, "y 2 400"):
        PredictiveRegressor("gaussian").fit(X, 3 * X[:, 0] - X[:, 1] + 7)


def test_targets_of_other_kinds_are_not_scored():
    X, y = visits()
    with refuses(ValueError):
        of_visits().log_density(X, y + 0.5)
    with refuses(ValueError, "y 'awful'"):
        of_pain()[0].log_density(X[:1], ["awful"])
    with refuses(ValueError, "y 3 400"):
        of_visits().log_density(X, y[:3])
    with refuses(ValueError, "coverage 0 1"):
        of_visits().predict_interval(X, 90)


FEW = {"posterior_shares": (1.0, 0.2), "num_particles": 16, "num_folds": None}
CHEAP = {
    "check_no_attributes_set_in_init",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
    "check_complex_data",
    "check_estimator_sparse_tag",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
}
REFUSED = {
    "check_classifiers_classes": "three words have no order",
    "check_sample_weights_shape": "targets without noise",
    "check_sample_weights_not_overwritten": "targets without noise",
    "check_regressors_no_decision_function": "targets without noise",
    "check_sample_weight_equivalence_on_dense_data": "as many columns as rows",
}


TELLING = {
    "check_classifiers_train",
    "check_regressors_train",
    "check_dict_unchanged",
    "check_estimators_dtypes",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in_after_fitting",
    "check_sample_weights_list",
    "check_supervised_y_2d",
}
"""Checks of which each tells something that the others do not."""
OF_CLASSES = {
    "check_classifiers_train",
    "check_estimators_dtypes",
    "check_estimators_pickle",
    "check_supervised_y_2d",
}
"""Those that read classes; the rest is the same code as for numbers."""


AS_THEY_ARE = {
    "check_classifiers_train",
    "check_regressors_train",
    "check_fit2d_1feature",
}
"""Those that run on the rows as they are: they read what a fit has learned, or have a single column."""
NUM_ROWS = 100


class OfOneSize:
    """The rows again and again up to `NUM_ROWS`, so that tables of all sizes share compiled programs.

    The draws and the path alone see them; all else sees the table as it is.
    """

    def _posterior(self, rows, weights):
        assert weights is None
        rows = {
            name: np.resize(column, (NUM_ROWS, *column.shape[1:]))
            for name, column in rows.items()
        }
        return super()._posterior(rows, weights)


class RegressorOfOneSize(OfOneSize, PredictiveRegressor):
    pass


class ClassifierOfOneSize(OfOneSize, PredictiveClassifier):
    pass


def checks(cheap):
    two = {"columns": [0, 1]}  # of tables with 2 to 20
    for plain, of_one_size, telling in (
        (PredictiveRegressor(**FEW), RegressorOfOneSize(**FEW, **two), TELLING),
        (PredictiveClassifier(**FEW), ClassifierOfOneSize(**FEW, **two), OF_CLASSES),
    ):
        for estimator in (plain, of_one_size):
            for model, check in estimator_checks_generator(
                estimator, mark="skip", expected_failed_checks=REFUSED
            ):
                name = getattr(check, "func", check).__name__
                as_they_are = cheap or name in AS_THEY_ARE
                if name in (CHEAP if cheap else telling) and as_they_are == (
                    estimator is plain
                ):
                    yield pytest.param(
                        model, check, id=f"{type(plain).__name__}-{name}"
                    )


@pytest.mark.parametrize(("model", "check"), list(checks(cheap=True)))
def test_scikit_learn_accepts_it_where_that_is_cheap(model, check):
    check(model)


@pytest.mark.slow
@pytest.mark.mostly_compiling
@pytest.mark.parametrize(("model", "check"), list(checks(cheap=False)))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings(
    "ignore::langevax.sampling.SamplingWarning"
)  # of few rows without a relation
def test_scikit_learn_accepts_it(model, check):
    check(model)


def test_columns_say_which_inputs_have_slopes():
    X, y = visits()
    constant = np.column_stack([X[:200], np.ones(200)])
    model = PredictiveRegressor("poisson", columns=[0, 1], **SMALL).fit(
        constant, y[:200]
    )
    assert np.array_equal(model.coef_, of_visits().coef_)
    assert np.array_equal(model.predict(constant), of_visits().predict(X[:200]))
    for wrong in ([0, 3], [0, 0], [], [[0]], [-1], [0.5]):
        with refuses(ValueError, "columns 0 2"):
            PredictiveRegressor("poisson", columns=wrong, **SMALL).fit(
                constant, y[:200]
            )


@pytest.mark.slow
def test_robust_errors_are_those_of_statsmodels_by_rows_and_by_groups():
    X, y = (part[:200] for part in visits())
    known = statsmodels.api.Poisson(y, statsmodels.api.add_constant(X))
    groups = np.arange(200) // 4
    errors = of_visits().robust_coef_sd(X, y), of_visits().robust_coef_sd(X, y, groups)
    options = (
        {"cov_type": "HC0"},
        {"cov_type": "cluster", "cov_kwds": {"groups": groups}},
    )
    for error, option in zip(errors, options, strict=True):
        assert np.all(np.abs(error / known.fit(disp=0, **option).bse[1:] - 1) < 0.02)
    assert np.all(errors[0] > 1.5 * of_visits().as_bayes().coef_sd_)


@pytest.mark.slow
def test_sets_hold_the_most_probable_classes_up_to_their_coverage():
    model, labels = of_pain()
    X, _ = visits()
    sets, probabilities = model.predict_set(X[200:], 0.8), model.predict_proba(X[200:])
    assert np.all(np.sum(sets * probabilities, axis=1) >= 0.8)
    least = np.where(sets, probabilities, 2.0).min(axis=1)
    assert np.all(np.sum(sets * probabilities, axis=1) - least < 0.8)
    places = np.argmax(labels[200:, None] == model.classes_, axis=1)
    assert 0.75 < np.mean(sets[np.arange(200), places]) < 0.97
    with refuses(ValueError, "coverage 0 1"):
        model.predict_set(X, 1.0)
