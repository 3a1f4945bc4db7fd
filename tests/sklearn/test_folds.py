"""Choices and predictions of networks that are trained without a fold of the rows."""

from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import balanced_accuracy_score, log_loss

from langevax.meanfield.kernel_limit import excess, leave_one_out
from langevax.sklearn import (
    LinearModelWarning,
    MeanFieldClassifier,
    MeanFieldRegressor,
    load,
)
from langevax.sklearn.column_maps import Pieces, Squash
from langevax.sklearn.fold_choice import SLACK
from langevax.sklearn.fold_paths import above_least
from langevax.sklearn.intervals import upper_quantile
from tests.sentences import refuses, tells, warns
from tests.sklearn.tables import QUICK as WITHOUT_FOLDS
from tests.sklearn.tables import diabetes, fold_search, iris, outputs_left_out

pytestmark = pytest.mark.mostly_compiling

QUICK = WITHOUT_FOLDS | {"validation": "auto"}


@pytest.fixture(scope="module")
def regressor():
    X, y = diabetes()
    return MeanFieldRegressor(**QUICK).fit(X[:300], y[:300])


@pytest.fixture(scope="module")
def classifier():
    X, y = iris()
    return MeanFieldClassifier(**QUICK).fit(X[:100], y[:100])


def test_excess_is_paired_and_weights_are_multiplicities():
    losses, reference = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0])
    mean, error = excess(losses, reference, np.array([1.0, 2.0, 1.0]))
    assert mean == pytest.approx(3 / 4)
    assert error == pytest.approx(np.sqrt((1.25**2 + 4 * 0.75**2 + 0.25**2) / 16))


