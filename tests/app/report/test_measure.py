"""Relevance and frames of a model whose function is known."""

import dataclasses
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from langevax.app.evaluation import holdout
from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.evaluation.metrics import positive_class
from langevax.app.report import fit_page, measure
from langevax.app.report.effects import effects_of, far_off_rows
from langevax.meanfield import Certificate
from langevax.problems.neurons import Tanh, TanhTanh
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor
from langevax.sklearn.table import Standardiser

pytestmark = pytest.mark.mostly_compiling

STEPS = 130
RANDOM = np.random.default_rng(0)


class Known(BaseEstimator):
    """Pulls -1 and 1, a function 3 x + 2 [k = a] that grows with the step; or the classes it implies."""

    def __init__(self, outputs=1, features=4):
        self.neuron_ = TanhTanh(10.0, None if outputs == 1 else outputs)
        particles = RANDOM.normal(size=(STEPS, 7, outputs + features + 1))
        self.history_ = {"steps": 10 * np.arange(STEPS), "particles": particles}

    def fit(self, X, y):
        return self

    def predict(self, X):
        return 3 * X[:, 0] + 2 * X[:, 2]

    def predict_proba(self, X, share=1.0):
        p = 1 / (1 + np.exp(-share * self.predict(X)))
        return np.column_stack([1 - p, p])

    def staged_predict(self, X):
        return (self.predict(X) * i / STEPS for i in range(STEPS))

    def staged_predict_proba(self, X):
        return (self.predict_proba(X, i / STEPS) for i in range(STEPS))


def split_of(task):
    inputs = np.column_stack(
        [RANDOM.normal(size=(200, 2)), np.eye(2)[RANDOM.integers(0, 2, 200)]]
    )
    targets = Known().predict(inputs)
    targets = targets if task == "regression" else (targets > 0).astype(int)
    return TrainTestSplit(
        table="t.csv",
        target="y",
        task=task,
        classes=() if task == "regression" else ("no", "yes"),
        names=("x", "noise", "k=a", "k=b"),
        groups={"noise": [1], "k": [2, 3], "x": [0]},
        quantities=(0, 1),
        inputs=inputs,
        targets=targets,
        train=np.arange(150),
        test=np.arange(150, 200),
    )


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_relevance_is_that_of_whole_columns(task):
    relevance = holdout.relevance_of(Known(), split_of(task), 0)
    assert relevance.names == ("noise", "k", "x")
    assert relevance.mean[0] == 0
    assert relevance.mean[2] > relevance.mean[1] > 0


class Steep(Known):
    """A cloud of tanh(x + k) and, through the second column of k, as much again; the noise has small weights."""

    particles_ = np.tile(np.float32([1.0, 0.1, 1.0, 1.5, 0.0]), (20, 1))
    standardiser_ = Standardiser(np.zeros(4), np.ones(4))

    def __init__(self):
        super().__init__()
        self.neuron_ = Tanh(1.0)


def test_of_very_many_columns_those_with_the_steepest_outputs_are_shuffled(monkeypatch):
    split = split_of("regression")
    assert holdout.relevance_of(Steep(), split, 0).num_columns == 3
    monkeypatch.setattr(holdout, "MOST_SHUFFLED", 2)
    relevance = holdout.relevance_of(Steep(), split, 0)
    assert (relevance.names, relevance.num_columns) == (("k", "x"), 3)
    assert (
        relevance.mean[1] > relevance.mean[0] > 0
    )  # shuffled as whole columns of the table
    monkeypatch.setattr(holdout, "MOST_SHUFFLED", 1)
    assert holdout.relevance_of(Steep(), split, 0).names == (
        "k",
    )  # two inputs of slopes 1 and 1.5, where x has 1


