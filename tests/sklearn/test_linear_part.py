"""A network on the residuals of ridge regression: chosen where that predicts better, and in every prediction."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from langevax.sklearn import FunctionalMeanFieldRegressor, MeanFieldRegressor, load
from langevax.sklearn.baselines import RIDGE_PENALTIES
from tests.sentences import refuses, tells
from tests.sklearn.tables import QUICK

FOLDS = QUICK | {"validation": "auto"}


def table(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(3.0, [1, 2, 5], size=(n, 3))
    return X, 10 + X @ [2.0, -1.0, 0.5] + rng.normal(size=n)


def standardised(X):
    return (X - X.mean(0)) / X.std(0)


@pytest.fixture(scope="module")
def model():
    return MeanFieldRegressor(**FOLDS).fit(*table())


@pytest.mark.slow
def test_a_linear_law_is_predicted_as_well_as_by_ridge_regression(model):
    X, y = table(4000, seed=1)
    ridge = RidgeCV(RIDGE_PENALTIES).fit(*table())
    alone = MeanFieldRegressor(**FOLDS, linear_part=False).fit(*table())
    assert model.linear_part_ is not None
    assert alone.linear_part_ is None
    assert alone.score(X, y) < ridge.score(X, y) - 0.005
    assert model.score(X, y) > ridge.score(X, y) - 0.002
    tells(model.temperature_reason_)


@pytest.mark.slow
def test_a_law_that_is_not_linear_gets_no_linear_part():
    X, _ = table()
    assert MeanFieldRegressor(**FOLDS).fit(X, np.abs(X[:, 0] - 3)).linear_part_ is None


def test_the_network_is_trained_on_residuals_and_predictions_have_both():
    X, y = table()
    model = MeanFieldRegressor(**QUICK, linear_part=True).fit(X, y)
    t = (y - y.mean()) / y.std()
    line = RidgeCV(RIDGE_PENALTIES).fit(standardised(X), t).predict(standardised(X))
    np.testing.assert_allclose(
        model.network_.task.targets,
        (t - line)[np.argsort(model.row_places_)],
        atol=1e-5,
    )
    np.testing.assert_allclose(
        model.network_.task.regressands[:, 0], model.network_.task.targets, atol=1e-5
    )
    np.testing.assert_allclose(model.linear_part_(X), line, atol=1e-5)
    np.testing.assert_allclose(
        model.predict(X), y.mean() + y.std() * (model.outputs(X) + line), rtol=1e-5
    )
    stages = np.mean([*model.staged_predict(X)][-1:], 0)
    assert np.corrcoef(stages, y)[0, 1] > 0.9


def test_each_fold_has_the_ridge_regression_of_its_own_rows(model):
    X, y = (part[np.argsort(model.row_places_)] for part in table())
    t = (y - y.mean()) / y.std()
    mean, deviation = X.mean(0), X.std(0)
    outputs = model._fold_outputs(X)
    for number, line in enumerate(model.held_out_.lines):
        held = model.held_out_.fold == number
        ridge = RidgeCV(RIDGE_PENALTIES).fit((X[~held] - mean) / deviation, t[~held])
        np.testing.assert_allclose(
            line(X), ridge.predict((X - mean) / deviation), atol=1e-5
        )
        np.testing.assert_allclose(
            model.scores_[held], np.abs(t[held] - outputs[number][held]), atol=1e-4
        )
    assert len(model.held_out_.lines) == 5


def test_predictions_and_intervals_survive_saving_and_a_certificate_asks_for_the_rows(
    model, tmp_path
):
    X, y = table()
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(loaded.predict_interval(X), model.predict_interval(X))
    loaded.attach_rows(X, y)
    np.testing.assert_allclose(
        loaded.network_.task.targets, model.network_.task.targets, atol=1e-6
    )


def test_intervals_cover_new_rows(model):
    X, y = table(2000, seed=2)
    low, high = model.predict_interval(X).T
    assert 0.87 < np.mean((low <= y) & (y <= high)) < 0.94


@pytest.mark.slow
def test_several_outputs_and_weights():
    X, y = table()
    both = np.stack([y, -2 * y + X[:, 0]], 1)
    weights = np.random.default_rng(0).integers(0, 3, 200)
    model = MeanFieldRegressor(**FOLDS, linear_part=True).fit(
        X, both, sample_weight=weights
    )
    repeated = np.repeat(np.arange(200), weights)
    again = MeanFieldRegressor(**FOLDS, linear_part=True).fit(
        X[repeated], both[repeated]
    )
    np.testing.assert_allclose(model.predict(X), again.predict(X), rtol=1e-4)
    assert model.predict(X).shape == (200, 2)
    assert model.score(X, both) > 0.8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::langevax.sklearn.LinearModelWarning")
def test_what_has_no_linear_part_says_so():
    X, y = table()
    with refuses(ValueError, "linear_part"):
        MeanFieldRegressor(linear_part="yes").fit(X, y)
    network = MeanFieldRegressor(num_steps=20, num_particles=20, validation="folds")
    curves = FunctionalMeanFieldRegressor(estimator=network, random_state=0)
    curves.fit(np.cumsum(X[:60], 1), y[:60])
    assert curves.estimator_.linear_part_ is None