def test_the_penalty_is_the_largest_within_one_standard_error():
    """Errors row by row of an independent computation: ridge without row i, for each i."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = X @ [1.0, -1.0, 0.5] + rng.normal(size=40)
    choice = leave_one_out(
        X.T * np.sqrt(3), y[:, None], np.ones(40)
    )  # the kernel X X^T
    rows = np.empty((len(choice.alphas), 40))
    for a, alpha in enumerate(choice.alphas):
        for i in range(40):
            others = np.delete(np.arange(40), i)
            A, b = X[others], y[others]
            rows[a, i] = (
                y[i] - X[i] @ np.linalg.solve(A.T @ A + alpha * np.eye(3), A.T @ b)
            ) ** 2
    np.testing.assert_allclose(choice.errors, rows.mean(1), rtol=1e-6)
    best = rows[rows.mean(1).argmin()]
    errors = (rows - best).std(axis=1) / np.sqrt(40)
    np.testing.assert_allclose(choice.excess_errors, errors, rtol=1e-5, atol=1e-12)
    assert (
        choice.alpha
        == choice.alphas[np.flatnonzero(rows.mean(1) <= best.mean() + errors)[-1]]
        > choice.best_alpha
    )


def test_no_fold_sees_the_rows_left_out(regressor):
    """Another target of one row changes no output there, and others in other folds."""
    network = regressor.network_
    targets = network.task.targets.copy()
    targets[7] += 0.3
    other = replace(network, task=network.task._replace(targets=targets))
    z = []
    for one in (network, other):
        with closing(fold_search(one)) as search:
            z.append(outputs_left_out(search, 2))
    same = search.split.fold_of == search.split.fold_of[7]
    np.testing.assert_array_equal(z[0][same], z[1][same])
    assert np.all(z[0][~same] != z[1][~same])


def test_folds_centre_targets_by_their_own_rows(regressor):
    """A shift of all targets shifts the outputs at rows left out: no mean of all rows is known there.

    Of 320 rows 256 train a fold, so that all of it is exact in binary numbers.
    """
    network, shift = regressor.network_, np.float32(0.5)
    network = network.subset(np.arange(320) % 300)
    targets = np.round(network.task.targets * 64) / 64
    both = []
    for own in (targets, targets + shift):
        one = replace(network, task=network.task._replace(targets=own))
        with closing(fold_search(one)) as search:
            both.append((outputs_left_out(search, 2), search.choice()))
    np.testing.assert_allclose(both[1][0], both[0][0] + shift, atol=1e-6)
    choice = both[0][1]
    means = [np.mean(targets[choice.held_out.fold != k]) for k in range(5)]
    np.testing.assert_allclose(choice.held_out.offsets, means, atol=1e-6)


def test_the_choice_is_the_hottest_within_a_quarter_of_a_standard_error(regressor):
    path = regressor.path_
    good = path["excess"] <= path["excess_error"] / 4
    chosen = int(np.flatnonzero(good)[0])
    assert chosen > 0
    assert regressor.temperature_ == path["temperature"][chosen]
    scale = path["output_scale"][0]
    coolings = 0.05 * scale**2 * 0.35 ** np.arange(len(good))
    np.testing.assert_allclose(path["temperature"], coolings)
    assert path["excess"].min() == 0
    assert f"{path['loss'][chosen]:.3g} +- " in regressor.temperature_reason_
    assert regressor.held_out_scores_["r2"] == pytest.approx(0.5, abs=0.1)


def test_more_slack_takes_a_hotter_temperature(regressor, monkeypatch):
    with closing(fold_search(regressor.network_)) as search:
        before = search.choice()
        monkeypatch.setitem(SLACK, "numbers", 5.0)
        after = search.choice()
    good = np.flatnonzero(after.history["excess"] <= 5 * after.history["excess_error"])
    assert after.chosen == good[0] < before.chosen
    tells(after.reason(), "5")


@pytest.mark.slow
def test_units_of_targets_and_columns_change_no_choice():
    """Dollars or cents, rounded or not: the folds are the same, to the last row."""
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(80, 3)), 2)
    y = np.round(X[:, 0] + rng.normal(size=80), 2)
    settings = QUICK | {"scaling": "columns"}
    dollars = MeanFieldRegressor(**settings).fit(X, y)
    cents = MeanFieldRegressor(**settings).fit(X * [100.0, 1.0, 0.1], np.round(100 * y))
    assert cents.temperature_ == pytest.approx(dollars.temperature_, rel=1e-3)
    np.testing.assert_array_equal(
        cents.held_out_.fold[cents.row_places_],
        dollars.held_out_.fold[dollars.row_places_],
    )
    np.testing.assert_allclose(
        cents.predict(X * [100.0, 1.0, 0.1]), 100 * dollars.predict(X), atol=0.5
    )


@pytest.mark.slow
def test_levels_that_go_up_and_down_are_learned_by_networks_too():
    """Kernel machines learn each of them at once, and steps of mean-field Langevin dynamics only slowly."""
    rng = np.random.default_rng(0)
    level = rng.integers(0, 7, 400)
    X = np.stack([level, rng.normal(size=400)], axis=1)
    y = (
        np.array([5, -20, 30, -10, 25, -30, 15])[level]
        + 20 * X[:, 1]
        + 3 * rng.normal(size=400)
    )
    model = MeanFieldRegressor(**QUICK).fit(X, y)
    assert model.held_out_scores_["r2"] > 0.96


@pytest.mark.parametrize("seed", [1, 10, 11])
@pytest.mark.slow
def test_twenty_rows_of_noise_are_not_learned(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(20, 5)), (rng.random(20) >= 0.6).astype(int)
    model = MeanFieldClassifier(**QUICK | {"scaling": "auto"}).fit(X, y)
    labels, X = (rng.random(2000) >= 0.6).astype(int), rng.normal(size=(2000, 5))
    assert (model.scaling_, model.learned_scales_) == ("columns", None)
    assert log_loss(labels, model.predict_proba(X)) < 0.85  # of the shares .67


@pytest.mark.slow
def test_targets_of_noise_are_predicted_by_their_mean():
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(2040, 8)), rng.normal(size=2040)
    model = MeanFieldRegressor(**QUICK).fit(X[:40], y[:40])
    errors = (y[40:] - model.predict(X[40:])) ** 2
    assert np.mean(errors) < 1.1 * np.mean((y[40:] - y[:40].mean()) ** 2)


@pytest.mark.slow
def test_columns_without_values_leave_the_mean_of_the_targets():
    y = np.random.default_rng(5).normal(size=40)
    model = MeanFieldRegressor(**QUICK | {"num_particles": 20}).fit(
        np.full((40, 2), 7.0), y
    )
    np.testing.assert_allclose(model.predict(np.ones((1, 2))), y.mean(), atol=0.1)
    tells(model.temperature_reason_)


def test_losses_that_differ_by_rounding_are_alike():
    of_rows = np.random.default_rng(0).uniform(size=40)
    losses = of_rows + np.array([2e-8, 1e-8, 0])[:, None]
    above, error = above_least(losses, np.ones(40), None)
    assert np.all(above <= min(SLACK.values()) * error)
    above, error = above_least(
        losses + np.array([1e-4, 0, 0])[:, None], np.ones(40), None
    )
    assert (above > error).tolist() == [True, False, False]


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.slow
def test_columns_without_values_leave_the_shares_of_the_classes(num_classes):
    y = np.repeat(
        np.arange(num_classes), [48, 12] if num_classes == 2 else [35, 13, 12]
    )
    model = MeanFieldClassifier(**QUICK).fit(np.full((60, 3), 7.0), y)
    np.testing.assert_allclose(
        model.predict_proba(np.zeros((1, 3)))[0], np.bincount(y) / 60, atol=0.05
    )
    loss = model.held_out_scores_
    assert loss["loss"] <= loss["base_loss"] + 0.01
    tells(model.temperature_reason_)


@pytest.mark.slow
def test_one_unit_of_weights_is_as_good_as_another():
    X, y = diabetes()
    settings = QUICK | {"scaling": "columns"}
    weights = np.random.default_rng(0).uniform(0.5, 2, 80)
    plain = MeanFieldRegressor(**settings).fit(X[:80], y[:80], weights)
    for unit in (2.0**600, 2.0**-600):
        other = MeanFieldRegressor(**settings).fit(X[:80], y[:80], unit * weights)
        np.testing.assert_allclose(other.predict(X), plain.predict(X), rtol=1e-6)
    with refuses(ValueError, "sample_weight"):
        MeanFieldRegressor(**settings).fit(X[:80], y[:80], np.arange(80) == 3)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)  # of 100 particles, on targets without noise
def test_a_linear_table_is_said_to_be_linear():
    """Of thirty columns the network has too many functions; it says so. Without noise it is as good as least squares."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 30))
    line = X @ rng.normal(size=30)
    with warns(LinearModelWarning, "RidgeCV"):
        MeanFieldRegressor(**QUICK, linear_part=False).fit(
            X, line + rng.normal(size=150)
        )
    for linear_part in (False, "auto"):
        model = MeanFieldRegressor(**QUICK, linear_part=linear_part)
        few = X[:, :3]
        exact = few @ [1.0, 2.0, 3.0]
        assert model.fit(few, exact).score(few, exact) > 0.999


