"""Relevance and effects of the columns of a model whose function is known, and what a report says of rows."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from langevax.app.evaluation import holdout
from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.evaluation.metrics import positive_class
from langevax.app.report.effects import effects_of, far_off_rows
from langevax.meanfield import Certificate

pytestmark = pytest.mark.mostly_compiling

RANDOM = np.random.default_rng(0)


class Known(BaseEstimator):
    """The function 3 x + 2 [k = a], or the classes it implies."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return 3 * X[:, 0] + 2 * X[:, 2]

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-self.predict(X)))
        return np.column_stack([1 - p, p])


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


def test_very_many_columns_are_not_shuffled(monkeypatch):
    monkeypatch.setattr(holdout, "MOST_SHUFFLED", 2)
    assert holdout.relevance_of(Known(), split_of("regression"), 0).names == ()


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
        def predict_proba(self, X):
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


def test_the_ends_of_dates_are_dates():
    """Days 16,600 to 17,000 since 1970 are of 2015 and 2016."""
    split = split_of("regression")
    days = np.linspace(16_600, 17_000, 200).round()
    inputs = np.column_stack([days, split.inputs[:, 1:]])
    split = replace(split, inputs=inputs, dates=("x",))
    relevance = holdout.Relevance(("x",), np.ones(1), np.zeros(1))
    (effect,) = effects_of(Known(), split, relevance)
    assert (effect.low[:5], effect.high[:5]) == ("2015-", "2016-")


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
    pulls = {4: [0, 1.0, 0, -2, 0], 2: [3, 0, 0, 0, 0], 0: [0, 0, 0.25, 0, 0]}
    comparison = Comparison(
        np.array([4, 2, 0]), np.zeros(3), observed, np.array([1.0, 7.0, 4.0]), ()
    )
    moved = far_off_rows(comparison, (), range(5), lambda place: np.array(pulls[place]))
    assert moved[:2] == (("2", "2", "7", "0, by +3"), ("0", "3", "4", "2, by +0.25"))
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
