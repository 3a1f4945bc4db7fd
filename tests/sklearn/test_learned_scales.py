"""Learned scales of the columns: what they are, which rows they come from, and when they are taken."""

import dataclasses
from contextlib import closing

import jax
import numpy as np
import pytest
from sklearn.metrics import r2_score

from langevax.meanfield.kernel_limit import prior_particles
from langevax.problems.neurons import Tanh
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, load
from langevax.sklearn.column_maps import SCALINGS
from langevax.sklearn.learned_scales import (
    COMPARED_NEURONS,
    KernelProblem,
    slope_scales,
)
from langevax.sklearn.model_selection import column_candidates
from tests.sentences import tells
from tests.sklearn.tables import QUICK as WITHOUT_FOLDS
from tests.sklearn.tables import fold_search, outputs_left_out

QUICK = WITHOUT_FOLDS | {"validation": "auto", "scaling": "columns"}


def table(seed, n=300):
    """Of 16 columns two matter, the one twice as much, and one is constant."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 16)) * np.geomspace(0.1, 100, 16)
    X[:, 5] = 3.0
    return X, 2 * np.sin(X[:, 2] / X[:, 2].std()) + X[:, 9] / X[
        :, 9
    ].std() + 0.3 * rng.normal(size=n)


def problem(n=40, d=3, outputs=2):
    rng = np.random.default_rng(0)
    inputs = (rng.normal(size=(n, d)) * [0.2, 1.0, 0.5]).astype(np.float32)
    targets, weights = rng.normal(size=(n, outputs)), rng.uniform(0.5, 3, n)
    return KernelProblem(
        Tanh(1.0), 1.0, inputs, targets, weights, np.ones(n), jax.random.key(3)
    )


@pytest.fixture(scope="module")
def model():
    return MeanFieldRegressor(**QUICK).fit(*table(0))


def test_scales_are_root_mean_square_slopes_over_a_floor():
    """A transcript in double precision: kernel ridge by scikit-learn's formula, its derivative by hand."""
    p, penalty = problem(), 0.7
    particles = np.asarray(
        prior_particles(
            p.neuron, 3, 3, 1.0, COMPARED_NEURONS, p.inputs.dtype, key=p.key
        ),
        float,
    )
    w, c = particles[:, :3], particles[:, 3]
    inner = np.tanh(p.inputs @ w.T + c)
    kernel = inner @ inner.T / COMPARED_NEURONS
    dual = np.linalg.solve(kernel + penalty * np.diag(1 / p.weights), p.targets)
    gradients = np.stack(
        [
            ((1 - inner**2) * (inner.T @ dual[:, k])) @ w / COMPARED_NEURONS
            for k in range(2)
        ]
    )
    share = p.weights / p.weights.sum()
    deviation = np.sqrt(share @ (p.inputs - share @ p.inputs) ** 2)
    size = deviation * np.sqrt(share @ np.mean(gradients**2, axis=0))
    expected = size / np.sqrt(np.mean(size**2)) + 0.2
    expected = expected / np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(slope_scales(p, penalty), expected, rtol=1e-4)


