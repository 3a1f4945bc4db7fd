"""Metrics agree with scikit-learn's, and their paired errors with what repetition shows."""

import numpy as np
import pytest
from sklearn import metrics as sk

from langevax.app.evaluation.metrics import (
    DEVIANCE,
    METRICS,
    R2,
    RMSE,
    Measured,
    blocks_of,
    measure,
    value,
)

LOG_LOSS, AUC, ACCURACY = METRICS["classification"]
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, 60)
P = RANDOM.dirichlet(np.ones(3), 60).round(1) + 0.05
P /= P.sum(1, keepdims=True)
NUMBERS, PREDICTED = RANDOM.normal(size=60), RANDOM.normal(size=60)


def test_metrics_are_scikit_learns():
    assert value(LOG_LOSS, LABELS, P) == pytest.approx(sk.log_loss(LABELS, P))
    assert value(ACCURACY, LABELS, P) == pytest.approx(
        sk.accuracy_score(LABELS, P.argmax(1))
    )
    assert value(AUC, LABELS, P) == pytest.approx(
        sk.roc_auc_score(LABELS, P, multi_class="ovr")
    )
    assert value(R2, NUMBERS, PREDICTED) == pytest.approx(
        sk.r2_score(NUMBERS, PREDICTED)
    )
    assert value(RMSE, NUMBERS, PREDICTED) == pytest.approx(
        sk.root_mean_squared_error(NUMBERS, PREDICTED)
    )
    counts, means = np.round(np.abs(NUMBERS)), np.abs(PREDICTED)
    assert value(DEVIANCE, counts, means) == pytest.approx(
        sk.mean_poisson_deviance(counts, np.maximum(means, counts.mean() / 100))
    )


def test_ranks_of_two_classes_are_those_of_either():
    labels = (np.arange(60) % 6 > 0).astype(int)  # class 0 is rarer
    share = RANDOM.integers(1, 8, 60) / 8
    p = np.column_stack([1 - share, share])
    assert value(AUC, labels, p) == pytest.approx(sk.roc_auc_score(labels, p[:, 1]))


def test_ranks_of_different_folds_are_not_mixed():
    """Each fold is in the right order, at its own level."""
    labels, fold = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    p = np.array([0.1, 0.2, 0.8, 0.9])
    (ranked,) = measure(AUC, labels, [np.column_stack([1 - p, p])], fold, 0)
    assert ranked.value == 1
    assert value(AUC, labels, np.column_stack([1 - p, p])) == 0.75


@pytest.mark.parametrize("metric", [R2, RMSE])
def test_the_error_of_a_difference_is_that_of_repetition(metric):
    """Two predictions that share most of their error: the difference is known far better than either."""
    size, differences, errors = 200, [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        y, hard = random.normal(size=size), random.normal(size=size)
        own, other = (
            y + hard + 0.1 * random.normal(size=size),
            y + hard + 0.1 * random.normal(size=size),
        )
        _, beside = measure(metric, y, [own, other], np.arange(size) % 2, seed)
        differences.append(beside.difference)
        errors.append(beside.difference_error)
        assert beside.difference_error < 0.5 * beside.error
    assert np.std(differences) == pytest.approx(np.mean(errors), rel=0.3)
    assert np.mean(np.abs(differences) > 2 * np.array(errors)) < 0.15


def test_models_that_are_lucky_by_fold_have_the_error_of_folds():
    fold = np.repeat(np.arange(5), 100)
    luck = np.array([-1.0, 1.0, -1.0, 1.0, 0.0])[fold]
    own, lucky = np.zeros(500), 0.3 * luck
    y = np.random.default_rng(0).normal(size=500) * 0.01 + 1
    _, beside = measure(RMSE, y, [own, lucky], fold, 0)
    assert beside.difference_error > 0.1
    assert beside.relation == "level"


def test_rows_of_a_group_are_left_out_together():
    """Twenty groups of ten equal rows: the error is that of twenty rows."""
    y, fold, groups = (
        np.repeat(np.random.default_rng(0).normal(size=20), 10),
        np.zeros(200, int),
        np.repeat(range(20), 10),
    )
    (alone,), (together,) = (
        measure(RMSE, y, [np.zeros(200)], fold, 0, one) for one in (None, groups)
    )
    (of_twenty,) = measure(RMSE, y[::10], [np.zeros(20)], fold[:20], 0)
    assert together.error == pytest.approx(of_twenty.error, rel=1e-9)
    assert together.error > 2.5 * alone.error
    blocks = np.array(blocks_of(200, 0, groups), int)
    assert blocks.sum(0).tolist() == [1] * 200
    assert np.ptp(blocks.reshape(20, 20, 10), axis=2).max() == 0


def test_a_fold_without_a_class_does_not_count_for_its_ranks():
    labels, fold = np.array([0, 1, 0, 1, 0, 0, 0, 0]), np.repeat([0, 1], 4)
    p = np.column_stack([1 - 0.1 * np.arange(8), 0.1 * np.arange(8)])
    (ranked,) = measure(AUC, labels, [p], fold, 0)
    assert ranked.value == value(AUC, labels[:4], p[:4])
    assert np.isfinite(ranked.error)


def test_relations_need_two_standard_errors():
    assert Measured("R2", 0.5, 0.1, 0.03, 0.01).relation == "better"
    assert Measured("R2", 0.5, 0.1, -0.03, 0.01).relation == "worse"
    assert Measured("R2", 0.5, 0.1, -0.03, 0.02).relation == "level"
    assert Measured("R2", 0.5, 0.1).relation == ""
