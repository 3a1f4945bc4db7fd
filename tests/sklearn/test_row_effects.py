"""Leave-one-out, influence and removal of rows, held against networks that are trained again without them."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, load
from tests.sentences import refuses, tells

NEW = slice(300, 320)


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.fixture(scope="module")
def model(diabetes):
    X, y = diabetes
    model = MeanFieldRegressor(temperature=0.1, num_particles=2000, random_state=0)
    return model.fit(X[:200], y[:200])


@pytest.fixture(scope="module")
def classifier():
    X, y = load_iris(return_X_y=True)
    model = MeanFieldClassifier(temperature=0.05, num_particles=2000, random_state=0)
    return model.fit(X[::2], y[::2])


def test_left_out_rows_are_predicted_as_by_networks_trained_without_them(
    diabetes, model
):
    """Two clouds of 2,000 neurons differ by about 2 % of the changes that the largest of these rows make."""
    X, y = diabetes
    left_out = model.leave_one_out()
    changes = left_out.predictions - model.predict(X[:200])
    rows = np.argsort(np.abs(changes))[[-1, -3, -6, -10]]
    refits = [model.without([i]).refit() for i in rows]
    trained = np.array(
        [refit.predict(X[i : i + 1])[0] for i, refit in zip(rows, refits, strict=True)]
    )
    own = trained - model.predict(X[rows])
    np.testing.assert_allclose(changes[rows], own, rtol=0.2)
    assert np.linalg.norm(changes[rows] - own) < 0.1 * np.linalg.norm(own)
    residuals = y[rows] - trained
    error = np.linalg.norm(left_out.residuals[rows] - residuals)
    assert error < 0.02 * np.linalg.norm(residuals)
    np.testing.assert_allclose(
        left_out.residuals, y[:200] - left_out.predictions, atol=1e-4
    )
    assert not left_out.unsure.any()
    assert left_out.reason == ""
    assert left_out.effective_parameters == pytest.approx(left_out.leverages.sum())
    assert 10 < left_out.effective_parameters < 30


def test_influence_is_what_predictions_without_each_row_differ_by(diabetes, model):
    X, _ = diabetes
    influence = model.influence(X[NEW])
    assert influence.shape == (20, 200)
    for row in (0, 17):
        without = model.without([row])
        assert without.trustworthy
        change = without.predict(X[NEW]) - model.predict(X[NEW])
        np.testing.assert_allclose(influence[:, row], change, atol=2e-4)
    everywhere = model.influence(X[:200], of_outputs=True)
    left_out = model.leave_one_out()
    sizes = np.sqrt(np.mean(everywhere**2, axis=0))
    np.testing.assert_allclose(left_out.changes, sizes, rtol=1e-5)
    own = np.diag(model.influence(X[:200]))
    expected = left_out.predictions - model.predict(X[:200])
    np.testing.assert_allclose(own, expected, atol=2e-4)


def test_rows_that_leave_together_are_those_of_a_refit(diabetes, model):
    X, y = diabetes
    rows = np.argsort(y[:200])[-20:]  # all of the largest targets
    without = model.without(np.isin(np.arange(200), rows))
    refit = without.refit()
    assert np.isnan(refit.leave_one_out().leverages[rows]).all()
    before = model.predict(X[200:])
    predicted, trained = (each.predict(X[200:]) - before for each in (without, refit))
    assert np.corrcoef(predicted, trained)[0, 1] > 0.98
    assert np.linalg.norm(predicted - trained) < 0.25 * np.linalg.norm(trained)


def test_copies_leave_alone_and_groups_together(diabetes):
    X, y = diabetes
    X, y = np.concatenate([X[:60], X[:20]]), np.concatenate([y[:60], y[:20]])
    weights = np.append(np.ones(79), 0)
    model = MeanFieldRegressor(temperature=0.2, random_state=0)
    model.fit(X, y, sample_weight=weights)
    left_out = model.leave_one_out()
    assert np.isnan(left_out.predictions[-1])
    assert not left_out.unsure[-1]
    np.testing.assert_allclose(left_out.leverages[:19], left_out.leverages[60:79])
    one = model.without([0]).predict(X[:1])
    np.testing.assert_allclose(left_out.predictions[60], one[0], rtol=1e-6)

    groups = np.arange(60) // 5
    grouped = MeanFieldRegressor(temperature=0.2, random_state=0)
    grouped.fit(X[:60], y[:60], groups=groups)
    predictions = grouped.leave_one_out().predictions
    for group in (0, 7):
        rows = np.flatnonzero(groups == group)
        together = grouped.without(rows).predict(X[rows])
        np.testing.assert_allclose(predictions[rows], together, rtol=1e-6)


def test_probabilities_change_by_amounts_that_add_up_to_nothing(classifier):
    X, y = load_iris(return_X_y=True)
    influence = classifier.influence(X[1:9:2])
    assert influence.shape == (4, 75, 3)
    np.testing.assert_allclose(influence.sum(-1), 0, atol=1e-6)
    left_out = classifier.leave_one_out()
    np.testing.assert_allclose(left_out.predictions.sum(1), 1, rtol=1e-6)
    own = left_out.predictions[np.arange(75), y[::2]]
    np.testing.assert_allclose(left_out.residuals, 1 - own, atol=1e-6)
    assert classifier.influence(X[:1], of_outputs=True).shape == (1, 75, 3)
    before = np.log(classifier.predict_proba(X[::2]))
    changes = np.log(left_out.predictions) - before
    rows = np.argsort(-np.abs(changes).max(1))[[0, 2, 5]]
    refits = [classifier.without([i]).refit() for i in rows]
    trained = np.array(
        [
            refit.predict_proba(X[2 * i : 2 * i + 1])[0]
            for i, refit in zip(rows, refits, strict=True)
        ]
    )
    own = np.log(trained) - before[rows]
    assert np.linalg.norm(changes[rows] - own) < 0.2 * np.linalg.norm(own)


def test_jackknife_intervals_need_no_folds(diabetes, model):
    X, y = diabetes
    low, high = model.predict_interval(X[200:], method="jackknife+").T
    assert 0.85 < np.mean((low <= y[200:]) & (y[200:] <= high)) < 0.95
    wider = model.predict_interval(X[200:], 0.95, method="jackknife+")
    assert ((wider[:, 0] < low) & (high < wider[:, 1])).all()


def test_sets_of_a_rare_class_hold_it():
    """With 6 % of a class that inputs hardly tell, sets of all labels hold the other class alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 2))
    y = (rng.random(1500) < 0.06 * np.exp(0.8 * X[:, 0] - 0.32)).astype(int)
    model = MeanFieldClassifier(random_state=0).fit(X[:700], y[:700])
    rare = y[700:] == 1
    for method in ("cv+", "jackknife+"):
        together = model.predict_set(X[700:], method=method)
        each = model.predict_set(X[700:], method=method, per_class=True)
        assert together[rare, 1].mean() < 0.3
        assert each[rare, 1].mean() > 0.8
        assert each.all(1).mean() < 0.9