def test_scales_do_not_depend_on_those_that_columns_have_where_the_target_is_linear():
    """With weak weights a network of tanh is linear, and its slopes are the coefficients of ridge regression."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 3)).astype(np.float32)
    slope = np.array([3.0, 1.0, 0.0])
    p = KernelProblem(
        Tanh(1.0),
        1e4,
        inputs,
        inputs @ slope[:, None],
        np.ones(200),
        np.ones(200),
        jax.random.key(0),
    )
    size = inputs.std(axis=0) * slope
    expected = size / np.sqrt(np.mean(size**2)) + 0.2
    for scales in (np.ones(3), np.array([0.5, 1.0, 2.0])):
        actual = slope_scales(p.with_columns_times(scales), 1e-9)
        np.testing.assert_allclose(
            actual, expected / np.sqrt(np.mean(expected**2)), rtol=0.02
        )


def test_candidates_are_all_scalings_with_learned_scales_and_without():
    """The one that the kernel limit prefers is first: of a wild column and a target of its rank, not the first one.

    One deviation for all columns is a candidate only where it is that one, as it depends on units.
    """
    p = problem(n=120, outputs=1)
    inputs = np.exp(4 * p.inputs.astype(float))
    p = p._replace(inputs=inputs, targets=np.tanh(np.log(inputs[:, 1:2])))
    plain = column_candidates(p, SCALINGS, (False,))
    assert plain[0].scaling in ("robust", "pieces")
    assert {one.scaling for one in plain} == {"columns", "robust", "pieces"}
    both = column_candidates(p, SCALINGS, (False, True))
    assert [one.scaling for one in both[::2]] == [one.scaling for one in plain]
    for without, learned in zip(both[::2], both[1::2], strict=True):
        assert without.scaling == learned.scaling
        assert without.learned is None
        np.testing.assert_allclose(
            learned.standardiser(inputs),
            without.standardiser(inputs) * learned.learned.scales,
            rtol=1e-5,
        )
        assert np.mean(learned.learned.scales**2) == pytest.approx(1)
        first, second = learned.learned.penalties
        once = p.under(without.standardiser)
        assert first == once.leave_one_out(COMPARED_NEURONS).best_alpha
        scaled = once.with_columns_times(slope_scales(once, first))
        assert second == scaled.leave_one_out(COMPARED_NEURONS).best_alpha


def test_few_rows_and_columns_of_few_values_leave_fewer_candidates():
    few = problem(n=59)
    few = few._replace(inputs=few.inputs.astype(float))
    for learn_scales in ((False, True), (True,)):
        (one,) = column_candidates(few, SCALINGS, learn_scales)
        assert one.scaling == SCALINGS[0]
        assert (one.learned is not None) == learn_scales[0]
    p = problem(n=60)
    p = p._replace(inputs=np.sign(p.inputs.astype(float)))
    scalings = [one.scaling for one in column_candidates(p, SCALINGS, (False,))]
    assert set(scalings) in ({"columns", "robust"}, {"columns", "robust", "global"})


@pytest.mark.slow
def test_columns_that_matter_get_larger_scales_and_predictions_gain(model):
    X, y = table(1)
    scales = model.learned_scales_.scales
    assert list(np.argsort(scales)[-2:]) == [9, 2]
    assert scales[5] == 1.0  # the constant column, which no scale changes
    varies = np.arange(16) != 5
    assert np.mean(scales[varies] ** 2) == pytest.approx(1)
    tells(model.scaling_reason_, f"x2 {scales[2]:.2g} x9 {scales[9]:.2g}")
    alike = MeanFieldRegressor(**QUICK, learn_scales=False).fit(*table(0))
    assert alike.learned_scales_ is None
    tells(alike.scaling_reason_)
    noise = 0.3**2 / y.var()
    lost = [1 - r2_score(y, m.predict(X)) - noise for m in (model, alike)]
    assert lost[0] < 0.7 * lost[1]


@pytest.mark.slow
def test_pieces_show_a_jump_and_are_named():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X[:, 2] = rng.integers(0, 4, 300)
    y = np.where(X[:, 0] > 0.5, 2.0, 0.0) * (X[:, 2] > 1) + 0.1 * rng.normal(size=300)
    settings = QUICK | {"scaling": "pieces"}
    fitted = MeanFieldRegressor(**settings).fit(X[:200], y[:200])
    assert fitted.particles_.shape == (100, 3 + 2 * 8 + 2)
    tells(fitted.scaling_reason_, "x2")
    ends = fitted.standardiser_.column_map.knots[0]
    jump = np.searchsorted(ends, 0.5)
    tells(fitted.scaling_reason_, f"x0 {ends[jump - 1]:g} {ends[jump]:g}")
    tells(fitted.scaling_sentence(["load", "age", "floor"]))
    plain = MeanFieldRegressor(**QUICK, learn_scales=False).fit(X[:200], y[:200])
    errors = [1 - r2_score(y[200:], m.predict(X[200:])) for m in (fitted, plain)]
    assert errors[0] < errors[1] < 0.1


@pytest.mark.slow
def test_the_networks_of_the_folds_choose():
    """The one taken has the least loss on the rows left out; where all columns matter alike, none counts more."""
    X, y = table(0)
    fitted, plain, scaled = (
        MeanFieldRegressor(**QUICK, learn_scales=choice).fit(X, y)
        for choice in ("auto", False, True)
    )
    np.testing.assert_array_equal(fitted.predict(X), scaled.predict(X))
    assert fitted.held_out_scores_["loss"] < plain.held_out_scores_["loss"]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6))
    fitted = MeanFieldRegressor(**QUICK).fit(X, X.sum(1) + rng.normal(size=200))
    if (learned := fitted.learned_scales_) is not None:
        np.testing.assert_allclose(learned.scales, 1, atol=0.15)


def test_without_networks_on_folds_no_scales_are_learned_unless_asked_for():
    X, y = table(0)
    for settings in ({"validation": None}, {"temperature": 0.01}):
        fitted = MeanFieldRegressor(**QUICK | settings).fit(X, y)
        assert fitted.learned_scales_ is None
        fitted.set_params(learn_scales=True).fit(X, y)
        assert list(np.argsort(fitted.learned_scales_.scales)[-2:]) == [9, 2]


@pytest.mark.slow
def test_classes_have_learned_scales_and_a_saved_model_keeps_it(tmp_path):
    X, y = table(2)
    fitted = MeanFieldClassifier(**QUICK, learn_scales=True).fit(
        X, np.digitize(y, [-1, 1])
    )
    fitted.save(tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        loaded.learned_scales_.scales, fitted.learned_scales_.scales
    )
    np.testing.assert_allclose(
        loaded.predict_proba(X), fitted.predict_proba(X), atol=1e-6
    )
    assert np.argmax(fitted.learned_scales_.scales) == 2


def test_networks_of_folds_learn_scales_from_their_own_rows(model):
    """Another target of one row, in the loss and in the choice, changes no output in the row's own fold."""
    network = model.network_
    task = network.task
    targets, regressands = task.targets.copy(), task.regressands.copy()
    targets[7] += 0.3
    regressands[7] += 0.3
    task = task._replace(targets=targets, regressands=regressands)
    z = []
    for one in (network, dataclasses.replace(network, task=task)):
        search = fold_search(one, learned=model.learned_scales_)
        with closing(search):
            z.append(outputs_left_out(search, 2))
    same = search.split.fold_of == search.split.fold_of[7]
    np.testing.assert_array_equal(z[0][same], z[1][same])
    assert np.all(z[0][~same] != z[1][~same])


def test_intervals_use_neurons_of_the_model_s_own_columns(model):
    """The networks of the folds, with scales of their own, predict the rows they left out as they did in the choice."""
    X, y = table(0)
    low, high = model.predict_interval(X, coverage=0.9).T
    assert 0.85 < np.mean((low <= y) & (y <= high)) <= 1
    X, y = table(3)
    low, high = model.predict_interval(X, coverage=0.9).T
    assert 0.83 < np.mean((low <= y) & (y <= high)) < 0.97