def test_the_curve_follows_the_quantity_that_matters_most_at_a_hundred_steps():
    split = split_of("regression")
    motion = measure.motion_of(Known(), split, holdout.relevance_of(Known(), split, 0))
    assert (motion.x_label, motion.y_label) == ("weight of x", "weight of noise")
    assert motion.x.shape == motion.y.shape == motion.outer.shape == (100, 7)
    assert (motion.steps[0], motion.steps[-1]) == (0, 1290)
    assert np.abs(motion.outer).max() <= 10
    curve = motion.fit
    np.testing.assert_allclose(
        np.diff(curve.values[-1]) / np.diff(curve.grid), 3 * 129 / 130, rtol=1e-5
    )
    assert len(curve.data_x) == len(curve.data_y) == 150
    assert (curve.x_label, curve.y_label) == ("x", "y")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_weights_are_those_of_columns_where_a_network_sees_their_pieces_too(task):
    split, options = (
        split_of(task),
        {
            "scaling": "pieces",
            "temperature": 0.01,
            "num_particles": 20,
            "num_steps": 20,
        },
    )
    estimator = MeanFieldRegressor if task == "regression" else MeanFieldClassifier
    model = estimator(random_state=0, **options).fit(
        split.train_inputs, split.train_targets
    )
    relevance = holdout.Relevance(
        ("noise", "k", "x"), np.array([0.0, 1.0, 2.0]), np.zeros(3), 50, 3
    )
    motion = measure.motion_of(model, split, relevance)
    assert model.standardiser_.origins()[:6].tolist() == [0, 1, 2, 3, 0, 0]
    first = model.particles_.shape[1] - len(model.standardiser_.mean) - 1
    assert (motion.x_label, motion.y_label) == ("weight of x", "weight of noise")
    np.testing.assert_array_equal(motion.x[-1], model.particles_[:, first])
    np.testing.assert_array_equal(motion.y[-1], model.particles_[:, first + 1])
    outer = model.neuron_.scale * np.tanh(model.particles_[:, 0])
    np.testing.assert_allclose(motion.outer[-1], outer, rtol=1e-5)


def test_the_curve_of_classes_is_the_probability_of_the_second():
    split = split_of("classification")
    motion = measure.motion_of(Known(), split, holdout.relevance_of(Known(), split, 0))
    curve = motion.fit
    assert curve.values.shape == (100, len(curve.grid))
    assert np.all(np.diff(curve.values[-1]) > 0)
    assert curve.y_label == "probability of yes"
    np.testing.assert_array_equal(curve.data_y, split.train_targets)
    assert motion.outer_label == "outer weight towards yes"


def test_outer_weights_of_several_outputs_are_contrasts_between_classes():
    split = split_of("classification")
    motion = measure.motion_of(
        Known(outputs=2), split, holdout.relevance_of(Known(), split, 0)
    )
    assert motion.outer_label == "outer weight towards yes"


def test_a_table_of_one_column_is_shown_against_the_constant():
    inputs = RANDOM.normal(size=(30, 1))
    one = {"names": ("x",), "groups": {"x": [0]}, "quantities": (0,), "inputs": inputs}
    one |= {"train": np.arange(20), "test": np.arange(20, 30)}
    model = SimpleNamespace(
        neuron_=TanhTanh(10.0),
        history_={"steps": np.arange(3), "particles": RANDOM.normal(size=(3, 5, 3))},
        staged_predict=lambda X: (X[:, 0] for _ in range(3)),
        staged_predict_proba=lambda X: (
            np.column_stack([X[:, 0], X[:, 0]]) for _ in range(3)
        ),
    )
    relevance = holdout.Relevance(("x",), np.ones(1), np.zeros(1))
    for task, classes, targets in (
        ("regression", (), inputs[:, 0]),
        ("classification", ("a", "b"), np.arange(30) % 2),
    ):
        split = TrainTestSplit("t", "y", task, classes, targets=targets, **one)
        assert (
            measure.motion_of(model, split, relevance).y_label
            == "weight of the constant"
        )


