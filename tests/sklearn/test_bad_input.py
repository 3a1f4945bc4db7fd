"""Mistakes of users: a clear error, or documented behaviour."""

import numpy as np
import pytest

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor
from tests.sklearn.tables import QUICK, diabetes, fitted_regressor, iris


def rows(n=300):
    X, y = diabetes()
    return X[:n], y[:n]


def test_one_row_is_too_few():
    with pytest.raises(ValueError, match="minimum of 2 is required"):
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
    with pytest.raises(
        ValueError, match="X has 3 features, but MeanFieldRegressor is expecting 10"
    ):
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
    with pytest.raises(ValueError, match="y holds one class only"):
        MeanFieldClassifier(**QUICK).fit(X, np.zeros(150))


def test_targets_of_mixed_type_are_refused():
    X, _ = iris()
    with pytest.raises((TypeError, ValueError)):
        MeanFieldClassifier(**QUICK).fit(X, np.array(["a", 1] * 75, dtype=object))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"solver": "sgd"},
            "'solver' parameter of MeanFieldRegressor must be a str among {.*'mfld'.*}. Got 'sgd'",
        ),
        (
            {"temperature": "hot"},
            "'temperature' parameter .* range .* or a str among {'auto'}. Got 'hot'",
        ),
        (
            {"temperature": 0.0},
            "'temperature' parameter .* range .0.0, inf. .* Got 0.0",
        ),
        ({"relative_step_size": -1.0}, "'relative_step_size' parameter .* Got -1.0"),
        (
            {"num_particles": 1},
            "'num_particles' parameter .* an int in the range .2, inf.. Got 1",
        ),
        (
            {"num_steps": 0},
            "'num_steps' parameter .* an int in the range .1, inf. .* Got 0",
        ),
        ({"batch_size": 1.5}, "'batch_size' parameter .* an int .* or None. Got 1.5"),
        (
            {"neuron": "relu"},
            "'neuron' parameter .* a str among {.*'tanh-tanh'.*}. Got 'relu'",
        ),
        (
            {"scaling": "rows"},
            "'scaling' parameter .* among {(?=.*'auto')(?=.*'columns').*}. Got 'rows'",
        ),
        (
            {"validation": "cv"},
            "'validation' parameter .* among {(?=.*'auto')(?=.*'folds').*} or None. Got 'cv'",
        ),
        ({"temperature": float("nan")}, "'temperature' parameter .* Got nan"),
        ({"prior_precision": float("inf")}, "'prior_precision' parameter .* Got inf"),
        ({"num_steps": True}, "'num_steps' parameter .* Got True"),
        ({"output_scale": True}, "'output_scale' parameter .* Got True"),
        ({"progress": None}, "'progress' parameter .* Got None"),
        ({"devices": 0}, "devices must be at least 1, got 0"),
        (
            {"devices": {"columns": 2}},
            "devices is {'columns': 2}; pass a number, or a dict of 'particles' and 'rows'",
        ),
        ({"devices": {"rows": 0}}, r"devices\['rows'\] must be at least 1, got 0"),
        ({"devices": 99}, "devices is 99, but JAX has 1; .*'jax_num_cpu_devices', 99"),
    ],
)
def test_a_parameter_out_of_range_is_named_with_its_value(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MeanFieldRegressor(**QUICK | change).fit(*rows())


@pytest.mark.slow
def test_a_neuron_of_one_output_cannot_make_two():
    X, y = rows()
    with pytest.raises(
        ValueError,
        match=r"neuron='tanh' has one output, but 2 are needed; use neuron='tanh-tanh'",
    ):
        MeanFieldRegressor(neuron="tanh", **QUICK).fit(X, np.column_stack([y, y]))
    assert MeanFieldRegressor(neuron="tanh", **QUICK).fit(X, y).score(X, y) > 0.4


def test_weights_must_leave_something():
    X, y = rows()
    with pytest.raises(ValueError, match="at least one non-zero number"):
        MeanFieldRegressor(**QUICK).fit(X, y, np.zeros(300))


def test_targets_that_are_not_numbers_or_labels_are_refused_with_a_remedy():
    X = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(
        ValueError,
        match=r"'a', not numbers; pass y.astype\(float\), or for classes fit a classifier",
    ):
        MeanFieldRegressor().fit(X, ["a", "b", "c"] * 10)
    for label in (None, float("nan")):
        with pytest.raises(ValueError, match=rf"y\[1\] is {label}, not a label"):
            MeanFieldClassifier().fit(X, ["a", label, "b"] * 10)


@pytest.mark.slow
def test_two_rows_are_fitted_without_warnings():
    X = np.array([[0.0], [1.0]])
    model = MeanFieldRegressor(num_particles=10, num_steps=10, random_state=0).fit(
        X, [0.0, 1.0]
    )
    assert np.isfinite(model.predict(X)).all()
