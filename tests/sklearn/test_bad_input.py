"""Mistakes of users: a clear error, or documented behaviour."""

import numpy as np
import pytest

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor
from tests.sentences import refuses
from tests.sklearn.tables import QUICK, diabetes, fitted_regressor, iris


def rows(n=300):
    X, y = diabetes()
    return X[:n], y[:n]


def test_one_row_is_too_few():
    with refuses(ValueError, "2"):
        MeanFieldRegressor(**QUICK).fit(*rows(1))


@pytest.mark.slow
def test_a_constant_column_counts_for_nothing():
    """Neither in training nor when it brings something else later."""
    X, y = rows()
    model = MeanFieldRegressor(**QUICK).fit(np.column_stack([X, np.full(300, 1e20)]), y)
    same, other = (
        model.predict(np.column_stack([X, np.full(300, value)]))
        for value in (1e20, -5.0)
    )
    np.testing.assert_array_equal(same, other)
    assert model.score(np.column_stack([X, np.zeros(300)]), y) > 0.45


@pytest.mark.slow
def test_a_constant_target_is_predicted():
    X, _ = rows()
    model = MeanFieldRegressor(**QUICK).fit(X, np.full(300, 7.25))
    np.testing.assert_allclose(model.predict(X), 7.25, atol=2.0)


@pytest.mark.slow
def test_the_number_of_columns_must_stay():
    with refuses(ValueError, "3 MeanFieldRegressor 10"):
        fitted_regressor().predict(np.zeros((2, 3)))


@pytest.mark.slow
def test_a_class_with_one_member_is_a_class():
    X, y = iris()
    rare = y[:100].copy()
    rare[rare == "setosa"] = "virginica"
    rare[0] = "setosa"
    model = MeanFieldClassifier(**QUICK).fit(X[:100], rare)
    assert list(model.classes_) == ["setosa", "versicolor", "virginica"]
    assert model.predict_proba(X).shape == (150, 3)


def test_one_class_is_too_few():
    X, _ = iris()
    with refuses(ValueError, "y"):
        MeanFieldClassifier(**QUICK).fit(X, np.zeros(150))


def test_targets_of_mixed_type_are_refused():
    X, _ = iris()
    with pytest.raises((TypeError, ValueError)):
        MeanFieldClassifier(**QUICK).fit(X, np.array(["a", 1] * 75, dtype=object))


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (
            {"solver": "sgd"},
            "'solver' MeanFieldRegressor 'mfld' 'sgd'",
        ),
        (
            {"temperature": "hot"},
            "'temperature' 'auto' 'hot'",
        ),
        (
            {"temperature": 0.0},
            "'temperature' 0.0",
        ),
        ({"relative_step_size": -1.0}, "'relative_step_size' -1.0"),
        ({"relative_step_size": 2.0}, "'relative_step_size' 2.0"),
        (
            {"num_particles": 15},
            "'num_particles' 15 16",
        ),
        (
            {"num_steps": 0},
            "'num_steps' 0",
        ),
        ({"batch_size": 1.5}, "'batch_size' 1.5"),
        (
            {"stop": "certified"},
            "'stop' 'plateau' 'certified'",
        ),
        (
            {"scaling": "rows"},
            "'scaling' 'rows'",
        ),
        (
            {"validation": "cv"},
            "'validation' 'cv'",
        ),
        ({"temperature": float("nan")}, "'temperature' nan"),
        ({"prior_precision": float("inf")}, "'prior_precision' inf"),
        ({"num_steps": True}, "'num_steps' True"),
        ({"output_scale": True}, "'output_scale' True"),
        ({"run": "folder"}, "'run' 'folder'"),
        ({"sharding": 4}, "'sharding' 4"),
    ],
)
def test_a_parameter_out_of_range_is_named_with_its_value(change, facts):
    with refuses((ValueError, TypeError), facts):
        MeanFieldRegressor(**QUICK | change).fit(*rows())


def test_weights_must_leave_something():
    X, y = rows()
    with refuses(ValueError, "weights"):
        MeanFieldRegressor(**QUICK).fit(X, y, np.zeros(300))


def test_targets_that_are_not_numbers_or_labels_are_refused_with_a_remedy():
    X = np.random.default_rng(0).normal(size=(30, 2))
    with refuses(ValueError, "'a' y.astype(float)"):
        MeanFieldRegressor().fit(X, ["a", "b", "c"] * 10)
    for label in (None, float("nan")):
        with refuses(ValueError, f"y[1] {label}"):
            MeanFieldClassifier().fit(X, ["a", label, "b"] * 10)


@pytest.mark.slow
def test_two_rows_are_fitted_without_warnings():
    X = np.array([[0.0], [1.0]])
    model = MeanFieldRegressor(num_particles=16, num_steps=10, random_state=0).fit(
        X, [0.0, 1.0]
    )
    assert np.isfinite(model.predict(X)).all()