def test_intervals_are_those_of_the_definition(regressor):
    """CV+ by its definition, in exact fractions and loops: the k-th smallest of f_-k(i)(x) +- score of row i."""
    X, y = diabetes()
    folds, scores = regressor.held_out_, regressor.scores_
    z = regressor._fold_outputs(regressor._columns(X[300:305]))
    place = -int(-Fraction(8, 10) * 301 // 1)  # the ceiling
    for j, (low, high) in enumerate(
        regressor.predict_interval(X[300:305], coverage=0.8)
    ):
        upper = sorted(z[folds.fold[i], j] + scores[i] for i in range(300))[place - 1]
        lower = sorted(z[folds.fold[i], j] - scores[i] for i in range(300))[300 - place]
        expected = regressor.target_mean_ + regressor.target_scale_ * np.array(
            [lower, upper]
        )
        np.testing.assert_allclose([low, high], expected, rtol=1e-5)
    inside = lambda ends: np.mean((ends[:, 0] <= y[300:]) & (y[300:] <= ends[:, 1]))
    assert 0.7 < inside(regressor.predict_interval(X[300:], 0.8)) < 0.95


def test_a_weight_of_two_is_two_rows_in_quantiles():
    values = np.random.default_rng(0).normal(size=(30, 4))
    weights = np.where(np.arange(30) < 10, 2.0, 1.0)
    np.testing.assert_allclose(
        upper_quantile(values, weights, 0.8),
        upper_quantile(np.concatenate([values, values[:10]]), np.ones(40), 0.8),
    )


def test_sets_are_those_of_the_definition(classifier):
    """At rows between the classes, where counts of all sizes occur."""
    X, y = iris()
    folds, scores = classifier.held_out_, classifier.scores_
    rng = np.random.default_rng(0)
    Z = X[rng.integers(0, 150, 1000)] + rng.normal(size=(1000, X.shape[1])) * X.std(0)
    z = classifier._fold_outputs(classifier._columns(Z))
    own = 1 - np.exp(z - z.max(2, keepdims=True)) / np.exp(
        z - z.max(2, keepdims=True)
    ).sum(2, keepdims=True)
    likeliest = classifier.predict_proba(Z).argmax(1)
    at_least = np.sum(
        scores[:, None, None] >= own[folds.fold], axis=0
    )  # (rows, classes)
    for coverage in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        expected = at_least + 1 > (1 - coverage) * (len(scores) + 1)
        expected[np.arange(1000), likeliest] = True
        np.testing.assert_array_equal(classifier.predict_set(Z, coverage), expected)
    sets = classifier.predict_set(X[100:], 0.9)
    assert (
        np.mean(sets[np.arange(50), np.searchsorted(classifier.classes_, y[100:])])
        > 0.85
    )


def test_intervals_and_sets_survive_saving(regressor, classifier, tmp_path):
    (X, _), (Z, _) = diabetes(), iris()
    regressor.save(tmp_path / "numbers")
    classifier.save(tmp_path / "classes")
    np.testing.assert_array_equal(
        load(tmp_path / "numbers").predict_interval(X), regressor.predict_interval(X)
    )
    np.testing.assert_array_equal(
        load(tmp_path / "classes").predict_set(Z), classifier.predict_set(Z)
    )


def test_intervals_that_cannot_be_are_refused(regressor):
    X, y = diabetes()
    with refuses(ValueError, "coverage 1"):
        regressor.predict_interval(X, 1.0)
    with refuses(ValueError, "coverage=0.999 999 300"):
        regressor.predict_interval(X, 0.999)
    without = MeanFieldRegressor(**WITHOUT_FOLDS).fit(X[:300], y[:300])
    with refuses(AttributeError, "validation='folds'"):
        without.predict_interval(X)
    with refuses(TypeError, "return_std predict_interval"):
        without.predict(X, return_std=True)


@pytest.mark.slow
def test_class_weights_are_weights_of_rows():
    X, y = (table[:400] for table in load_breast_cancer(return_X_y=True))
    X, settings = X[:, :3], WITHOUT_FOLDS | {"temperature": 0.01}
    settings |= {"scaling": "columns", "learn_scales": False}
    weighted = MeanFieldClassifier(**settings, class_weight={0: 2.0}).fit(X, y)
    by_row = MeanFieldClassifier(**settings).fit(X, y, np.where(y == 0, 2.0, 1.0))
    np.testing.assert_array_equal(
        weighted.decision_function(X), by_row.decision_function(X)
    )
    balanced = MeanFieldClassifier(**settings, class_weight="balanced").fit(X, y)
    totals = [
        balanced.network_.weights[balanced.network_.task.labels == label].sum()
        for label in (0, 1)
    ]
    np.testing.assert_allclose(totals, [200, 200])
    with refuses(ValueError, "class_weight 5"):
        MeanFieldClassifier(**settings, class_weight={5: 2.0}).fit(X, y)


@pytest.mark.slow
def test_a_balanced_threshold_finds_a_rare_class():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = (X[:, 0] + rng.normal(size=600) > 2.3).astype(int)  # 5 %
    model = MeanFieldClassifier(**QUICK, threshold="balanced").fit(X[:400], y[:400])
    plain = np.where(model.predict_proba(X[400:])[:, 1] > 0.5, 1, 0)
    assert model.threshold_ < 0.3
    assert (
        balanced_accuracy_score(y[400:], model.predict(X[400:]))
        > balanced_accuracy_score(y[400:], plain) + 0.1
    )
    with refuses(ValueError, "threshold='balanced'"):
        MeanFieldClassifier(**WITHOUT_FOLDS, threshold="balanced").fit(X, y)
    with refuses(ValueError, "'threshold' 0.0 1.0"):
        MeanFieldClassifier(threshold=1.0).fit(*iris())
    with refuses(ValueError, "threshold=0.4"):
        MeanFieldClassifier(**QUICK, threshold=0.4).fit(*iris())


def test_maps_of_columns_are_their_formulas():
    x = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0], [1e6]])
    squash = Squash.fit(x, np.ones(6))
    centre, width = squash.centre[0], squash.width[0]
    assert (centre, width) == (
        0.0,
        3.0 / 1.349,
    )  # least values below which lie a half, and quartiles -1 and 2
    r = (x - centre) / width
    np.testing.assert_allclose(squash(x), r / np.sqrt(1 + r**2 / 9), rtol=1e-12)
    assert squash(np.array([[1e300]])) == pytest.approx(3.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wild", "exponential"])
def test_wild_columns_are_mapped(kind):
    """Every hundredth value of a column x 10^4, or exp(3 x) of all: the closed form chooses a bounded map."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = X[:, 0] * X[:, 1] + X[:, 2] + 0.3 * rng.normal(size=400)
    seen = X.copy()
    if kind == "wild":
        seen[::100, 0] *= 1e4
    else:
        seen = np.exp(3 * X)
    model = MeanFieldRegressor(**WITHOUT_FOLDS).fit(seen[:300], y[:300])
    assert model.scaling_ in ("robust", "pieces")  # bounded ones
    assert model.score(seen[301:], y[301:]) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1e300, 1e-300])
def test_extreme_units_change_nothing(unit):
    X, y = diabetes()
    settings = WITHOUT_FOLDS | {"scaling": "columns"}
    plain = MeanFieldRegressor(**settings).fit(X[:300], y[:300]).predict(X)
    np.testing.assert_allclose(
        MeanFieldRegressor(**settings).fit(unit * X[:300], y[:300]).predict(unit * X),
        plain,
        rtol=1e-3,
    )
    scaled = MeanFieldRegressor(**settings).fit(X[:300], unit * y[:300]).predict(X)
    np.testing.assert_allclose(scaled / unit, plain, rtol=1e-3)


def test_pieces_are_shares_between_quantiles():
    inputs = np.column_stack([np.arange(17.0), np.arange(17) % 3])
    pieces = Pieces.fit(inputs, np.ones(17))
    new = np.array([[3.5, 1.0], [-5.0, 0.0], [99.0, 2.0]])
    columns = pieces(new)
    np.testing.assert_array_equal(pieces.knots[0], np.arange(0, 17, 2))
    assert pieces.knots[1] is None
    np.testing.assert_array_equal(
        columns[:, :2],
        Squash.fit(inputs, np.ones(17))([[3.5, 1.0], [-5.0, 0.0], [99.0, 2.0]]),
    )
    np.testing.assert_allclose(
        columns[:, 2:], [[1, 0.75, 0, 0, 0, 0, 0, 0], [0] * 8, [1] * 8]
    )
    assert pieces.names(["age", "kind"])[:4] == [
        "age",
        "kind",
        "age from 0 to 2",
        "age from 2 to 4",
    ]


def test_tables_of_many_columns_have_fewer_pieces_or_none():
    wide = np.random.default_rng(0).normal(size=(50, 60))
    assert (
        len(Pieces.fit(wide, np.ones(50)).knots[0]) == 4
    )  # three pieces: 60 + 3 * 60 of at most 256 columns
    assert Pieces.fit(np.hstack([wide, wide]), np.ones(50)).knots[0] is None


@pytest.mark.parametrize("estimator", [MeanFieldClassifier, MeanFieldRegressor])
def test_copies_of_a_row_are_left_out_by_different_folds(estimator):
    """200 rows of two distinct inputs: leaving out all rows of one input and target would teach a fold the opposite."""
    rng = np.random.default_rng(0)
    group = np.repeat([0.0, 1.0], 100)
    y = (rng.random(200) < np.where(group == 1, 0.8, 0.2)).astype(int)
    model = estimator(**QUICK).fit(group[:, None], y)
    scores = model.held_out_scores_
    if estimator is MeanFieldClassifier:
        assert scores["accuracy"] > 0.7
        assert scores["loss"] < 0.6 < scores["base_loss"]
        assert model.predict_set(np.array([[0.0], [1.0]]), coverage=0.7).sum() < 4
    else:
        assert scores["r2"] > 0.2
    assert (
        len(model.held_out_.fold) == 20
    )  # five parts of each of the four distinct rows
    np.testing.assert_allclose(model.held_out_.weights.sum(), 200)


@pytest.mark.slow
def test_class_weights_do_not_make_copies_of_rows():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:150, :5], y[:150]
    settings = QUICK | {"scaling": "columns"}
    plain = MeanFieldClassifier(**settings).fit(X, y)
    heavy = MeanFieldClassifier(**settings, class_weight={0: 20.0, 1: 20.0}).fit(X, y)
    assert len(heavy.held_out_.fold) == len(plain.held_out_.fold) == 150
    assert heavy.temperature_ == pytest.approx(plain.temperature_, rel=0.05)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)  # of 20 particles
def test_held_out_scores_of_large_and_small_targets_are_finite(scale):
    X = np.random.default_rng(0).normal(size=(60, 3))
    settings = QUICK | {"num_particles": 20, "linear_part": False}
    scores = MeanFieldRegressor(**settings).fit(X, scale * X[:, 0]).held_out_scores_
    assert 1e-3 < scores["rmse"] / scale < 1


@pytest.mark.slow
def test_outputs_of_different_units_have_errors_of_their_own():
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.column_stack([X[:, 0], 1e6 * X[:, 1] ** 2])
    model = MeanFieldRegressor(**QUICK).fit(X, y)
    scores, weights = model.held_out_scores_, model.held_out_.weights
    errors = y.std(axis=0) * np.sqrt(
        np.average(model.scores_**2, axis=0, weights=weights)
    )
    np.testing.assert_allclose([scores["rmse_0"], scores["rmse_1"]], errors, rtol=1e-5)
    assert "rmse" not in scores
    assert 0.005 < scores["rmse_0"] < 2
    assert 0.005 < scores["rmse_1"] / 1e6 < 2


@pytest.mark.slow
def test_a_constant_target_is_not_explained():
    X = np.random.default_rng(0).normal(size=(60, 3))
    settings = QUICK | {"num_particles": 20}
    assert (
        MeanFieldRegressor(**settings).fit(X, np.full(60, 3.0)).held_out_scores_["r2"]
        == 0.0
    )