def test_the_score_is_r2_or_less_the_log_loss():
    regression, classification = split_of("regression"), split_of("classification")
    assert regression.score(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 1
    assert (regression.score_name, classification.score_name) == ("R2", "log loss")
    assert (
        classification.score(np.array([0, 1]), np.array([[0.5, 0.5], [0.2, 0.8]]))
        == np.log(0.5 * 0.8) / 2
    )
    assert np.isfinite(classification.score(np.array([1]), np.array([[1.0, 0.0]])))


def test_relevance_of_classes_sees_probabilities_where_no_decision_changes():
    """A column that moves probabilities between 0.01 and 0.2 never changes the likeliest class."""
    split = split_of("classification")
    split = dataclasses.replace(
        split, targets=(np.random.default_rng(0).random(200) < 0.01).astype(int)
    )

    class Rare(Known):
        def predict_proba(self, X, share=1.0):
            p = np.where(X[:, 0] > 1, 0.2, 0.01)
            return np.column_stack([1 - p, p])

    relevance = holdout.relevance_of(Rare(), split, 0)
    assert relevance.mean[relevance.names.index("x")] != 0
    assert relevance.num_rows == 50


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_effects_are_those_of_the_function(task):
    split = split_of(task)
    effects = {
        e.column: e
        for e in effects_of(Known(), split, holdout.relevance_of(Known(), split, 0))
    }
    sign = -1 if task == "classification" and positive_class(split.targets) == 0 else 1
    assert sign * (effects["x"].at_high - effects["x"].at_low) > 0
    assert effects["noise"].at_high == effects["noise"].at_low
    assert (effects["k"].low, effects["k"].high) == (
        ("b", "a") if sign > 0 else ("a", "b")
    )
    if task == "regression":
        assert effects["k"].at_high - effects["k"].at_low == pytest.approx(2)


def test_the_effect_of_a_column_of_few_different_values_is_shown():
    """Nineteen of twenty x are one value."""
    split = split_of("regression")
    inputs = split.inputs.copy()
    inputs[:, 0] = 3.0 * (np.arange(200) % 20 == 0)
    split = replace(split, inputs=inputs)
    effects = {
        e.column: e
        for e in effects_of(Known(), split, holdout.relevance_of(Known(), split, 0))
    }
    assert (effects["x"].low, effects["x"].high) == ("0", "3")
    assert effects["x"].at_high - effects["x"].at_low == pytest.approx(9)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_dates_are_named_on_the_axes_of_the_moving_picture(task):
    """Days 16,600 to 17,000 since 1970 are of 2015 and 2016."""
    split = split_of(task)
    inputs = split.inputs * [100, 1, 1, 1] + [16_800, 0, 0, 0]
    split = replace(split, inputs=inputs, dates=("x",))

    class OfDates(Known):
        def predict(self, X):
            return super().predict((X - [16_800, 0, 0, 0]) / [100, 1, 1, 1])

    fit = measure.motion_of(
        OfDates(), split, holdout.relevance_of(OfDates(), split, 0)
    ).fit
    assert (fit.x_label, fit.x_dates) == ("x", True)
    axis = fit_page._curve(fit)[0].figure.layout.xaxis
    assert "2016" in " ".join(axis.ticktext)
    assert all(axis.range[0] <= day <= axis.range[1] for day in axis.tickvals)
    assert (
        fit_page._curve(replace(fit, x_dates=False))[0].figure.layout.xaxis.ticktext
        is None
    )


def test_rows_far_off_are_named_the_worst_first():
    observed = np.array([1.0, 2.0, 3.0])
    rows = far_off_rows(
        Comparison(
            np.array([4, 2, 0]), np.zeros(3), observed, np.array([1.0, 7.0, 4.0]), ()
        ),
        (),
        range(5),
    )
    assert rows[:2] == (("2", "2", "7"), ("0", "3", "4"))
    p, labels = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]), np.array([1, 1, 0])
    (worst, second) = far_off_rows(
        Comparison(np.arange(3), np.zeros(3), labels, p, ()), ("no", "yes"), "abc"
    )
    assert worst == ("a", "yes, probability 0.1", "no")
    assert second[0] == "c"


def test_a_certificate_in_numbers_has_no_arrays():
    numbers = {
        "lower_bound": 1.0,
        "upper_bound": 2.0,
        "prior_objective": 5.0,
        "num_descents": 3,
        "work": 7,
    }
    rest = {"trustworthy": True, "verdict": "", "history": ((7, 1.0, 2.0),)}
    arrays = {
        "dual": np.zeros(2),
        "outputs": np.zeros(2),
        "row_shares": np.full(2, 0.5),
    }
    certificate = Certificate(**numbers, **rest, **arrays, cpu_seconds=0.5, effort=10.0)
    assert holdout.certified(certificate) == numbers | rest | {
        "width": 1.0,
        "unknown_share": 0.25,
        "effort": 10.0,
    }