def test_what_is_not_at_its_optimum_has_no_effects(diabetes, model, tmp_path):
    X, y = diabetes
    steps = MeanFieldRegressor("mfld", num_particles=20, num_steps=5, temperature=0.1)
    with refuses(ValueError, "mfld path"):
        steps.fit(X[:50], y[:50]).leave_one_out()
    cold = MeanFieldRegressor(temperature=1e-3, num_particles=100, random_state=0)
    left_out = cold.fit(X[:100], y[:100]).leave_one_out()
    assert left_out.unsure.all()
    assert "not at its optimum" in left_out.reason
    few = MeanFieldRegressor(temperature=0.1, num_particles=40, random_state=0)
    few.fit(X[:200], y[:200])
    tells(few.leave_one_out().reason, "num_particles=200")
    with refuses(ValueError, "method jackknife+ cv+", varies=True):
        cold.predict_interval(X, method="jackknife+")
    with refuses(ValueError, "method loo"):
        model.predict_interval(X, method="loo")
    with refuses(ValueError, "rows 199 -1"):
        model.without([-1])
    with refuses(ValueError, "rows 199 200"):
        model.without([200])
    with refuses(ValueError, "rows fewer"):
        model.without(np.arange(199)).refit()
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    with refuses(AttributeError, "attach_rows"):
        loaded.influence(X[:1])
    attached = loaded.attach_rows(X[:200], y[:200])
    np.testing.assert_allclose(
        attached.leave_one_out().residuals, model.leave_one_out().residuals, rtol=1e-4
    )


def test_a_separated_table_names_the_rows_that_hold_the_boundary():
    X, y = load_breast_cancer(return_X_y=True)
    model = MeanFieldClassifier(temperature=3e-3, num_particles=1000, random_state=0)
    model.fit(X[:400], y[:400])
    left_out = model.leave_one_out()
    assert 0 < left_out.unsure.mean() < 0.1
    assert "rows hold the network" in left_out.reason
    assert left_out.residuals[left_out.unsure].min() > left_out.residuals.mean()
